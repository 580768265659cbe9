"""Charges against the plant's truth: what is claimed per answer and in sum, in virtual time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from firmware_py.contracts.reply import Energy
from firmware_py.contracts.run import HOST_KEY, GraphKey, RunRecord, StageRun
from firmware_py.costs import CostModel
from firmware_py.energy.integrate import Span
from firmware_py.energy.ledger import Ledger, _merge
from firmware_py.energy.window import Window

RUN = RunRecord(
    "sha", "16/w4/balanced/dyn8", (StageRun(GraphKey(16, 1, 4), "xnnpack", 1.0, 0.010),), 1, 0.999, 1.012, 5
)


def test_unknown_is_null() -> None:
    energy = Ledger(CostModel(None)).charge(RUN)
    assert (energy.energy_j, energy.u95_j, energy.method, energy.source) == (None, None, "none", "none")


def test_before_any_window_the_profile_estimates() -> None:
    energy = Ledger(CostModel(2.0), source="ina219", simulated=True).charge(RUN)
    assert energy.method == "estimated"
    assert energy.energy_j == pytest.approx(2.0 * 0.013)
    assert energy.u95_j is not None
    assert 0.5 < energy.u95_j / (2.0 * 0.013) < 1.1
    assert (energy.source, energy.rate_hz, energy.samples, energy.simulated) == ("none", None, None, True)


def test_what_is_only_priced_leaves_no_trace() -> None:
    """A look-up in a cache is too short for any meter: no window may take it for a run."""
    ledger = Ledger(CostModel(2.0))
    priced = ledger.price(RUN)
    assert (ledger.method, ledger.last_charge_s, len(ledger._runs)) == ("none", -math.inf, 0)
    assert ledger.charge(RUN) == priced
    assert (ledger.method, ledger.last_charge_s, len(ledger._runs)) == ("estimated", RUN.end_s, 1)


def test_a_window_tells_bundles_with_graphs_of_the_same_names_apart() -> None:
    ledger, graph = Ledger(CostModel(2.0)), RUN.stages[0].graph
    ledger.charge(RUN)
    ledger.charge(replace(RUN, bundle_sha256="other"))
    assert ledger._seen(Span(0.0, 2.0)).seconds == {
        ("sha", graph, "xnnpack"): pytest.approx(0.010),
        ("other", graph, "xnnpack"): pytest.approx(0.010),
        HOST_KEY: pytest.approx(0.006),
    }


def test_a_simulated_run_is_marked_without_any_meter() -> None:
    record = RunRecord(RUN.bundle_sha256, RUN.configuration, RUN.stages, 1, 0.999, 1.012, 5, simulated=True)
    assert Ledger(CostModel(2.0)).charge(record).simulated


def test_an_answer_is_charged_before_its_window_closes(board: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the meter hands a window over its runs have their prices, all but one that lasts beyond its end."""
    charged: list[RunRecord] = []
    handed: dict[Span, tuple[float, int]] = {}
    charge: Callable[[RunRecord], Energy] = board.ledger.charge
    reconcile: Callable[[Window], None] = board.ledger.reconcile

    def noted_charge(run: RunRecord) -> Energy:
        charged.append(run)
        return charge(run)

    def noted_reconcile(window: Window) -> None:
        span = window.gross.span
        lines = board.ledger.lines()
        handed[span] = (sum(_share(run, span) for run in charged), sum(line.span == span for line in lines))
        reconcile(window)

    monkeypatch.setattr(board.ledger, "charge", noted_charge)
    monkeypatch.setattr(board.ledger, "reconcile", noted_reconcile)
    board.play(3.0)
    board.play(12.0, rate_hz=20.0)
    lines = board.ledger.lines()
    assert len(lines) >= 5
    for line in lines:
        runs, known = handed[line.span]
        assert known == 0
        assert runs > 1.0
        assert line.runs - 1.0 < runs <= line.runs + 1e-9
        assert line.charged_j > 0.0


