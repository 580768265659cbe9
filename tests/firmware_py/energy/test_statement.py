"""What a listener is told of the ledger: each window once, totals always, nothing while no meter reads."""

from __future__ import annotations

import math
from typing import Any

import pytest

from firmware_py.contracts.node_state import Reconciled
from firmware_py.energy.integrate import Span
from firmware_py.energy.ledger import Line
from firmware_py.energy.statement import Statements, sum_up

FIRST = Line(Span(0.0, 1.0), 2.0, 0.5, 0.1, 0.4, 0.5, 0.4)
SECOND = Line(Span(1.0, 1.5), 1.5, 0.25, 0.2, 0.3, 0.75, 0.7)


def test_new_windows_are_summed_and_totals_are_the_newest() -> None:
    assert sum_up((), -math.inf) == Reconciled(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    both = sum_up((FIRST, SECOND), -math.inf)
    assert (both.windows, both.window_s, both.runs) == (2, 1.5, 3.5)
    assert both.metered_j == 0.75
    assert both.charged_j == pytest.approx(0.7)
    assert both.u95_j == pytest.approx(0.3), "half-widths that share their causes add up"
    assert sum_up((FIRST, SECOND), 1.0) == Reconciled(1, 0.5, 1.5, 0.25, 0.2, 0.3, 0.75, 0.7)
    assert sum_up((FIRST, SECOND), 1.5) == Reconciled(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.75, 0.7)


def test_each_window_is_told_once(board: Any) -> None:
    statements = Statements(board.ledger, board.watch)
    assert statements.take() is None, "no window was closed yet"
    board.play(4.0)
    idle = statements.take()
    assert idle == Reconciled(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    told: list[Reconciled] = []
    for until_s in (10.0, 20.0, 30.0, 33.0):
        board.play(until_s, rate_hz=0.0 if until_s == 33.0 else 20.0)
        new = statements.take()
        assert new is not None
        told.append(new)
    lines = board.ledger.lines()
    assert sum(one.windows for one in told) == len(lines) > 20
    assert sum(one.runs for one in told) == pytest.approx(sum(line.runs for line in lines))
    assert sum(one.metered_j for one in told) == pytest.approx(lines[-1].total_metered_j)
    assert sum(one.charged_j for one in told) == pytest.approx(told[-1].total_charged_j)
    assert statements.take() is None, "nothing was read since"


def test_a_meter_that_stopped_is_silent_until_it_reads_again(board: Any, monkeypatch: Any) -> None:
    statements = Statements(board.ledger, board.watch)
    board.play(4.0)
    board.play(8.0, rate_hz=20.0)
    assert statements.take() is not None
    with monkeypatch.context() as patch:
        patch.setattr(board.meter, "read", lambda: None)
        for _ in range(50):
            board.watch.step()
    assert statements.take() is None
    board.play(board.clock.now_s() + 6.0, rate_hz=20.0)
    assert statements.take() is not None
