"""Clocks only move forward; measurement checks hold their bound and unknown never passes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from firmware_py.contracts.clock import SystemClock, VirtualClock
from firmware_py.contracts.measurement import Check, Measurement, Row


def test_a_virtual_clock_sleeps_in_no_time() -> None:
    clock = VirtualClock(10.0)
    before = clock.utc()
    clock.sleep(2.5)
    assert clock.now_s() == 12.5
    assert clock.utc() - before == timedelta(seconds=2.5)


def test_a_virtual_clock_does_not_run_backwards() -> None:
    clock = VirtualClock()
    clock.sleep(-1.0)
    assert clock.now_s() == 0.0
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-0.1)


def test_the_system_clock_is_utc_and_monotonic() -> None:
    clock = SystemClock()
    first = clock.now_s()
    clock.sleep(0.0)
    assert clock.now_s() >= first
    assert clock.utc().tzinfo is UTC


@pytest.mark.parametrize(
    ("check", "ok"),
    [
        (Check("p50", 1.0, 1.0, "s"), True),
        (Check("p50", 1.1, 1.0, "s"), False),
        (Check("accuracy", 0.97, 0.97, "", ">="), True),
        (Check("accuracy", 0.96, 0.97, "", ">="), False),
        (Check("joules", None, 1.0, "J"), False),
    ],
)
def test_a_check_compares_with_its_bound(check: Check, ok: bool) -> None:
    assert check.ok is ok


def test_a_measurement_file_names_machine_and_versions(tmp_path: Path) -> None:
    row = Row("16/w4-4-4/balanced/dyn8", n=1000, latency_s={"p50": 0.001, "p99": 0.002})
    date = datetime(2026, 1, 1, tzinfo=UTC)
    path = Measurement("bench", "simulated", None, date, (row,), (Check("x", 1.0, 2.0, "s"),)).write(
        tmp_path, "m"
    )
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["v"] == 1
    assert document["machine"]["cores"]
    assert "python" in document["versions"]
    assert document["rows"][0]["config"] == "16/w4-4-4/balanced/dyn8"
    assert document["checks"] == [
        {"name": "x", "value": 1.0, "bound": 2.0, "unit": "s", "relation": "<=", "ok": True}
    ]
    assert "node" not in document["machine"], "a machine's name is nobody's business"
