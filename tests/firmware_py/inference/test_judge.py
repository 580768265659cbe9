"""The verdict is the textbook's softmax, whichever label is largest."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_py.inference.exits import judge

_LOGITS = st.lists(st.floats(-30.0, 30.0, width=32), min_size=2, max_size=12)


@given(logits=_LOGITS, temperature=st.floats(0.1, 10.0), outside=st.booleans())
def test_confidence_is_the_calibrated_probability(
    logits: list[float], temperature: float, outside: bool
) -> None:
    index = len(logits) - 1 if outside else None
    verdict = judge(np.array(logits, np.float32), temperature, 0.4, index)
    top = max(logits)
    weights = [math.exp((value - top) / temperature) for value in logits]
    shares = [weight / math.fsum(weights) for weight in weights]
    inside = shares[:-1] if outside else shares
    assert inside[verdict.label_index] == pytest.approx(max(inside), rel=1e-3, abs=1e-6)
    score = shares[-1] if outside else 1.0 - max(shares)
    assert verdict.out_of_scope_score == pytest.approx(score, rel=1e-3, abs=1e-6)
    assert verdict.out_of_scope == (verdict.out_of_scope_score >= 0.4)
    said = score if outside and verdict.out_of_scope else max(inside)
    assert verdict.confidence == pytest.approx(said, rel=1e-3, abs=1e-6)


@given(logits=_LOGITS, threshold=st.floats(0.0, 1.0))
def test_scored_by_confidence_a_text_is_strange_when_no_label_in_scope_is_likely(
    logits: list[float], threshold: float
) -> None:
    """The score leaves the label `oos` alone; the confidence is still that of what is said."""
    index = len(logits) - 1
    given_ = np.array(logits, np.float32)
    by_label = judge(given_, 1.0, threshold, index)
    verdict = judge(given_, 1.0, threshold, index, score_by_label=False)
    best = judge(given_, 1.0, 2.0, index)  # never out of scope: the confidence is the best label's
    assert verdict.out_of_scope_score == pytest.approx(1.0 - best.confidence, abs=1e-6)
    assert verdict.out_of_scope == (verdict.out_of_scope_score >= threshold)
    assert verdict.label_index == by_label.label_index
    said = by_label.out_of_scope_score if verdict.out_of_scope else best.confidence
    assert verdict.confidence == pytest.approx(said, abs=1e-6)


def test_not_a_number_is_never_confident() -> None:
    """The engine takes such a rung out; no threshold may let it pass."""
    logits = np.array([0.0, np.nan, 1.0], np.float32)
    for index, by_label in ((None, True), (2, True), (2, False)):
        confidence = judge(logits, 1.0, 0.5, index, score_by_label=by_label).confidence
        assert not confidence >= 0.0
