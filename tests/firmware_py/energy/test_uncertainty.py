"""Half-widths against closed forms, tables and seeded draws."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_py.energy.uncertainty import Part, effective_dof, half_width95, t95


@pytest.mark.parametrize(
    ("dof", "table"),
    [(2, 4.303), (3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (120, 1.980), (1e9, 1.960)],
)
def test_students_t(dof: float, table: float) -> None:
    assert t95(dof) == pytest.approx(table, rel=0.01)


def test_a_normal_part_gives_196_sigma() -> None:
    assert half_width95([Part("a", 2.0)]) == pytest.approx(1.96 * 2.0, rel=1e-3)


def test_a_rectangle_gives_95_percent_of_its_half_width() -> None:
    """Not 1.13 of it, as a factor of 1.96 on its standard deviation would say."""
    assert half_width95([Part("gain", 1.0, rectangular=True)]) == pytest.approx(0.95, rel=1e-4)


def test_two_equal_rectangles_give_the_triangle() -> None:
    parts = [Part("gain", 1.0, rectangular=True), Part("offset", 1.0, rectangular=True)]
    assert half_width95(parts) == pytest.approx(2.0 * (1.0 - math.sqrt(0.05)), rel=2e-3)


def test_few_degrees_of_freedom_widen() -> None:
    assert half_width95([Part("a", 1.0, dof=5.0)]) == pytest.approx(2.571, rel=0.01)


def test_welch_satterthwaite_of_two_equal_parts_adds_their_degrees() -> None:
    assert effective_dof([Part("a", 1.0, dof=10.0), Part("b", 1.0, dof=10.0)]) == pytest.approx(20.0)
    assert effective_dof([Part("a", 1.0)]) == math.inf


def test_nothing_known_wrong_is_zero() -> None:
    assert half_width95([]) == 0.0


@settings(max_examples=25, deadline=None)
@given(st.floats(0.0, 2.0), st.floats(0.0, 2.0), st.floats(0.0, 2.0), st.integers(0, 2**31))
def test_covers_95_percent_of_draws(first: float, second: float, sigma: float, seed: int) -> None:
    if first + second + sigma < 0.1:
        return
    parts = [Part("g", first, rectangular=True), Part("o", second, rectangular=True), Part("a", sigma)]
    width = half_width95(parts)
    rng = random.Random(seed)
    draws = 4000
    inside = sum(
        abs(rng.uniform(-first, first) + rng.uniform(-second, second) + rng.gauss(0.0, sigma)) <= width
        for _ in range(draws)
    )
    assert 0.93 <= inside / draws <= 0.97