def _share(run: RunRecord, span: Span) -> float:
    """How much of a run lies in a span."""
    return max(0.0, min(run.end_s, span.end_s) - max(run.start_s, span.begin_s)) / run.run_s


def test_estimates_become_predictions_with_their_windows(board: Any) -> None:
    board.play(4.0)
    board.play(25.0, rate_hz=20.0)
    methods = [energy.method for energy, _ in board.answers]
    assert methods[0] == "estimated"
    assert methods[-1] == "predicted"
    assert methods == sorted(methods)  # never back
    last = board.answers[-1][0]
    assert (last.source, last.simulated) == ("ina219", True)
    assert last.rate_hz == pytest.approx(415.0, rel=0.11)
    assert last.samples > 1000


@pytest.mark.parametrize("rate_hz", [4.0, 40.0])
def test_per_answer_predictions_hold_what_they_claim(new_board: Callable[..., Any], rate_hz: float) -> None:
    """Five boards: the sum comes close to the truth, and 95 % intervals cover single answers."""
    covered = answers = 0
    deviations = []
    for seed in range(5):
        board = new_board(seed)
        board.play(4.0)
        board.play(45.0, rate_hz=rate_hz)
        late = [pair for pair in board.answers if pair[0].method == "predicted"][len(board.answers) // 4 :]
        covered += sum(abs(energy.energy_j - true_j) <= energy.u95_j for energy, true_j in late)
        answers += len(late)
        if late:
            charged = sum(energy.energy_j for energy, _ in late)
            deviations.append(charged / sum(true_j for _, true_j in late) - 1.0)
            assert abs(deviations[-1]) <= max(energy.u95_j / energy.energy_j for energy, _ in late)
    assert len(deviations) >= 4
    assert covered / answers >= 0.88
    assert math.sqrt(sum(d * d for d in deviations) / len(deviations)) < 0.12


def test_a_wrong_profile_is_corrected(new_board: Callable[..., Any]) -> None:
    """The profile says three times too much; the windows win."""
    board = new_board(5, busy_w=3.0)
    board.play(4.0)
    board.play(60.0, rate_hz=20.0)
    energy, true_j = board.answers[-1]
    first, first_true_j = board.answers[0]
    assert first.energy_j > 2.0 * first_true_j
    charged = sum(e.energy_j for e, _ in board.answers[-200:])
    assert charged == pytest.approx(sum(t for _, t in board.answers[-200:]), rel=0.15)
    assert energy.u95_j < first.u95_j
    assert true_j > 0.0


def test_the_log_sets_charged_beside_metered(board: Any) -> None:
    board.play(4.0)
    board.play(30.0, rate_hz=20.0)
    board.play(33.0)
    lines = board.ledger.lines()
    assert len(lines) >= 20
    assert sum(line.runs for line in lines) == pytest.approx(len(board.answers), abs=25)
    last = lines[-1]
    assert last.total_metered_j == pytest.approx(sum(line.metered_j for line in lines))
    assert last.total_charged_j == pytest.approx(sum(line.charged_j for line in lines))
    inside = sum(abs(line.metered_j - line.charged_j) <= line.u95_j + 0.3 * line.charged_j for line in lines)
    assert inside >= 0.9 * len(lines)


def test_unlisted_load_is_not_charged_to_later_answers(new_board: Callable[..., Any]) -> None:
    """Idle windows tell the idle draw: a board that rests learns nothing about runs."""
    board = new_board(2)
    board.play(20.0)
    assert board.ledger.lines() == ()
    assert board.costs.windows == 0


def test_overlapping_runs_merge() -> None:
    spans = [Span(3.0, 4.0), Span(0.0, 1.0), Span(0.5, 2.0), Span(3.2, 3.4)]
    assert _merge(spans, 0.0, 0.0) == [Span(0.0, 2.0), Span(3.0, 4.0)]
    assert _merge(spans, 0.6, 0.6) == [Span(-0.6, 4.6)]
    assert _merge([], 1.0, 1.0) == []
