"""Risk control: exact tails, and the promise kept in at least 95 of 100 draws."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from conversion.check.risk import (
    NEVER,
    Answered,
    binomial_tail,
    control,
    shared_sequence,
    upper_bound,
)

EXITS = 3


def draw(rows: int, seed: int) -> Answered:
    """Exits whose confidence is an overstatement: p(right | c) = c ** 1.5 before the last, 0.95 at it."""
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.2, 1.0, (EXITS, rows)) ** 0.25
    right = random.uniform(size=(EXITS + 1, rows)) < np.vstack([confidence**1.5, np.full(rows, 0.95)])
    return Answered(confidence, right)


@pytest.mark.parametrize("percent", [1, 5, 50, 99])
@pytest.mark.parametrize(("count", "rows"), [(0, 1), (1, 1), (0, 40), (7, 40), (39, 40), (40, 40), (3, 61)])
def test_the_tail_is_the_exact_binomial_sum(count: int, rows: int, percent: int) -> None:
    p = Fraction(percent, 100)
    exact = sum(comb(rows, k) * p**k * (1 - p) ** (rows - k) for k in range(count + 1))
    assert binomial_tail(count, rows, percent / 100) == pytest.approx(float(exact), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(("count", "rows"), [(0, 1), (0, 582), (1, 582), (9, 10), (40, 2000), (1999, 2000)])
def test_the_bound_is_where_the_tail_is_delta(count: int, rows: int) -> None:
    upper = upper_bound(count, rows)
    assert count / rows < upper <= 1.0
    assert binomial_tail(count, rows, min(upper, 1 - 1e-12)) == pytest.approx(0.05, rel=1e-6)


def test_nothing_harmed_in_299_rows_is_the_fewest_that_show_one_percent() -> None:
    assert upper_bound(0, 299) <= 0.01 < upper_bound(0, 298)


@pytest.mark.parametrize("epsilon", [0.01, 0.02, 0.05])
def test_the_promise_holds_in_95_of_100_draws(epsilon: float) -> None:
    world = draw(200_000, 10_000)
    sequence = shared_sequence(EXITS)
    truth = {tuple(row): float(world.harmed(row).mean()) for row in sequence}
    found = [control(draw(600, seed), sequence, epsilon) for seed in range(400)]
    broken = sum(truth[one.thresholds] > epsilon for one in found)
    # 400 draws at a 5 % rate of breaking: 29 or more have a chance below 3 %.
    assert broken <= 28
    assert all(one.upper <= epsilon for one in found if one.holds)


def test_the_walk_stops_at_the_first_rule_that_fails_though_a_later_one_would_pass() -> None:
    rows = 1000
    confidence = np.full((1, rows), 0.1)
    confidence[0, :100], confidence[0, 100:300] = 0.9, 0.7
    right = np.ones((2, rows), bool)
    right[0, :100] = False  # the surest rows are the harmed ones
    found = control(Answered(confidence, right), np.array([[NEVER], [0.8], [NEVER]]), 0.02)
    assert found.thresholds == (NEVER,)
    assert found.tested == 2
    assert found.harmed == 0


def test_too_few_rows_prove_nothing_so_no_exit_is_early() -> None:
    found = control(draw(200, 0), shared_sequence(EXITS), 0.01)
    assert not found.holds
    assert found.thresholds == (NEVER,) * EXITS
    assert found.upper > 0.01


def test_harmless_exits_are_taken_always() -> None:
    right = np.ones((EXITS + 1, 500), bool)
    found = control(Answered(draw(500, 0).sure, right), shared_sequence(EXITS), 0.01)
    assert found.thresholds == (0.0,) * EXITS
    assert found.holds


def test_harm_is_only_where_the_last_exit_is_right() -> None:
    confidence = np.ones((1, 4))
    right = np.array([[True, False, True, False], [True, True, False, False]])
    assert Answered(confidence, right).harmed([0.5]).tolist() == [False, True, False, False]
