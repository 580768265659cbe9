"""The board's state is read from any root; limits follow from it by a pure rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.request import Qos
from firmware_py.resources.governor import Ask, Policy, decide
from firmware_py.resources.state import BoardState, StateReader, read_state

ASK = Ask(Qos(energy_j=0.003), due_s=12.5, rule="balanced")


def board(root: Path, zones: dict[str, str]) -> None:
    """A /sys with these thermal zones."""
    for number, (kind, temp) in enumerate(zones.items()):
        zone = root / f"sys/class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True, exist_ok=True)
        (zone / "type").write_text(f"{kind}\n", encoding="ascii")
        (zone / "temp").write_text(temp, encoding="ascii")


def test_the_hottest_named_zone_counts(tmp_path: Path) -> None:
    board(tmp_path, {"cpu-thermal": "71234\n", "gpu-thermal": "60000", "pmic": "99000"})
    state = read_state(tmp_path, ("cpu-thermal", "gpu-thermal"))
    assert state == BoardState(71.234)
    assert read_state(tmp_path).temperature_c == 99.0


def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    assert read_state(tmp_path) == BoardState()
    board(tmp_path, {"cpu-thermal": "not a number"})
    assert read_state(tmp_path).temperature_c is None


def test_the_state_is_read_once_a_second(tmp_path: Path) -> None:
    clock = VirtualClock()
    board(tmp_path, {"cpu-thermal": "50000"})
    reader = StateReader(tmp_path, (), clock)
    assert reader.state().temperature_c == 50.0
    board(tmp_path, {"cpu-thermal": "90000"})
    assert reader.state().temperature_c == 50.0
    clock.advance(1.0)
    assert reader.state().temperature_c == 90.0


@pytest.mark.parametrize(
    ("state", "cap"),
    [
        (BoardState(), None),
        (BoardState(temperature_c=79.9), None),
        (BoardState(temperature_c=80.0), 2),
        (BoardState(temperature_c=85.0), 1),
        (BoardState(temperature_c=20.0, power_w=7.0), None),
        (BoardState(temperature_c=20.0, power_w=8.1), 1),
        (BoardState(temperature_c=81.0, power_w=8.1), 1),
    ],
)
def test_heat_and_power_cap_the_depth(state: BoardState, cap: int | None) -> None:
    limits = decide(state, ASK, Policy(power_limit_w=8.0), stages=3)
    assert limits.max_stages == cap
    assert (limits.due_s, limits.rule, limits.energy_j) == (12.5, "balanced", 0.003)


def test_without_a_power_limit_power_is_free() -> None:
    assert decide(BoardState(power_w=99.0), ASK, Policy(), stages=3).max_stages is None
