"""Scores of an evaluation, from its rows. Pure; definitions: `docs/ref-evaluation.md`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from firmware_py.contracts.reply import Method
from firmware_py.testing.calibration import calibration_of

OUT_OF_SCOPE = "oos"
_TAUGHT: frozenset[Method] = frozenset({"metered", "predicted"})  # by a meter's windows on this board

Span = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Scored:
    """One row and what was answered.

    `intent` is the truth, `oos` for out of scope; `predicted` the answer, `oos` for a rejection.
    `slots` is None when the row does not say its slots. `exit_labels` is what each exit, asked alone,
    would have answered and `exit_confidences` how sure it was, both empty for a text that was not run; `zeroth_label` and
    `zeroth_confidence` are exit 0's, None where the bundle has none. `score` grows with strangeness. Seconds and joules are of this answer; joules
    and their half-width are None when unknown; `method` and `source` say what they rest on, as in a reply. `refused`: a node
    refuses the text before it runs it.
    """

    intent: str
    predicted: str
    slots: frozenset[Span] | None
    predicted_slots: frozenset[Span]
    exit: int
    exit_labels: tuple[str, ...]
    score: float
    run_s: float
    energy_j: float | None = None
    u95_j: float | None = None
    method: Method = "none"
    source: str = "none"
    simulated: bool = False
    zeroth_label: str | None = None
    exit_confidences: tuple[float, ...] = ()
    zeroth_confidence: float | None = None
    refused: bool = False


def summarise(rows: Sequence[Scored], exits: int) -> dict[str, Any]:
    """What `ciuic eval --json` prints; null where the rows say nothing."""
    inside = [row for row in rows if row.intent != OUT_OF_SCOPE]
    outside = [row for row in rows if row.intent == OUT_OF_SCOPE]
    accuracy = _mean(row.predicted == row.intent for row in inside)
    return {
        "n": len(inside),
        "accuracy": accuracy,
        "macro_f1": macro_f1([(row.intent, row.predicted) for row in inside]),
        "accuracy_by_exit": [
            _mean(row.exit_labels[at] == row.intent for row in inside) for at in range(exits)
        ],
        "exit_share": [_mean(row.exit == at + 1 for row in inside) for at in range(exits)],
        "zeroth": _zeroth(inside),
        "calibration": _calibration(inside, exits),
        "mean_depth": _mean(row.exit for row in rows),
        "slot_f1": slot_f1([(row.slots, row.predicted_slots) for row in inside if row.slots is not None]),
        "out_of_scope": None
        if not outside
        else {
            "n": len(outside),
            "auroc": auroc([row.score for row in outside], [row.score for row in inside]),
            "recall": _mean(row.predicted == OUT_OF_SCOPE for row in outside),
            "in_scope_accuracy": accuracy,
        },
        "latency_s": None
        if not rows
        else {
            "p50": quantile([row.run_s for row in rows], 0.5),
            "p99": quantile([row.run_s for row in rows], 0.99),
            "mean": _mean(row.run_s for row in rows),
        },
        "energy_j": _energy(rows),
    }


def _zeroth(inside: Sequence[Scored]) -> dict[str, float | None] | None:
    if not any(row.zeroth_label is not None for row in inside):
        return None
    return {
        "accuracy": _mean(row.zeroth_label == row.intent for row in inside),
        "exit_share": _mean(row.exit == 0 for row in inside),
    }


def _calibration(inside: Sequence[Scored], exits: int) -> list[dict[str, Any]]:
    """Of every exit that the rows were run through, exit 0 first."""
    found = [
        calibration_of(
            0, *_columns((row.zeroth_confidence, row.zeroth_label == row.intent) for row in inside)
        )
    ]
    for at in range(exits):
        run = [row for row in inside if len(row.exit_confidences) > at]
        pairs = ((row.exit_confidences[at], row.exit_labels[at] == row.intent) for row in run)
        found.append(calibration_of(at + 1, *_columns(pairs)))
    return [one.to_dict() for one in found if one is not None]


def _columns(pairs: Iterable[tuple[float | None, bool]]) -> tuple[list[float], list[bool]]:
    known = [(confidence, right) for confidence, right in pairs if confidence is not None]
    return [confidence for confidence, _ in known], [right for _, right in known]


def macro_f1(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Mean F1 over the labels that the truth has, of (truth, prediction); a rejection is no label's hit."""
    truth = Counter(label for label, _ in pairs)
    said = Counter(label for _, label in pairs)
    right = Counter(label for label, prediction in pairs if label == prediction)
    return _mean(2.0 * right[label] / (truth[label] + said[label]) for label in truth)


def slot_f1(pairs: Iterable[tuple[frozenset[Span], frozenset[Span]]]) -> float | None:
    """Micro F1 over exact (start, end, name); null when neither side has a slot."""
    right = total = 0
    for truth, predicted in pairs:
        right += len(truth & predicted)
        total += len(truth) + len(predicted)
    return 2.0 * right / total if total else None


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Chance that a positive scores above a negative, ties count half (Mann-Whitney U)."""
    if not positive or not negative:
        return None
    ranked = sorted([(score, 1) for score in positive] + [(score, 0) for score in negative])
    rank_sum, at = 0.0, 0
    while at < len(ranked):
        end = at
        while end < len(ranked) and ranked[end][0] == ranked[at][0]:
            end += 1
        rank_sum += sum(kind for _, kind in ranked[at:end]) * (at + end + 1) / 2.0
        at = end
    n = len(positive)
    return (rank_sum - n * (n + 1) / 2.0) / (n * len(negative))


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest-rank quantile: a value that occurred.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        msg = "no values"
        raise ValueError(msg)
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _energy(rows: Sequence[Scored]) -> dict[str, Any] | None:
    """Mean joules; the half-widths are of one common gain and model, so they do not average out.

    A mean is no better known than its worst row: its source is a meter only where every row's is.
    """
    known = [row for row in rows if row.energy_j is not None]
    if not known:
        return None
    return {
        "mean": _mean(row.energy_j for row in known if row.energy_j is not None),
        "u95": _mean(row.u95_j for row in known if row.u95_j is not None),
        "source": _source(known),
        "methods": dict(Counter(row.method for row in known)),
        "sources": dict(Counter(row.source for row in known)),
        "simulated": any(row.simulated for row in known),
        "n": len(known),
    }


def _source(known: Sequence[Scored]) -> str:
    """The meter's name if it taught the watts of every row, else the method of a row that it did not teach."""
    untaught = next((row.method for row in known if row.method not in _TAUGHT), None)
    return known[-1].source if untaught is None else untaught


def _mean(values: Iterable[float]) -> float | None:
    items = list(values)
    return math.fsum(items) / len(items) if items else None
