"""A lattice made of numbers, for tests: deeper and wider exits are more often right and surer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from conversion.check.answers import prefixes_of
from conversion.check.cascade import Lattice, Scope, Truth, all_widths, judged
from conversion.check.compute import Compute, HeadShape, Lengths, TrunkShape, compute

Array = npt.NDArray[Any]

TRUNK = TrunkShape(d=128, heads=4, latent=32, rope=16, ffn=256, layers=1)
HEAD = HeadShape(hidden=128, labels=10, tag_hidden=64, tags=7)
WIDTHS = {8: (1, 2, 3, 4), 16: (1, 2, 3, 4), 32: (1, 2, 3, 4), 64: (4,)}


def costs(rows: int, seed: int = 0) -> Compute:
    """MACs of rows of 3 to 80 tokens."""
    tokens = np.random.default_rng(seed).integers(3, 80, rows)
    return compute(TRUNK, HEAD, Lengths.of(tokens, tuple(WIDTHS)), WIDTHS, 3)


def logits_of(target: Array, labels: int, seed: int = 0) -> dict[tuple[int, ...], Array]:
    """Logits of all prefixes: a row has one difficulty, which every exit overcomes more or less."""
    random = np.random.default_rng(seed)
    hard = random.normal(size=len(target))
    out = {}
    for prefix in prefixes_of(all_widths(3, WIDTHS)):
        strength = 1.8 + 0.8 * len(prefix) + 0.15 * sum(prefix)
        logits = random.normal(size=(len(target), labels)).astype(np.float32)
        logits[np.arange(len(target)), np.maximum(target, 0)] += (strength - 1.5 * hard).astype(np.float32)
        out[prefix] = logits
    return out


def make(rows: int = 400, seed: int = 0, *, slots: bool = False, scope: Scope | None = None) -> Lattice:
    """Rows of ten intents, all in scope unless a scope is given: then every tenth is foreign."""
    random = np.random.default_rng(seed)
    target = random.integers(0, 9, rows)
    asked = target.copy()
    if scope is not None:
        target[::10] = -1
        asked[::10] = scope.index if scope.index is not None else 0
    logits = logits_of(asked, 10, seed)
    truth = Truth(target, np.ones(rows), np.arange(rows))
    counts = None
    if slots:
        counts = {}
        for prefix in logits:
            missed = random.binomial(2, 0.4 - 0.1 * len(prefix), rows)
            counts[prefix] = np.stack([2 - missed, missed, missed], 1)
    return judged(logits, dict.fromkeys(logits, 1.0), scope or Scope(), (truth, costs(rows, seed), counts))


@pytest.fixture
def lattice() -> Callable[..., Lattice]:
    """`make`, for tests that import nothing from here."""
    return make
