"""What others used of the processors: their busy time without our own."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from firmware_py.testing.neighbours import Neighbours, is_quiet, told

TICKS = os.sysconf("SC_CLK_TCK")


def _write(stat: Path, user_s: float, idle_s: float = 0.0, stolen_s: float = 0.0) -> None:
    user, idle, stolen = (round(TICKS * value) for value in (user_s, idle_s, stolen_s))
    stat.write_text(f"cpu  {user} 0 0 {idle} {idle} 0 0 {stolen} 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n", "ascii")


def test_busy_and_stolen_time_of_others_counts_and_idle_time_does_not(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    _write(stat, 100.0)
    neighbours, began_s = Neighbours(stat), time.monotonic()
    _write(stat, 100.0, idle_s=500.0)
    assert neighbours.cores() == 0.0
    _write(stat, 400.0, idle_s=500.0, stolen_s=300.0)
    cores = neighbours.cores()
    assert cores is not None
    most = 600.0 / (time.monotonic() - began_s)
    assert 0.5 * most < cores  # all but what this process used itself
    assert not is_quiet(cores)


def test_our_own_work_and_that_of_children_is_not_others(tmp_path: Path) -> None:
    stat, before = tmp_path / "stat", os.times()
    _write(stat, before.user + before.system + before.children_user + before.children_system)
    neighbours = Neighbours(stat)
    until_s = time.process_time() + 0.3
    while time.process_time() < until_s:
        pass
    now = os.times()
    _write(stat, now.user + now.system + now.children_user + now.children_system)
    cores = neighbours.cores()
    assert cores == pytest.approx(0.0, abs=0.1)
    assert is_quiet(cores)


@pytest.mark.parametrize("text", [None, "", "cpu 1 2\n", "cpu a b c d e f g h\n"])
def test_where_the_system_does_not_count_nobody_knows(tmp_path: Path, text: str | None) -> None:
    stat = tmp_path / "stat"
    if text is not None:
        stat.write_text(text, "ascii")
    assert Neighbours(stat).cores() is None
    assert not is_quiet(None)
    assert "not known" in told(None)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="no /proc/stat on this system")
def test_this_machine_counts() -> None:
    cores = Neighbours().cores()
    assert cores is not None
    assert cores >= 0.0
