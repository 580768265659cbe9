"""Paired bootstrap: right about no difference, about a real one, and about rows that are no witnesses."""

from __future__ import annotations

import numpy as np
import pytest

from conversion.study.bootstrap import (
    Resample,
    f1_difference,
    f1_interval,
    share_difference,
    share_interval,
)


def test_the_interval_of_a_share_is_the_binomial_one() -> None:
    right = np.arange(1000) < 900
    low, high = share_interval(right, Resample.even(1000))
    half = 1.96 * (0.9 * 0.1 / 1000) ** 0.5
    assert low == pytest.approx(0.9 - half, abs=2e-3)
    assert high == pytest.approx(0.9 + half, abs=2e-3)


def test_pairs_are_kept_so_a_small_steady_gain_is_seen() -> None:
    random = np.random.default_rng(0)
    second = random.uniform(size=1000) < 0.9
    first = second.copy()
    first[np.flatnonzero(~second)[:12]] = True
    found = share_difference(first, second, Resample.even(1000))
    assert found.better
    assert found.p < 0.05
    assert found.value == pytest.approx(first.mean() - second.mean())
    apart = share_difference(first, random.permutation(second), Resample.even(1000))
    assert apart.high - apart.low > 2 * (found.high - found.low)


def test_equal_systems_have_p_one_and_no_difference() -> None:
    right = np.arange(50) % 3 > 0
    found = share_difference(right, right, Resample.even(50))
    assert (found.value, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert not found.better


def test_no_difference_is_called_one_in_one_of_twenty_draws() -> None:
    random = np.random.default_rng(1)
    called = 0
    for _ in range(300):
        first, second = random.uniform(size=(2, 400)) < 0.9
        called += share_difference(first, second, Resample.even(400, samples=1000)).p < 0.05
    assert 3 <= called <= 30  # 15 expected


def test_the_same_seed_gives_the_same_interval() -> None:
    right = np.random.default_rng(2).uniform(size=(2, 200)) < 0.8
    one, two = (share_difference(right[0], right[1], Resample.even(200, seed=5)) for _ in range(2))
    assert one == two
    assert one != share_difference(right[0], right[1], Resample.even(200, seed=6))


def test_rows_of_one_template_are_one_witness() -> None:
    right = np.repeat(np.random.default_rng(3).uniform(size=50) < 0.8, 20)
    alone = share_interval(right, Resample.even(1000))
    together = share_interval(right, Resample(np.ones(1000), np.repeat(np.arange(50), 20)))
    assert together[1] - together[0] > 3 * (alone[1] - alone[0])


def test_weights_are_shares_of_the_whole() -> None:
    first, second = np.array([True, False]), np.array([False, False])
    found = share_difference(first, second, Resample(np.array([3.0, 1.0]), np.arange(2)))
    assert found.value == pytest.approx(0.75)


def test_slot_f1_differs_by_sentence() -> None:
    random = np.random.default_rng(4)
    missed = random.binomial(1, 0.2, 500)
    worse = np.stack([2 - missed, missed, missed], 1)
    better = np.stack([np.full(500, 2), np.zeros(500, int), np.zeros(500, int)], 1)
    found = f1_difference(better, worse, Resample.even(500))
    assert found.better
    assert found.value == pytest.approx(missed.sum() / 1000)
    low, high = f1_interval(worse, Resample.even(500))
    assert low < 1 - missed.sum() / 1000 < high
