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


def test_not_a_number_is_never_confident() -> None:
    """The engine takes such a rung out; no threshold may let it pass."""
    logits = np.array([0.0, np.nan, 1.0], np.float32)
    for index in (None, 2):
        confidence = judge(logits, 1.0, 0.5, index).confidence
        assert not confidence >= 0.0
