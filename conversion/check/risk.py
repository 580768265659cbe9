"""Exit thresholds with a promise: with confidence 1 - delta at most epsilon of the rows are harmed.

*Harm*: the last exit is right and the cascade is wrong. Rules stand in a sequence from the safest to the
cheapest that the test rows had no part in; each is tested against "harm is above epsilon" with the exact
binomial tail, and the walk stops at the first that is not rejected. Fixed-sequence testing keeps the chance
of ever passing a bad rule at delta, whatever the shape of the harm (Learn then Test, Angelopoulos et al.
2021, arXiv 2110.01052; for early exits: Fast yet Safe, Jazbec et al. 2024, arXiv 2405.20915). The promise
is for rows drawn like the test rows: new sentences of the same users, not a new subject.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

DELTA = 0.05
NEVER = 2.0  # no confidence reaches it: the exit is never taken
RULES = {"risk-1": 0.01, "risk-2": 0.02}
GRID = (
    0.999, 0.998, 0.996, 0.994, 0.992, 0.99, 0.985, 0.98, 0.97, 0.96, 0.95, 0.94, 0.92, 0.9, 0.88, 0.86, 0.84,
    0.82, 0.8, 0.775, 0.75, 0.725, 0.7, 0.675, 0.65, 0.625, 0.6, 0.575, 0.55, 0.525, 0.5, 0.475, 0.45, 0.425,
    0.4, 0.375, 0.35, 0.325, 0.3, 0.25, 0.2, 0.15, 0.1, 0.0,
)  # fmt: skip

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Risk:
    """A rule and what it rests on.

    `thresholds` has one entry per exit before the last, the zeroth first where it takes part. `harmed` of
    `rows` test rows were harmed; `upper` is the Clopper-Pearson bound of their share. `holds` is false when
    not even "never exit early" could be shown to keep the promise (too few rows); it is then the rule.
    """

    epsilon: float
    delta: float
    thresholds: tuple[float, ...]
    rows: int
    harmed: int
    upper: float
    tested: int
    holds: bool

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self) | {"thresholds": list(self.thresholds), "upper": round(self.upper, 6)}


@dataclass(frozen=True, slots=True)
class Answered:
    """What exits said of N rows: how sure [E,N] of every exit but the last, right [E+1,N] of all."""

    sure: Array
    right: Array

    def first(self, thresholds: Sequence[float] | Array) -> Array:
        """The exit that answers each row [N], E where it is the last."""
        taken = self.sure >= np.asarray(thresholds)[:, None]
        return np.where(taken.any(0), taken.argmax(0), len(taken))

    def harmed(self, thresholds: Sequence[float] | Array) -> Array:
        """Whether a row's last exit is right and the cascade wrong, bool [N]."""
        at = self.first(thresholds)
        harmed: Array = self.right[-1] & ~self.right[at, np.arange(len(at))]
        return harmed


def shared_sequence(exits: int, grid: Sequence[float] = GRID) -> Array:
    """One threshold for all exits, from never to always [J,E]; known before any row is seen.

    Temperatures have made the exits' confidences comparable. A sequence learned from other rows (a threshold of
    its own for the first exit, ordered by harm) saved no more on HWU64, so there is none.
    """
    return np.repeat(np.array((NEVER, *grid))[:, None], exits, 1)


def control(answered: Answered, sequence: Array, epsilon: float, delta: float = DELTA) -> Risk:
    """Walk the sequence while harm above epsilon is rejected at level delta; the last rejected rule is it."""
    rows = answered.right.shape[1]
    chosen, harmed, tested = np.full(sequence.shape[1], NEVER), 0, 0
    holds = False
    for thresholds in sequence:
        count = int(answered.harmed(thresholds).sum())
        tested += 1
        if binomial_tail(count, rows, epsilon) > delta:
            break
        chosen, harmed, holds = thresholds, count, True
    return Risk(
        epsilon=epsilon,
        delta=delta,
        thresholds=tuple(float(value) for value in chosen),
        rows=rows,
        harmed=harmed,
        upper=upper_bound(harmed, rows, delta),
        tested=tested,
        holds=holds,
    )


def guess(answered: Answered, sequence: Array, epsilon: float) -> tuple[float, ...]:
    """Where a walk may end on other rows: the last rule before more than epsilon of these are harmed.

    It promises nothing. What is to be tested is chosen with it, on rows that have no part in the test.
    """
    rows, chosen = answered.right.shape[1], np.full(sequence.shape[1], NEVER)
    for thresholds in sequence:
        if int(answered.harmed(thresholds).sum()) > epsilon * rows:
            break
        chosen = thresholds
    return tuple(float(value) for value in chosen)


def binomial_tail(count: int, rows: int, share: float) -> float:
    """P(X <= count) for X ~ Bin(rows, share): the p-value of "the share is at least this" (0 < share < 1)."""
    if count >= rows:
        return 1.0
    log_in, log_out = math.log(share), math.log1p(-share)
    terms = [
        math.lgamma(rows + 1)
        - math.lgamma(k + 1)
        - math.lgamma(rows - k + 1)
        + k * log_in
        + (rows - k) * log_out
        for k in range(count + 1)
    ]
    return min(1.0, math.fsum(map(math.exp, terms)))


def upper_bound(count: int, rows: int, delta: float = DELTA) -> float:
    """One-sided Clopper-Pearson bound: the share at which `count` or fewer have probability delta."""
    if rows == 0 or count >= rows:
        return 1.0
    low, high = count / rows, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if 0.0 < middle < 1.0 and binomial_tail(count, rows, middle) > delta:
            low = middle
        else:
            high = middle
    return high
