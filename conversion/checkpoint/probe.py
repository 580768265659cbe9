"""A linear classifier on a checkpoint's mean rows: how deep to look and how strongly to regularise is chosen.

Rows are standardised first: a decoder's residual stream has a few dimensions that are a thousand times the
others, and an unscaled penalty would see only them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_py.tasks.intent import OUT_OF_SCOPE

STRENGTHS = (
    0.003,
    0.03,
    0.3,
)  # C, the inverse of the penalty's weight; the middle one is tried at every depth
FIRST = 0.03
_STEPS = 300

Array = npt.NDArray[Any]
Tell = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Probe:
    """Standardisation and weights: `depth` is the place among the depths, `strength` the C it was fitted with."""

    depth: int
    strength: float
    mean: Array
    scale: Array
    weight: Array
    bias: Array

    def rows(self, heard: Array) -> Array:
        """Standardised rows [N,d] of mean rows [D,N,d]."""
        out: Array = (heard[self.depth] - self.mean) / self.scale
        return out

    def logits(self, heard: Array) -> Array:
        """float32 [N,C] of mean rows [D,N,d]."""
        out: Array = (self.rows(heard) @ self.weight + self.bias).astype(np.float32)
        return out


@dataclass(frozen=True, slots=True)
class Trial:
    """One fitted probe with its share of right answers and mean loss on the selection split."""

    probe: Probe
    selection: float
    loss: float


@dataclass(frozen=True, slots=True)
class Side:
    """Mean rows [D,N,d] of a split and the labels' numbers [N]."""

    heard: Array
    targets: Array


def choose(train: Side, selection: Side, labels: int, tell: Tell) -> list[Trial]:
    """Fit at every depth, then at the best depth with other strengths; the best trial first."""
    depths = range(len(train.heard))
    runs = len(depths) + len(STRENGTHS) - 1
    trials: list[Trial] = []
    for depth in depths:
        trials.append(_try(train, selection, labels, (depth, FIRST)))
        tell(len(trials) / runs)
    best = max(trials, key=_rank).probe.depth
    for strength in STRENGTHS:
        if strength != FIRST:
            trials.append(_try(train, selection, labels, (best, strength)))
            tell(len(trials) / runs)
    return sorted(trials, key=_rank, reverse=True)


def fit(train: Side, labels: int, depth: int, strength: float) -> Probe:
    """Multinomial logistic regression with an L2 penalty; a label without rows is never said."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    rows = train.heard[depth]
    mean, scale = rows.mean(0), rows.std(0) + 1e-6
    model = LogisticRegression(C=strength, max_iter=_STEPS, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the steps are bounded on purpose
        model.fit((rows - mean) / scale, train.targets)
    weight, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # sklearn keeps one row for two classes
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    full, shift = (
        np.zeros((rows.shape[1], labels), np.float32),
        np.full(labels, bias.min() - 20.0, np.float32),
    )
    full[:, model.classes_], shift[model.classes_] = weight.T, bias
    return Probe(depth, strength, mean, scale, full, shift)


def accuracy(logits: Array, targets: Array) -> float:
    """Share of rows whose best label is the target; 0 of no rows."""
    return float((logits.argmax(-1) == targets).mean()) if len(targets) else 0.0


def _try(train: Side, selection: Side, labels: int, at: tuple[int, float]) -> Trial:
    probe = fit(train, labels, *at)
    logits = probe.logits(selection.heard).astype(np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    chance = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    loss = float(-chance[np.arange(len(logits)), selection.targets].mean())
    return Trial(probe, accuracy(logits, selection.targets), loss)


def _rank(trial: Trial) -> tuple[float, float]:
    return trial.selection, -trial.loss


def numbers(intents: Sequence[str], labels: Sequence[str]) -> Array:
    """Places of intents among the labels, int64 [N]; -1 for foreign rows where none were there to learn from."""
    place = {OUT_OF_SCOPE: -1} | {label: number for number, label in enumerate(labels)}
    return np.array([place[intent] for intent in intents], np.int64)
