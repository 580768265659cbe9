"""The watch in virtual time: paces, windows, and every fault that a bus can have."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.reply import UNKNOWN_ENERGY
from firmware_py.energy.meters.base import Pace
from firmware_py.energy.watch import EnergyWatch

WARNINGS = "firmware_py.energy.watch"


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == WARNINGS and r.levelno >= logging.WARNING]


def pace_of(board: Any) -> Any:
    return board.watch._pace


def test_power_is_unknown_until_a_window_closed(board: Any) -> None:
    assert board.watch.power_w() is None
    board.play(3.0)
    power_w = board.watch.power_w()
    assert power_w == pytest.approx(board.plant.energy_j(1.0, 3.0) / 2.0, rel=0.1)
    board.clock.advance(10.0)
    assert board.watch.power_w() is None


def test_slow_while_idle_fast_while_answers_are_given(board: Any) -> None:
    board.play(5.0)
    assert pace_of(board) is Pace.IDLE
    board.play(8.0, rate_hz=20.0)
    assert pace_of(board) is Pace.BUSY
    board.play(12.0)
    assert pace_of(board) is Pace.IDLE
    assert board.watch.dropped == 0
    assert board.watch.windows >= 10


def test_a_nack_drops_its_window_and_nothing_else(board: Any, caplog: pytest.LogCaptureFixture) -> None:
    board.play(3.5)
    before = board.watch.windows
    board.bus.nack_next = 1
    board.play(7.5)
    assert board.watch.dropped == 1
    assert board.watch.windows >= before + 3
    warnings = said(caplog)
    assert len(warnings) == 2
    assert "the window is dropped" in warnings[0]
    assert "reads again" in warnings[1]


def test_an_absent_sensor_is_said_once_and_so_is_its_return(
    board: Any, caplog: pytest.LogCaptureFixture
) -> None:
    board.bus.absent = True
    board.play(30.0)
    assert not board.watch.answered
    assert board.watch.power_w() is None
    assert len(said(caplog)) == 1
    assert "no joules are measured" in said(caplog)[0]
    board.bus.absent = False
    board.play(45.0)
    assert board.watch.power_w() is not None
    assert board.watch.answered
    assert len(said(caplog)) == 2
    assert "reads now" in said(caplog)[1]


def test_a_stuck_bus_is_asked_ever_more_rarely(board: Any) -> None:
    board.play(2.0)
    board.bus.stuck = True
    board.play(62.0)
    tries = board.watch.dropped
    assert tries < 25  # 0.1, 0.2, … 3.2 s, then every 5 s
    board.bus.stuck = False
    board.play(70.0)
    assert board.watch.power_w() is not None


def test_a_chip_that_restarts_voids_its_window(board: Any, caplog: pytest.LogCaptureFixture) -> None:
    board.play(3.5)
    board.bus.power_cycle()
    board.play(7.5)
    assert board.watch.dropped == 1
    assert "restarted by itself" in said(caplog)[0]
    assert board.watch.power_w() is not None


def test_over_range_is_no_power(board: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Short:
        def means(self, spans: Any) -> list[tuple[float, float]]:
            return [(5.0, 50.0)] * len(spans)

    board.play(2.5)
    board.bus._supply = Short()
    board.play(8.0)
    assert board.watch.power_w() is None
    assert any("full scale" in line for line in said(caplog))
    assert len(said(caplog)) == 1


def test_a_host_that_sleeps_loses_windows_and_says_so_only_when_it_lasts(
    board: Any, caplog: pytest.LogCaptureFixture
) -> None:
    board.play(3.5)
    board.clock.advance(0.7)
    board.play(6.0)
    assert board.watch.dropped == 1
    assert said(caplog) == []
    for _ in range(5):
        board.clock.advance(0.7)
        board.play(board.clock.now_s() + 0.31)
    assert len(said(caplog)) == 1
    assert "insufficient samples" in said(caplog)[0]
    board.play(board.clock.now_s() + 4.0)
    assert len(said(caplog)) == 2
    assert board.watch.power_w() is not None


@pytest.mark.parametrize("stop_s", [2.5, 60.0, 3600.0])
def test_after_a_stop_metering_goes_on_at_once(board: Any, stop_s: float) -> None:
    """A suspended process owes no windows for the time in which it read nothing."""
    board.play(3.5)
    board.clock.advance(stop_s)
    board.play(board.clock.now_s() + 3.2)
    assert board.watch.dropped <= 2
    power_w = board.watch.power_w()
    assert power_w == pytest.approx(
        board.plant.energy_j(board.clock.now_s() - 2.0, board.clock.now_s()) / 2, rel=0.1
    )


def test_answers_go_on_without_a_sensor(new_board: Callable[..., Any]) -> None:
    board = new_board(3)
    board.bus.absent = True
    board.play(5.0, rate_hz=10.0)
    assert board.answers
    assert all(energy.method == "estimated" and energy.rate_hz is None for energy, _ in board.answers)
    unknown = new_board(3, busy_w=None)
    unknown.bus.absent = True
    unknown.play(5.0, rate_hz=10.0)
    assert all(energy.energy_j is None and energy.method == "none" for energy, _ in unknown.answers)
    assert UNKNOWN_ENERGY.u95_j is None


def test_the_thread_starts_stops_and_powers_the_sensor_down(new_board: Callable[..., Any]) -> None:
    board = new_board(1)
    clock = SystemClock()
    with EnergyWatch(board.meter, board.ledger, clock) as watch:
        watch.start()
        watch.start()
    watch.close()
    assert board.bus._config.mode == 0


def test_a_defect_in_a_driver_ends_no_metering(
    board: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise KeyError

    board.play(3.5)
    with monkeypatch.context() as patch:
        patch.setattr(board.meter, "read", broken)
        board.play(10.0)
        assert board.watch.power_w() is None
    board.play(20.0)
    assert board.watch.power_w() is not None
    assert "KeyError" in said(caplog)[0]
    assert "reads again" in said(caplog)[-1]
