"""Temperatures and the scope threshold of one recipe, with the recipe's own logits.

Both on the `temperature` split. Temperature per exit and widths: least negative log-likelihood (Guo et al. 2017).
Scope threshold: the lowest one that turns away at most a given share of the in-scope rows at the last exit of
the full width, but where the score is the chance of `oos` never above one half. It decides with every exit's
answer what is right, so the rows that test the rules' harm have no part in it: their promise would rest on a threshold that was fitted to them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from conversion.check.cascade import Prefix, Scope, Truth, judge_rows, shared
from firmware_py.testing import calibration

PRESETS = {"thrifty": 0.7, "balanced": 0.8, "careful": 0.9}
DEFAULT = "balanced"
_LOWEST = 0.3  # a scope threshold below this would call likely answers foreign
_HIGHEST = 0.5  # and above this would act on what the model itself holds for foreign
_STEPS = 40  # golden section: the interval shrinks to 4e-9 of itself

Array = npt.NDArray[Any]


def temperatures(logits: Mapping[Prefix, Array], targets: Array) -> dict[Prefix, float]:
    """The temperature of every prefix from logits [N,C] and label numbers [N]; foreign rows without a label are left out."""
    known = targets >= 0
    return {prefix: round(fit_temperature(one[known], targets[known]), 4) for prefix, one in logits.items()}


def preset_rules(stages: int) -> dict[str, tuple[float, ...]]:
    """The presets as one threshold per exit 1 … S; the last exit always accepts."""
    return {name: shared(name, value, stages).thresholds for name, value in PRESETS.items()}


@dataclass(frozen=True, slots=True)
class Strangeness:
    """How strangeness is scored: by the probability of `oos`, or by what the best label in scope lacks to 1.

    `rejected`: the share of in-scope rows that may be turned away.
    """

    by_label: bool = True
    rejected: float = 0.005


def scope_of(logits: Array, temperature: float, foreign: Array, index: int | None, how: Strangeness) -> Scope:
    """How strangeness is scored and from which score on a text is out of scope.

    Args:
        logits: [N,C] of the last exit.
        temperature: of that exit.
        foreign: bool [N], rows that are out of scope.
        index: where `oos` stands; None: the task has no foreign rows to learn from and nothing is turned away.
        how: it is scored, and how many may be turned away.
    """
    if index is None:
        return Scope()
    score = np.sort(judge_rows(logits, temperature, Scope(2.0, index, how.by_label)).score[~foreign])
    place = len(score) - 1 - int(len(score) * how.rejected)
    threshold = float(score[place]) + 1e-6 if len(score) else 0.5
    # Rounded up: below the score that it was put above, a threshold would turn away all rows of that score.
    rounded = math.ceil(threshold * 10_000) / 10_000
    highest = _HIGHEST if how.by_label else 0.99
    return Scope(min(highest, max(_LOWEST, rounded)), index, how.by_label)


def calibrated(
    logits: Mapping[Prefix, Array], truth: Truth, full: Prefix, index: int | None, how: Strangeness
) -> tuple[dict[Prefix, float], Scope]:
    """The temperature of every prefix and, by the last exit at full width, the scope, from one split's rows.

    Args:
        logits: [N,C] of every prefix.
        truth: of the rows.
        full: the prefix of the last exit at full width.
        index: where `oos` stands; None as for `scope_of`.
        how: strangeness is scored, and how many may be turned away.
    """
    found = temperatures(logits, truth.target)
    return found, scope_of(logits[full], found[full], ~truth.inside, index, how)


def fit_temperature(logits: Array, targets: Array) -> float:
    """The temperature in [0.25, 4] with the least mean negative log-likelihood, by golden section."""
    low, high, ratio = np.log(0.25), np.log(4.0), (5**0.5 - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = _loss(logits, targets, np.exp(left)), _loss(logits, targets, np.exp(right))
    for _ in range(_STEPS):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = _loss(logits, targets, np.exp(left))
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = _loss(logits, targets, np.exp(right))
    return float(np.exp((low + high) / 2))


def calibration_error(logits: Array, targets: Array, temperature: float) -> float:
    """Expected calibration error of the best label's chance (`firmware_py/testing/calibration.py`)."""
    chance = softmax(logits / temperature)
    return round(calibration.calibration_error(chance.max(-1), chance.argmax(-1) == targets), 5)


def softmax(logits: Array) -> Array:
    """Over the last axis."""
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    chance: Array = weights / weights.sum(-1, keepdims=True)
    return chance


def _loss(logits: Array, targets: Array, temperature: float) -> float:
    chance = softmax(logits.astype(np.float64) / temperature)[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(chance, 1e-12)).mean())
