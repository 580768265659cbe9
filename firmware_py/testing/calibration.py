"""How far confidences are from what they promise, and how far chance alone would put them. Pure.

Expected calibration error with equal-width bins (Guo et al. 2017, "On Calibration of Modern Neural Networks",
section 2). On a thousand rows even perfect confidences miss their bins' accuracy by 2 %: the estimate is never
below zero, so noise adds up. What perfect ones would show is drawn beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BINS = 15
DRAWS = 400

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The error of one exit's confidences, and mean and 95th percentile of what perfect ones would show."""

    exit: int
    error: float
    perfect: float
    perfect_p95: float

    def to_dict(self) -> dict[str, Any]:
        """As `ciuic eval --json` prints it."""
        return asdict(self)


def calibration_of(number: int, confidence: Sequence[float], right: Sequence[bool]) -> Calibration | None:
    """Of one exit, from each row's confidence (0 to 1) and whether it was right; None without rows.

    The draws are the same every time.
    """
    if not confidence:
        return None
    said, truth = np.asarray(confidence, np.float64), np.asarray(right, bool)
    random = np.random.default_rng(0)
    drawn = [calibration_error(said, random.random(len(said)) < said) for _ in range(DRAWS)]
    return Calibration(
        number,
        calibration_error(said, truth),
        float(np.mean(drawn)),
        float(np.quantile(drawn, 0.95)),
    )


def calibration_error(confidence: Array, right: Array) -> float:
    """Mean distance between confidence and accuracy over the bins, each weighted by its rows."""
    number = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
    gaps = np.bincount(number, weights=confidence - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))
