"""A configuration evaluated by picking says what the device's own judge and exits would say."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import numpy as np
import pytest

from conversion.check.answers import prefixes_of
from conversion.check.cascade import (
    Configuration,
    Lattice,
    Rule,
    Scope,
    all_widths,
    answered,
    judge_rows,
    run,
    shared,
    slot_f1,
    static,
)
from conversion.check.risk import NEVER
from firmware_py.inference.exits import accepts, judge

TraceFunction = Callable[[FrameType, str, Any], Any]


@pytest.mark.parametrize(
    "scope", [Scope(), Scope(0.6), Scope(0.4, 9), Scope(0.2, 0), Scope(0.7, 9, by_label=False)]
)
def test_rows_are_judged_as_the_device_judges_them_one_by_one(scope: Scope) -> None:
    logits = (np.random.default_rng(1).normal(size=(300, 10)) * 3).astype(np.float32)
    together = judge_rows(logits.copy(), 1.3, scope)
    for row, one in enumerate(logits):
        alone = judge(one.copy(), 1.3, scope.threshold, scope.index, score_by_label=scope.by_label)
        assert together.label[row] == alone.label_index
        assert together.outside[row] == alone.out_of_scope
        assert together.confidence[row] == pytest.approx(alone.confidence, abs=1e-5)
        assert together.score[row] == pytest.approx(alone.out_of_scope_score, abs=1e-5)


@pytest.mark.parametrize("asks_slots", [False, True])
@pytest.mark.parametrize("zeroth", [None, 0.9])
def test_a_walk_is_the_device_s_loop_over_exits(
    lattice: Callable[..., Lattice], zeroth: float | None, *, asks_slots: bool
) -> None:
    """Where exits ask slots, one that is sure of its label has asked its tag head, in vain or for the answer."""
    grid = lattice(200, slots=True, scope=Scope(0.3, 9))
    if asks_slots:
        random = np.random.default_rng(2)
        asking = {
            p: replace(one, slots_sure=random.uniform(0.5, 1.0, 200)) for p, one in grid.verdicts.items()
        }
        grid = replace(grid, verdicts=asking)
    configuration = Configuration((4, 2, 1), Rule("some", (0.8, 0.7, 0.0), zeroth))
    outcome = run(grid, configuration)
    in_vain = np.zeros(200, int)
    for row in range(200):
        exits = range(1, 4) if zeroth is None else range(4)
        for number in exits:
            prefix = configuration.widths[:number]
            verdicts = grid.verdicts[prefix]
            threshold = zeroth if number == 0 else configuration.rule.thresholds[number - 1]
            verdict = judge(np.zeros(2, np.float32), 1.0)  # its form; the confidence is the lattice's
            verdict = type(verdict)(0, float(verdicts.confidence[row]), bool(verdicts.outside[row]), 0.0)
            if number == 3:
                break
            if accepts(verdict, threshold or 0.0):
                if (
                    verdicts.slots_sure is None
                    or verdict.out_of_scope
                    or verdicts.slots_sure[row] >= (threshold or 0.0)
                ):
                    break
                in_vain[row] += 1
        assert outcome.exits[row] == number
        assert outcome.right[row] == grid.right[prefix][row]
        assert grid.slots is not None
        assert outcome.slots is not None
        assert (outcome.slots[row] == grid.slots[prefix][row]).all()
        stages = sum(int(grid.compute.stages[s, configuration.widths[s] - 1, row]) for s in range(number))
        heads = (number + (zeroth is not None)) * grid.compute.intent
        assert outcome.macs[row] == stages + heads + (1 + in_vain[row]) * grid.compute.tags[row]
    assert (outcome.in_vain == in_vain).all()
    assert in_vain.any() == asks_slots


def test_a_static_rule_answers_everything_at_its_depth_and_full_width_is_ratio_one(
    lattice: Callable[..., Lattice],
) -> None:
    grid = lattice(50)
    for depth in range(4):
        assert set(run(grid, Configuration((4, 4, 4), static(depth, 3))).exits) == {depth}
    full = run(grid, Configuration((4, 4, 4), static(3, 3)))
    assert full.ratio == pytest.approx(1.0)
    never = run(grid, Configuration((4, 4, 4), shared("never", NEVER, 3)))
    assert (never.exits == 3).all()


def test_a_foreign_row_is_right_when_it_is_turned_away(lattice: Callable[..., Lattice]) -> None:
    grid = lattice(100, scope=Scope(0.3, 9))
    foreign = ~grid.truth.inside
    outcome = run(grid, Configuration((4, 4, 4), static(3, 3)))
    assert (outcome.right[foreign] == outcome.rejected[foreign]).all()
    assert not (outcome.right & outcome.rejected)[~foreign].any()


def test_the_lattice_has_eighty_five_prefixes_and_sixty_four_ways(lattice: Callable[..., Lattice]) -> None:
    ways = all_widths(3, {8: (1, 2, 3, 4), 64: (4,)})
    assert len(ways) == 64
    assert len(prefixes_of(ways)) == 85
    assert set(lattice(5).verdicts) == set(prefixes_of(ways))


def test_a_part_of_the_rows_is_that_part_of_every_answer(lattice: Callable[..., Lattice]) -> None:
    grid = lattice(60, slots=True)
    sure = np.random.default_rng(3).uniform(0.5, 1.0, 60)
    grid = replace(grid, verdicts={p: replace(one, slots_sure=sure) for p, one in grid.verdicts.items()})
    configuration = Configuration((3, 3, 2), shared("some", 0.8, 3, 0.95))
    rows = np.arange(0, 60, 3)
    whole, part = run(grid, configuration), run(grid.part(rows), configuration)
    assert (whole.exits[rows] == part.exits).all()
    assert (whole.macs[rows] == part.macs).all()
    assert whole.slots is not None
    assert part.slots is not None
    assert (whole.slots[rows] == part.slots).all()


def test_harm_is_seen_by_the_same_exits(lattice: Callable[..., Lattice]) -> None:
    grid, random = lattice(300), np.random.default_rng(4)
    asking = {p: replace(one, slots_sure=random.uniform(0.5, 1.0, 300)) for p, one in grid.verdicts.items()}
    grid = replace(grid, verdicts=asking)
    said = answered(grid, (4, 4, 2), zeroth=True)
    rule = Rule("some", (0.7, 0.6, 0.0), 0.8)
    assert (said.first((0.8, 0.7, 0.6)) == run(grid, Configuration((4, 4, 2), rule)).exits).all()
    assert answered(grid, (4, 4, 2), zeroth=False).sure.shape == (2, 300)


def test_slot_f1_counts_spans_of_heavy_rows_more() -> None:
    counts = np.array([[2, 0, 0], [0, 1, 2]])
    assert slot_f1(counts, np.ones(2)) == pytest.approx(4 / 7)
    assert slot_f1(counts, np.array([3.0, 1.0])) == pytest.approx(12 / 15)


def _steps(work: Callable[[], object]) -> int:
    """How many steps of Python's own the work takes: what numpy does inside of one counts for none."""
    events: list[str] = []

    def trace(frame: FrameType, event: str, _argument: object) -> TraceFunction:
        frame.f_trace_opcodes = True
        events.append(event)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return events.count("opcode")


def test_a_configuration_over_thousands_of_rows_takes_no_more_steps_than_over_ten(
    lattice: Callable[..., Lattice],
) -> None:
    """Whole columns are picked at once: a study walks thousands of configurations."""
    configuration = Configuration((4, 3, 2), shared("some", 0.5, 3, 0.9))
    few, many = (lattice(rows, slots=True) for rows in (10, 3000))
    assert 0 < _steps(lambda: run(many, configuration)) < 2 * _steps(lambda: run(few, configuration))
