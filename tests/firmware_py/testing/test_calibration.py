"""The calibration error, and what of it is chance."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_py.testing.calibration import calibration_error, calibration_of


def test_the_error_is_the_bins_distance_weighted_by_rows() -> None:
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    right = np.array([True, True, True, False, False, True])
    # 4 rows say 0.95 and are right in 0.75, 2 say 0.55 and are right in 0.5.
    assert calibration_error(confidence, right) == pytest.approx((4 * 0.20 + 2 * 0.05) / 6)


def test_certainty_falls_into_the_last_bin() -> None:
    assert calibration_error(np.array([1.0, 1.0]), np.array([True, True])) == 0.0


def test_perfect_confidences_are_not_told_from_perfect_and_bold_ones_are() -> None:
    random = np.random.default_rng(7)
    confidence = random.uniform(0.5, 1.0, 1000)
    honest = calibration_of(1, confidence.tolist(), (random.random(1000) < confidence).tolist())
    bold = calibration_of(1, confidence.tolist(), (random.random(1000) < confidence - 0.1).tolist())
    assert honest is not None
    assert bold is not None
    assert 0.01 < honest.perfect < honest.perfect_p95 < 0.06
    assert honest.error <= honest.perfect_p95 < bold.error
    assert bold.error == pytest.approx(0.1, abs=0.03)


def test_chance_shrinks_with_rows_and_the_draws_are_the_same_every_time() -> None:
    few = calibration_of(2, [0.7] * 100, [True] * 100)
    many = calibration_of(2, [0.7] * 10_000, [True] * 10_000)
    assert few is not None
    assert many is not None
    assert many.perfect < 0.2 * few.perfect
    assert few == calibration_of(2, [0.7] * 100, [True] * 100)


def test_no_rows_say_nothing() -> None:
    assert calibration_of(0, [], []) is None
