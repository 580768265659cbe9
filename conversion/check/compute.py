"""What a run computes, in multiply-accumulates (MACs) of its matrix products.

Counted as `conversion/export/stage_graph.py` and `firmware_py/inference/heads.py` multiply: graphs over all
T rows of their length bucket, padding included; heads over the n real tokens. Element-wise work (norms,
softmax, rotation, activation) is left out, as usual; the embedding is a lookup and counts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_py.contracts.manifest import Manifest
from firmware_py.contracts.run import FULL_WIDTH
from firmware_py.inference.heads import WINDOW

GROUPS = FULL_WIDTH

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class TrunkShape:
    """Sizes of one stage; `layers` are per stage, `heads` and `ffn` at full width."""

    d: int
    heads: int
    latent: int
    rope: int
    ffn: int
    layers: int = 1


@dataclass(frozen=True, slots=True)
class HeadShape:
    """Sizes of one exit's head; `tags` is 0 where the task has no slots."""

    hidden: int
    labels: int
    tag_hidden: int = 0
    tags: int = 0


def trunk_shape(manifest: Manifest) -> TrunkShape:
    """The trunk's sizes as the manifest says them."""
    dims = {name: int(value) for name, value in manifest.dims.items()}
    return TrunkShape(
        dims["d_model"], dims["heads"], dims["latent"], dims["rope"], dims["ffn"], dims["layers"]
    )


def head_shape(arrays: Mapping[str, Array]) -> HeadShape:
    """A head's sizes from its arrays."""
    hidden, labels = arrays["intent_w2"].shape
    if "tag_w2" not in arrays:
        return HeadShape(hidden, labels)
    return HeadShape(hidden, labels, *arrays["tag_w2"].shape)


def stage_macs(trunk: TrunkShape, rows: Array | int, width: int) -> Array:
    """MACs of one stage graph over T rows (one number or [N]) at width 1 … 4."""
    t = np.asarray(rows, np.int64)
    heads, columns = trunk.heads // GROUPS * width, trunk.ffn // GROUPS * width
    state = trunk.latent + trunk.rope
    per_row = (
        trunk.d * heads * trunk.latent  # query
        + 2 * trunk.d * heads * trunk.rope  # its rotary part and the half-swap of it
        + trunk.d * trunk.latent
        + 2 * trunk.d * trunk.rope  # rotary key and its half-swap
        + heads * trunk.latent * trunk.d  # out
        + 3 * trunk.d * columns  # gate, up, down
    )
    per_pair = heads * (state + trunk.latent)  # scores, then the weighted rows
    macs: Array = trunk.layers * (t * per_row + t * t * per_pair)
    return macs


def intent_macs(head: HeadShape, d: int) -> int:
    """MACs of one intent head; it pools, so its input has one row of 3d numbers."""
    return 3 * d * head.hidden + head.hidden * head.labels


def tag_macs(head: HeadShape, d: int, tokens: Array | int) -> Array:
    """MACs of one tag head over n tokens (one number or [N]); 0 without slots."""
    n = np.asarray(tokens, np.int64)
    if not head.tags:
        return np.zeros_like(n)
    seen = n + sum(np.maximum(n - abs(shift), 0) for shift in WINDOW)
    mixed = (3 * n - 2) * head.tag_hidden**2
    macs: Array = (
        seen * d * head.tag_hidden + 3 * d * head.tag_hidden + mixed + n * head.tag_hidden * head.tags
    )
    return macs


@dataclass(frozen=True, slots=True)
class Lengths:
    """N texts: real tokens [N] (cut to the longest bucket) and the bucket that each runs in [N]."""

    tokens: Array
    buckets: Array

    @classmethod
    def of(cls, tokens: Sequence[int] | Array, buckets: Sequence[int]) -> Lengths:
        """The smallest bucket that holds a text, else the largest."""
        sizes = np.array(sorted(buckets), np.int64)
        n = np.minimum(np.asarray(tokens, np.int64), sizes[-1])
        return cls(n, sizes[np.searchsorted(sizes, n)])


@dataclass(frozen=True, slots=True)
class Compute:
    """MACs of every part of every text's run.

    stages int64 [S,4,N]: stage s at width w; intent: of one intent head; tags int64 [N]: of one tag head.
    """

    stages: Array
    intent: int
    tags: Array

    @property
    def depth(self) -> int:
        """S, the number of stages."""
        return len(self.stages)

    def full(self) -> Array:
        """Every stage at full width, every exit's intent head asked, the last one's tags [N]: what ratio 1.0 is."""
        full: Array = self.stages[:, -1].sum(0) + self.depth * self.intent + self.tags
        return full

    def static(self, depth: int) -> Array:
        """The first `depth` stages at full width and one head [N]: a student of that depth without exits."""
        alone: Array = self.stages[:depth, -1].sum(0) + self.intent + self.tags
        return alone

    def upto(self, widths: Sequence[int], *, zeroth: bool) -> Array:
        """MACs [S+1,N] of a run that ends at exit 0 … S; with `zeroth` that exit's head was asked on the way."""
        out = np.zeros((self.depth + 1, self.stages.shape[-1]), np.int64)
        out[0] = self.intent if zeroth else 0
        for stage, width in enumerate(widths):
            out[stage + 1] = out[stage] + self.stages[stage, width - 1] + self.intent
        ended: Array = out + self.tags
        return ended


def compute(
    trunk: TrunkShape, head: HeadShape, lengths: Lengths, lattice: Mapping[int, Sequence[int]], stages: int
) -> Compute:
    """The table for N texts; `lattice` maps a bucket to its widths, a width that it lacks runs as the next wider."""
    table = np.zeros((GROUPS, len(lengths.buckets)), np.int64)
    for bucket in np.unique(lengths.buckets):
        at = lengths.buckets == bucket
        for width in range(1, GROUPS + 1):
            runs = min(wide for wide in lattice[int(bucket)] if wide >= width)
            table[width - 1, at] = stage_macs(trunk, int(bucket), runs)
    return Compute(
        stages=np.repeat(table[None], stages, 0),
        intent=intent_macs(head, trunk.d),
        tags=tag_macs(head, trunk.d, lengths.tokens),
    )


def lattice_widths(manifest: Manifest) -> dict[int, tuple[int, ...]]:
    """The widths that each length bucket has at every stage."""
    out = {}
    for bucket in manifest.buckets:
        found = [
            {
                graph.key.width
                for graph in manifest.graphs
                if (graph.key.bucket, graph.key.stage) == (bucket, stage)
            }
            for stage in range(1, manifest.stages + 1)
        ]
        out[bucket] = tuple(sorted(set.intersection(*found)))
    return out
