"""Temperatures and thresholds of one recipe, found on the calibration split with the recipe's own logits.

Temperature per exit: least negative log-likelihood (Guo et al. 2017). Scope threshold: the lowest one that
turns away at most `MAX_REJECTED` of the in-scope rows at the last exit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

PRESETS = {"thrifty": 0.7, "balanced": 0.8, "careful": 0.9}
DEFAULT = "balanced"
MAX_REJECTED = 0.005
_LOWEST = 0.3  # a scope threshold below this would call likely answers foreign

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the manifest gets: temperatures per exit and the scope threshold."""

    temperatures: tuple[float, ...]
    scope_threshold: float
    error_before: tuple[float, ...]
    error_after: tuple[float, ...]


def calibrate(logits: Array, targets: Array, scope_index: int) -> Calibration:
    """Find them from logits [N,E,C] and labels [N], out-of-scope rows among them."""
    exits = logits.shape[1]
    temperatures = tuple(fit_temperature(logits[:, number], targets) for number in range(exits))
    last = softmax(logits[:, -1] / temperatures[-1])
    inside = np.sort(last[targets != scope_index, scope_index])
    allowed = int(len(inside) * MAX_REJECTED)
    threshold = float(inside[len(inside) - 1 - allowed]) + 1e-6 if len(inside) else 0.5
    ones = (1.0,) * exits
    return Calibration(
        temperatures=tuple(round(value, 4) for value in temperatures),
        scope_threshold=round(min(0.9, max(_LOWEST, threshold)), 4),
        error_before=tuple(calibration_error(logits[:, e], targets, ones[e]) for e in range(exits)),
        error_after=tuple(calibration_error(logits[:, e], targets, temperatures[e]) for e in range(exits)),
    )


def fit_temperature(logits: Array, targets: Array) -> float:
    """The temperature in [0.25, 4] with the least mean negative log-likelihood, by golden section."""
    low, high, ratio = np.log(0.25), np.log(4.0), (5**0.5 - 1) / 2
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if _loss(logits, targets, np.exp(left)) < _loss(logits, targets, np.exp(right)):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def calibration_error(logits: Array, targets: Array, temperature: float, bins: int = 15) -> float:
    """Expected calibration error with equal-width bins (Guo et al. 2017, section 2)."""
    chance = softmax(logits / temperature)
    confidence, right = chance.max(-1), chance.argmax(-1) == targets
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[number == k].mean() - right[number == k].mean()) * (number == k).mean()
        for k in range(bins)
        if (number == k).any()
    ]
    return round(float(sum(gaps)), 5)


def softmax(logits: Array) -> Array:
    """Over the last axis."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    chance: Array = weights / weights.sum(-1, keepdims=True)
    return chance


def _loss(logits: Array, targets: Array, temperature: float) -> float:
    chance = softmax(logits.astype(np.float64) / temperature)[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(chance, 1e-12)).mean())
