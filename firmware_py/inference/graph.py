"""DynamicComputingGraph: the lattice of (length bucket, stage, width) graphs and the ways through it.

An input signature is its length bucket and the widths asked for. For each there is a path: rungs in the
order in which they are tried, each a delegate and the width groups of every stage. The residual stream
has full width on every rung, so any width of a stage composes with any of the next, and a run may change
rungs between stages. A rung carries the temperatures and thresholds that its widths were calibrated with.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from firmware_py.contracts.configuration import WIDTHS_HINT, Configuration
from firmware_py.contracts.errors import ConfigError
from firmware_py.contracts.manifest import Graph, Manifest, Variant
from firmware_py.contracts.run import FULL_WIDTH, GraphKey

Widths = tuple[int, ...]
_Calibration = tuple[tuple[float, ...], Mapping[str, tuple[float, ...]], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to run every stage: who, at which widths, and so which graphs and which calibration.

    `temperatures` has one entry per exit, `rules` one threshold per exit for each rule; `zeroth` has the
    threshold of exit 0 for the rules that ask it.
    """

    delegate: str
    widths: Widths
    graphs: tuple[GraphKey, ...]
    temperatures: tuple[float, ...] = field(default=(), compare=False)
    rules: Mapping[str, tuple[float, ...]] = field(default_factory=dict, compare=False)
    zeroth: Mapping[str, float] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Way:
    """All ways for one input signature, best first. `position_dims` is the size of the rotary tables."""

    bucket: int
    rungs: tuple[Rung, ...]
    position_dims: int


class DynamicComputingGraph:
    """Finds the path of an input signature; found once, then looked up."""

    __slots__ = ("_asked", "_buckets", "_calibrated", "_full", "_graphs", "_ladder", "_manifest", "_paths", "stages")  # fmt: skip

    def __init__(self, manifest: Manifest, ladder: Sequence[str]) -> None:
        """Take the delegates in ladder order, the best first."""
        self._manifest = manifest
        self._graphs: dict[GraphKey, Graph] = {g.key: g for g in manifest.graphs if g.past == 0}
        # Not those of the graphs: only these are known to have every stage.
        self._buckets = sorted(manifest.buckets)
        self._ladder = tuple(ladder)
        heads = {head.exit: head.temperature for head in manifest.heads}
        temperatures = tuple(heads[at] for at in range(1, manifest.stages + 1))
        self._full = temperatures, manifest.exit_rules, manifest.zeroth_rules
        self._calibrated = {variant.widths: _own(manifest, variant) for variant in manifest.variants}
        self._paths: dict[int, Way] = {}
        self._asked: dict[tuple[int, Widths], Way] = {}
        self.stages = manifest.stages

    def path(self, tokens: int, widths: Widths | None = None) -> Way:
        """The path for a text of so many tokens; the largest bucket for one that is longer.

        A stage without a graph of the asked width at this length runs the nearest wider one.

        Raises:
            ConfigError: not one width per stage, or one that is none.
        """
        at = min(bisect.bisect_left(self._buckets, tokens), len(self._buckets) - 1)
        bucket = self._buckets[at]
        if widths is not None:
            return self._asked.get((bucket, widths)) or self._ask(bucket, widths)
        found = self._paths.get(bucket)
        if found is None:
            found = self._paths[bucket] = self._find(bucket)
        return found

    def configuration(self, path: Way, rung: Rung, rule: str) -> str:
        """The written key of a run along a rung."""
        return str(Configuration(path.bucket, rung.widths, rule, self._manifest.recipe))

    def _ask(self, bucket: int, widths: Widths) -> Way:
        if len(widths) != self.stages or not all(1 <= width <= FULL_WIDTH for width in widths):
            asked = "-".join(map(str, widths))
            msg = f"widths {asked} are not one of 1 to 4 for each of the model's {self.stages} stages"
            raise ConfigError(msg, hint=WIDTHS_HINT)
        found = self._asked[bucket, widths] = self._find(bucket, widths)
        return found

    def _find(self, bucket: int, asked: Widths | None = None) -> Way:
        """The asked widths on every delegate, then full width, then narrower graphs, widest first."""
        rungs = []
        for widths in dict.fromkeys(self._widths(bucket, asked)):
            keys = tuple(GraphKey(bucket, stage, width) for stage, width in enumerate(widths, start=1))
            if all(key in self._graphs for key in keys):
                own = self._calibrated.get(widths, self._full)
                rungs += [Rung(delegate, widths, keys, *own) for delegate in self._ladder]
        tables = [spec.shape[-1] for spec in self._graphs[rungs[0].graphs[0]].inputs if spec.name == "cos"]
        return Way(bucket, tuple(rungs), tables[0] if tables else 0)

    def _widths(self, bucket: int, asked: Widths | None) -> Iterator[Widths]:
        """Combinations in the order in which they are tried; some may lack a graph, some come twice."""
        here = sorted((key.stage, key.width) for key in self._graphs if key.bucket == bucket)
        if asked is not None:
            yield tuple(
                min((width for at, width in here if at == stage and width >= wanted), default=wanted)
                for stage, wanted in enumerate(asked, start=1)
            )
        for width in sorted({width for _, width in here}, reverse=True):
            yield (width,) * self.stages


def _own(manifest: Manifest, variant: Variant) -> _Calibration:
    """A variant's calibration; rules that it has no row for are full width's, exit 0 included."""
    rules = {**manifest.exit_rules, **variant.exit_rules}
    others = {name: at for name, at in manifest.zeroth_rules.items() if name not in variant.exit_rules}
    return variant.temperatures, rules, {**others, **variant.zeroth_rules}
