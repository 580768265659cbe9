"""Budgets are kept on the choosing split, the best is taken, and a report says what the other split says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from conversion.check.calibrate import PRESETS
from conversion.check.cascade import Configuration, Lattice, Scope, all_widths, run, shared, static
from conversion.check.risk import GRID, NEVER
from conversion.study.choose import (
    RATIOS,
    Scores,
    best_within,
    candidates,
    figures,
    most_careful_within,
    named_points,
    risk_rules,
    score,
)

WAYS = all_widths(3, {8: (1, 2, 4)})


def test_the_best_affordable_is_taken_and_of_equals_the_cheapest() -> None:
    scores = Scores(np.array([0.9, 0.95, 0.95, 0.99]), np.array([0.2, 0.5, 0.4, 0.8]))
    assert best_within(scores, 0.1) is None
    assert best_within(scores, 0.2) == 0
    assert best_within(scores, 0.6) == 2
    assert best_within(scores, 1.0) == 3


def test_every_budget_is_kept_and_more_compute_is_never_worse_where_it_is_chosen(
    lattice: Callable[..., Lattice],
) -> None:
    selection = lattice(300, seed=1)
    chosen = candidates(WAYS, lattice(600, seed=2))
    scores = score(selection, chosen.configurations)
    last = 0.0
    for budget in RATIOS:
        at = best_within(scores, budget)
        assert at is not None
        found = figures(selection, chosen.configurations[at])
        assert found.ratio <= budget + 1e-9
        assert found.accuracy == pytest.approx(scores.goodness[at])
        assert found.accuracy >= last
        last = found.accuracy


def test_all_rules_of_the_brief_are_among_the_candidates(lattice: Callable[..., Lattice]) -> None:
    chosen = candidates([(4, 4, 4), (2, 2, 2)], lattice(600))
    names = {configuration.rule.name for configuration in chosen.configurations}
    assert names >= {*PRESETS, "risk-1", "risk-2", "risk-1+z", "exit-0", "exit-1", "exit-2", "exit-3", "t0.5"}
    assert len(chosen.configurations) == len(set(chosen.configurations))
    assert {configuration.rule.name for configuration in chosen.risks} == {
        "risk-1", "risk-2", "risk-1+z", "risk-2+z",
    }  # fmt: skip


def test_without_a_zeroth_exit_no_rule_asks_it(lattice: Callable[..., Lattice]) -> None:
    whole = lattice(600)
    verdicts = {prefix: one for prefix, one in whole.verdicts.items() if prefix}
    grid = replace(whole, verdicts=verdicts, right={prefix: whole.right[prefix] for prefix in verdicts})
    chosen = candidates([(4, 4, 4)], grid)
    assert all(configuration.rule.zeroth is None for configuration in chosen.configurations)
    assert figures(grid, chosen.configurations[0]).exit_share[0] == 0.0


def test_figures_are_plain_counts(lattice: Callable[..., Lattice]) -> None:
    grid = lattice(300, slots=True, scope=Scope(0.5, 9))
    configuration = Configuration((4, 2, 2), shared("balanced", 0.8, 3))
    found = figures(grid, configuration)
    outcome, inside = run(grid, configuration), grid.truth.inside
    assert found.rows == inside.sum()
    assert found.accuracy == pytest.approx(outcome.right[inside].mean())
    assert found.accuracy95[0] < found.accuracy < found.accuracy95[1]
    assert sum(found.exit_share) == pytest.approx(1.0)
    last = grid.right[4, 2, 2]
    assert found.harm == pytest.approx((last & ~outcome.right)[inside].mean())
    assert found.foreign_rows == 30
    assert found.foreign_recall == pytest.approx(outcome.rejected[~inside].mean())
    assert found.slot_f1 is not None
    full = figures(grid, Configuration((4, 4, 4), static(3, 3)))
    assert full.full_loss == 0.0
    assert full.ratio == pytest.approx(1.0)
    assert found.full_loss == pytest.approx(full.accuracy - found.accuracy)


def test_with_slots_the_goodness_counts_them(lattice: Callable[..., Lattice]) -> None:
    grid = lattice(200, slots=True)
    configuration = Configuration((4, 4, 4), static(1, 3))
    found = figures(grid, configuration)
    assert found.slot_f1 is not None
    assert score(grid, [configuration]).goodness[0] == pytest.approx(0.5 * (found.accuracy + found.slot_f1))


def test_heavy_rows_count_more(lattice: Callable[..., Lattice]) -> None:
    grid = lattice(100)
    weight = np.where(np.arange(100) < 50, 3.0, 1.0)
    heavy = replace(grid, truth=replace(grid.truth, weight=weight))
    configuration = Configuration((4, 4, 4), static(2, 3))
    right = run(grid, configuration).right
    assert figures(heavy, configuration).accuracy == pytest.approx((right * weight).sum() / 200)


def test_risk_rules_keep_their_promise_on_rows_of_the_same_kind(lattice: Callable[..., Lattice]) -> None:
    report = lattice(20_000, seed=9)
    for configuration, risk in risk_rules((4, 4, 4), lattice(900, seed=3), zeroth=True).items():
        assert risk.holds
        assert figures(report, configuration).harm <= risk.epsilon
        assert min(configuration.rule.thresholds[:-1]) < NEVER  # else it promises nothing


@pytest.mark.parametrize("with_zeroth", [False, True])
def test_a_budget_of_compute_alone_sets_one_threshold_at_full_width(
    lattice: Callable[..., Lattice], *, with_zeroth: bool
) -> None:
    grid = lattice(300)
    if not with_zeroth:
        kept = {prefix: one for prefix, one in grid.verdicts.items() if prefix}
        grid = replace(grid, verdicts=kept, right={prefix: grid.right[prefix] for prefix in kept})
    for budget in (0.4, 0.7, 1.1):
        found = most_careful_within(grid, budget)
        assert found is not None
        assert found.widths == (4, 4, 4)
        # As a report prints compute: mean over mean. A mean of rows' shares is another number.
        whole = figures(grid, Configuration((4, 4, 4), static(3, 3))).macs
        assert figures(grid, found).macs <= budget * whole
        threshold = found.rule.thresholds[0]
        higher = min((one for one in (*GRID, NEVER) if one > threshold), default=None)
        if higher is not None:
            zeroth = None if found.rule.zeroth is None else higher
            more = figures(grid, Configuration((4, 4, 4), shared("more", higher, 3, zeroth)))
            assert more.macs > budget * whole
    assert most_careful_within(grid, 0.001) is None


def test_points_of_a_plot_are_exits_and_rules_at_full_width(lattice: Callable[..., Lattice]) -> None:
    grid = lattice(400)
    points = named_points(grid, candidates(WAYS, grid))
    exits, risks = {f"exit-{number}" for number in range(4)}, {"risk-1", "risk-2", "risk-1+z", "risk-2+z"}
    assert set(points) == {*exits, *PRESETS, *risks}
    assert {configuration.widths for configuration in points.values()} == {(4, 4, 4)}
