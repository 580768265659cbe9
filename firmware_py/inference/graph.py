"""DynamicComputingGraph: the lattice of (length bucket, stage, width) graphs and the ways through it.

An input signature is its length bucket. For each there is a path: rungs in the order in which they
are tried, each a delegate and the width groups of every stage. The residual stream has full width on
every rung, so a run may change rungs between stages.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from firmware_py.contracts.configuration import Configuration
from firmware_py.contracts.manifest import Graph, Manifest
from firmware_py.contracts.run import GraphKey


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to run every stage: who, at which widths, and so which graphs."""

    delegate: str
    widths: tuple[int, ...]
    graphs: tuple[GraphKey, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """All ways for one input signature, best first. `position_dims` is the size of the rotary tables."""

    bucket: int
    rungs: tuple[Rung, ...]
    position_dims: int


class DynamicComputingGraph:
    """Finds the path of an input signature; found once, then looked up."""

    __slots__ = ("_buckets", "_graphs", "_ladder", "_paths", "_recipe", "stages")

    def __init__(self, manifest: Manifest, ladder: Sequence[str]) -> None:
        """Take the delegates in ladder order, the best first."""
        self._graphs: dict[GraphKey, Graph] = {g.key: g for g in manifest.graphs if g.past == 0}
        self._buckets = sorted({key.bucket for key in self._graphs})
        self._ladder = tuple(ladder)
        self._recipe = manifest.recipe
        self._paths: dict[int, Way] = {}
        self.stages = manifest.stages

    def path(self, tokens: int) -> Way:
        """The path for a text of so many tokens; the largest bucket for one that is longer."""
        at = min(bisect.bisect_left(self._buckets, tokens), len(self._buckets) - 1)
        bucket = self._buckets[at]
        found = self._paths.get(bucket)
        if found is None:
            found = self._paths[bucket] = self._find(bucket)
        return found

    def configuration(self, path: Way, rung: Rung, rule: str) -> str:
        """The written key of a run along a rung."""
        return str(Configuration(path.bucket, rung.widths, rule, self._recipe))

    def _find(self, bucket: int) -> Way:
        """Full width on every delegate first; narrower graphs, where the bundle has them, below."""
        widths = sorted({key.width for key in self._graphs if key.bucket == bucket}, reverse=True)
        rungs = []
        for width in widths:
            keys = tuple(GraphKey(bucket, stage, width) for stage in range(1, self.stages + 1))
            if all(key in self._graphs for key in keys):
                rungs += [Rung(delegate, (width,) * self.stages, keys) for delegate in self._ladder]
        tables = [spec.shape[-1] for spec in self._graphs[rungs[0].graphs[0]].inputs if spec.name == "cos"]
        return Way(bucket, tuple(rungs), tables[0] if tables else 0)
