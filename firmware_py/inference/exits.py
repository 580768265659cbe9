"""When an exit may answer: pure decisions over one exit's logits.

The confidence is the largest softmax probability after temperature scaling (Guo et al. 2017, "On
Calibration of Modern Neural Networks"); temperatures and thresholds are found on a calibration split
per recipe and stand in the manifest.
"""

from __future__ import annotations

from math import exp
from typing import Any

import numpy.typing as npt

from firmware_py.contracts.records import record


@record(frozen=True, slots=True)
class Verdict:
    """What one exit says.

    `label_index` is the best label that is in scope, also when `out_of_scope` is true. `confidence`
    is the calibrated probability of what is said: of the label `oos` when the text is out of scope and
    the model has that label, else of `label_index`.
    `out_of_scope_score` grows with strangeness, 0 to 1; it is what the threshold is held against.
    """

    label_index: int
    confidence: float
    out_of_scope: bool
    out_of_scope_score: float


def judge(
    logits: npt.NDArray[Any],
    temperature: float,
    out_of_scope_threshold: float = 1.0,
    out_of_scope_index: int | None = None,
    score_by_label: bool = True,
) -> Verdict:
    """Calibrate one exit's logits and say what it believes.

    Args:
        logits: float [C], in the order of the manifest's labels.
        temperature: of this exit, > 0.
        out_of_scope_threshold: the score at or above which the text is out of scope.
        out_of_scope_index: where the label `oos` stands, or None: then the score is 1 - confidence.
        score_by_label: the score is the probability of `oos`; else 1 - that of the best label in scope
            (maximum softmax probability: Hendrycks and Gimpel 2017, arXiv 1610.02136).
    """
    # In plain Python: some forty numbers, and five calls of numpy that begin with cold code take twice as long.
    values: list[float] = logits.tolist()
    top = max(values)
    label = values.index(top)
    scale = 1.0 / temperature
    weights = [exp((value - top) * scale) for value in values]
    total = sum(weights)
    if out_of_scope_index is None:
        confidence = weights[label] / total
        score = 1.0 - confidence
        return Verdict(label, confidence, score >= out_of_scope_threshold, score)
    strange = score = weights[out_of_scope_index] / total
    if label == out_of_scope_index:
        weights[label] = -1.0
        label = weights.index(max(weights))
    if not score_by_label:
        score = 1.0 - weights[label] / total
    outside = score >= out_of_scope_threshold
    return Verdict(label, strange if outside else weights[label] / total, outside, score)


def accepts(verdict: Verdict, threshold: float) -> bool:
    """Whether an exit is as sure of what it says as a rule's threshold for it asks; the last exit is not asked."""
    return verdict.confidence >= threshold
