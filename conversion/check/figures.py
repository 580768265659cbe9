"""What a split says of one configuration or of a baseline: every template weighs the same.

Shares are over the in-scope rows, where a rejected one is wrong; out-of-scope rows stand beside them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from conversion.check.cascade import Configuration, Lattice, Truth, run, slot_f1, walk, weighted

Array = npt.NDArray[Any]
FIXED_ACCURACY = 0.94  # in scope, at which the recall of out-of-scope rows is also given


@dataclass(frozen=True, slots=True)
class Guesses:
    """What a system said of N rows: label int [N] (-1: turned away), score [N] that grows with strangeness."""

    label: Array
    score: Array


def describe(lattice: Lattice, configuration: Configuration) -> dict[str, Any]:
    """The figures of one configuration of the lattice on its split."""
    outcome, truth = run(lattice, configuration), lattice.truth
    if not truth.inside.any():
        return measure(truth, Guesses(np.where(outcome.rejected, -1, 0), outcome.score))
    known, weight = truth.inside, truth.weight
    at, rows = walk(lattice, configuration), np.arange(len(truth.target))
    labels = np.stack([lattice.verdicts[prefix].label for prefix in _asked(lattice, configuration)])[at, rows]
    said = Guesses(np.where(outcome.rejected, -1, labels), outcome.score)
    last = lattice.right[configuration.widths]
    inner = weight[known]
    return measure(truth, said) | {
        "slot_f1": None if outcome.slots is None else measured_slots(outcome.slots[known], inner),
        "exit_share": [_round(weighted(outcome.exits[known] == e, inner)) for e in range(lattice.depth + 1)],
        "compute_ratio": _round(weighted(outcome.ratio[known], inner)),
        "macs": round(weighted(outcome.macs[known], inner)),
        "harm": _round(weighted((last & ~outcome.right)[known], inner)),
    }


def measured_slots(counts: Array, weight: Array) -> float | None:
    """Slot F1 from counts [N,3] (found, invented, missed); None where no row is marked with a slot: not 0."""
    return _round(slot_f1(counts, weight)) if counts[:, [0, 2]].any() else None


def measure(truth: Truth, said: Guesses) -> dict[str, Any]:
    """Accuracy, macro-F1 and the out-of-scope figures; a side without in-scope rows has the recall alone."""
    known, weight = truth.inside, truth.weight
    right = said.label == truth.target
    if not known.any():
        recall = _round(float((said.label == -1).mean()))
        return {"n": 0, "out_of_scope": {"n": len(known), "recall": recall}}
    return {
        "n": int(known.sum()),
        "accuracy": _round(weighted(right[known], weight[known])),
        "macro_f1": _round(macro_f1(truth, said.label)),
        "rejected": _round(weighted((said.label == -1)[known], weight[known])),
        "out_of_scope": out_of_scope(truth, said),
    }


def out_of_scope(truth: Truth, said: Guesses) -> dict[str, Any] | None:
    """Count, AUROC, recall and in-scope accuracy at the shipped threshold, and recall at `FIXED_ACCURACY`."""
    known = truth.inside
    if known.all():
        return None
    right = (said.label == truth.target)[known]
    inside, strange, weight = said.score[known], said.score[~known], truth.weight[known]
    return {
        "n": int((~known).sum()),
        "auroc": _round(auroc(inside, strange)) if np.ptp(said.score) > 0 else None,
        "recall": _round(float((said.label[~known] == -1).mean())),
        "in_scope_accuracy": _round(weighted(right, weight)),
        "recall_at_94": _recall_at(inside, strange, right * weight / weight.sum()),
    }


def macro_f1(truth: Truth, label: Array) -> float:
    """Mean F1 over the intents that occur among the in-scope rows."""
    hit: dict[int, float] = defaultdict(float)
    missed: dict[int, float] = defaultdict(float)
    wrong: dict[int, float] = defaultdict(float)
    known = np.flatnonzero(truth.inside)
    for want, got, weight in zip(truth.target[known], label[known], truth.weight[known], strict=True):
        if got == want:
            hit[int(want)] += weight
            continue
        missed[int(want)] += weight
        wrong[int(got)] += weight
    intents = sorted({int(one) for one in truth.target[known]})
    return float(np.mean([2 * hit[i] / (2 * hit[i] + missed[i] + wrong[i]) for i in intents]))


def auroc(inside: Array, outside: Array) -> float:
    """Chance that a foreign row scores higher than an in-scope one, ties half (Mann-Whitney U)."""
    both = np.concatenate([inside, outside])
    _, back, count = np.unique(both, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2.0)[back]
    positive = rank[len(inside) :].sum() - len(outside) * (len(outside) + 1) / 2.0
    return float(positive / (len(inside) * len(outside)))


def _recall_at(inside: Array, strange: Array, gain: Array) -> float | None:
    """Most foreign rows turned away while at least `FIXED_ACCURACY` of the in-scope ones are kept and right.

    `gain` [N] is what each in-scope row adds to the accuracy while it is kept; rejected ones count as wrong
    already where the shipped threshold turned them away.
    """
    order = np.argsort(inside)
    total = np.cumsum(gain[order])
    enough = np.flatnonzero(total >= FIXED_ACCURACY)
    if not len(enough):
        return None
    threshold = inside[order][enough[0]]
    return _round(float((strange > threshold).mean()))


def _asked(lattice: Lattice, configuration: Configuration) -> list[tuple[int, ...]]:
    prefixes = configuration.prefixes()
    return [prefix if prefix in lattice.verdicts else prefixes[-1] for prefix in prefixes]


def _round(value: float) -> float:
    return round(float(value), 5)
