"""What a way through the lattice would answer, from what every exit said: no graph is run again.

A *prefix* is the widths of the stages run so far: `()` is the zeroth exit, `(4, 2)` the exit behind stage 2
at these widths. Stages share prefixes, so 85 of them hold every one of the 64 width combinations, and a
configuration (widths and a rule) is evaluated over thousands of rows by picking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from conversion.check.compute import Compute
from conversion.check.risk import NEVER, Answered

Array = npt.NDArray[Any]
Prefix = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """The score at or above which a row is out of scope, and where `oos` stands among the labels.

    The score is the probability of `oos`, or (`by_label` false) 1 minus that of the best label in scope.
    """

    threshold: float = 1.0
    index: int | None = None
    by_label: bool = True


@dataclass(frozen=True, slots=True)
class Verdicts:
    """`firmware_py.inference.exits.Verdict` of N rows: label int [N], confidence, outside bool, score.

    `slots_sure`: how sure the least sure word's tag is [N]; None: the exits do not ask.
    """

    label: Array
    confidence: Array
    outside: Array
    score: Array
    slots_sure: Array | None = None

    @property
    def sure(self) -> Array:
        """What a rule's threshold is held against [N]: what is turned away has no slots."""
        if self.slots_sure is None:
            return self.confidence
        return np.where(self.outside, self.confidence, np.minimum(self.confidence, self.slots_sure))

    def part(self, rows: Array) -> Verdicts:
        """Some of the rows."""
        slots = None if self.slots_sure is None else self.slots_sure[rows]
        return Verdicts(self.label[rows], self.confidence[rows], self.outside[rows], self.score[rows], slots)


def judge_rows(logits: Array, temperature: float, scope: Scope) -> Verdicts:
    """Calibrate one exit's logits [N,C]; the same arithmetic as `exits.judge`, row by row."""
    top = logits.max(-1, keepdims=True)
    weights = np.exp((logits - top) * np.float32(1.0 / temperature))
    chance = weights / weights.sum(-1, keepdims=True)
    rows = np.arange(len(chance))
    if scope.index is None:
        label = chance.argmax(-1)
        confidence = chance[rows, label]
        score = 1.0 - confidence
        return Verdicts(label, confidence, score >= scope.threshold, score)
    strange = chance[:, scope.index].copy()
    chance[:, scope.index] = -1.0
    label = chance.argmax(-1)
    score = strange if scope.by_label else 1.0 - chance[rows, label]
    outside = score >= scope.threshold
    return Verdicts(label, np.where(outside, strange, chance[rows, label]), outside, score)


@dataclass(frozen=True, slots=True)
class Truth:
    """What is asked of N rows.

    target int [N]: the label's number, -1 for a foreign row. weight [N]: of a row in every share (one over
    the size of its template's group; all equal for public sets). group int [N]: rows that a resampling
    draws together.
    """

    target: Array
    weight: Array
    group: Array

    @property
    def inside(self) -> Array:
        """Rows in scope, bool [N]."""
        known: Array = self.target >= 0
        return known


@dataclass(frozen=True, slots=True)
class Lattice:
    """A split of N rows, judged at every prefix.

    `right`: in scope and the label is it, or foreign and turned away. `slots`: int [N,3] per prefix, spans
    found, invented, missed; None without slots.
    """

    verdicts: Mapping[Prefix, Verdicts]
    right: Mapping[Prefix, Array]
    slots: Mapping[Prefix, Array] | None
    compute: Compute
    truth: Truth

    @property
    def depth(self) -> int:
        """Stages."""
        return self.compute.depth

    def part(self, rows: Array) -> Lattice:
        """Some of the rows."""
        return Lattice(
            {prefix: verdicts.part(rows) for prefix, verdicts in self.verdicts.items()},
            {prefix: right[rows] for prefix, right in self.right.items()},
            None if self.slots is None else {prefix: counts[rows] for prefix, counts in self.slots.items()},
            Compute(self.compute.stages[..., rows], self.compute.intent, self.compute.tags[rows]),
            Truth(self.truth.target[rows], self.truth.weight[rows], self.truth.group[rows]),
        )


def judged(
    logits: Mapping[Prefix, Array],
    temperatures: Mapping[Prefix, float],
    scope: Scope,
    rest: tuple[Truth, Compute, Mapping[Prefix, Array] | None],
    slots_sure: Mapping[Prefix, Array] | None = None,
) -> Lattice:
    """Judge every prefix's logits [N,C].

    Args:
        logits: by prefix.
        temperatures: of each prefix.
        scope: what is turned away.
        rest: truth, compute and slot counts of the same rows.
        slots_sure: how sure each prefix is of its slots [N], where exits ask that.
    """
    truth, compute, slots = rest
    verdicts = {prefix: judge_rows(one, temperatures[prefix], scope) for prefix, one in logits.items()}
    if slots_sure is not None:
        verdicts = {prefix: replace(one, slots_sure=slots_sure[prefix]) for prefix, one in verdicts.items()}
    right = {
        prefix: np.where(truth.inside, ~v.outside & (v.label == truth.target), v.outside)
        for prefix, v in verdicts.items()
    }
    return Lattice(verdicts, right, slots, compute, truth)


@dataclass(frozen=True, slots=True)
class Rule:
    """A threshold per exit 1 … S (the last accepts always) and, where the zeroth takes part, one for it.

    `own`: it is known by its name, as exits, presets and risk rules are; one of a grid of thresholds is not.
    """

    name: str
    thresholds: tuple[float, ...]
    zeroth: float | None = None
    own: bool = field(default=True, compare=False)

    def early(self) -> list[float]:
        """The threshold of every exit but the last, 0 first."""
        return [NEVER if self.zeroth is None else self.zeroth, *self.thresholds[:-1]]


@dataclass(frozen=True, slots=True)
class Configuration:
    """A way to run: width of every stage, and when an exit may answer."""

    widths: Prefix
    rule: Rule

    def __str__(self) -> str:
        """As the tables write it: `w4-2-2 balanced`."""
        return f"w{'-'.join(map(str, self.widths))} {self.rule.name}"

    def prefixes(self) -> list[Prefix]:
        """Of exits 0 … S."""
        return [self.widths[:depth] for depth in range(len(self.widths) + 1)]


def all_widths(stages: int, lattice: Mapping[int, Sequence[int]]) -> list[Prefix]:
    """Every combination of the widths that the shortest bucket has, widest first."""
    widths = sorted(lattice[min(lattice)], reverse=True)
    return list(product(widths, repeat=stages))


def static(depth: int, stages: int) -> Rule:
    """Exit `depth` answers everything; 0 is the zeroth."""
    if depth == 0:
        return Rule("exit-0", (NEVER,) * (stages - 1) + (0.0,), 0.0)
    return Rule(f"exit-{depth}", (NEVER,) * (depth - 1) + (0.0,) * (stages - depth + 1))


def shared(name: str, threshold: float, stages: int, zeroth: float | None = None) -> Rule:
    """One threshold for every exit but the last."""
    return Rule(name, (threshold,) * (stages - 1) + (0.0,), zeroth)


def walk(lattice: Lattice, configuration: Configuration) -> Array:
    """The exit 0 … S that answers each row, int [N]."""
    asked = configuration.rule.early()
    at = np.full(len(lattice.truth.target), lattice.depth)
    # Backwards, so that the first exit that accepts has the last word.
    for number in range(lattice.depth - 1, -1, -1):
        if asked[number] <= 1.0:
            at[lattice.verdicts[configuration.widths[:number]].sure >= asked[number]] = number
    return at


def _tags_in_vain(lattice: Lattice, configuration: Configuration, exits: Array) -> Array:
    """How often each row's tag head was asked before the exit that answers it [N]: the label was sure, a slot was not."""
    out = np.zeros(len(exits), np.int64)
    for number, asked in enumerate(configuration.rule.early()):
        if asked <= 1.0:
            said = lattice.verdicts[configuration.widths[:number]]
            if said.slots_sure is not None:
                out += (exits > number) & (said.confidence >= asked) & ~said.outside
    return out


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a configuration does with N rows.

    exits int [N] (0 … S), right bool [N], rejected bool [N] (turned away as foreign), macs int64 [N], ratio
    [N] (of full depth and width at the same bucket), score [N] of strangeness, slots int [N,3] or None, in_vain int
    [N]: tag heads that were asked before the answering exit's.
    """

    exits: Array
    right: Array
    rejected: Array
    macs: Array
    ratio: Array
    score: Array
    slots: Array | None
    in_vain: Array


def run(lattice: Lattice, configuration: Configuration) -> Outcome:
    """Pick what the answering exits said."""
    at, prefixes = walk(lattice, configuration), configuration.prefixes()
    rows = np.arange(len(at))
    usable = [prefix if prefix in lattice.verdicts else prefixes[-1] for prefix in prefixes]

    def pick(parts: Sequence[Array]) -> Array:
        return np.choose(at, parts)

    macs = lattice.compute.upto(configuration.widths, zeroth=configuration.rule.zeroth is not None)[at, rows]
    in_vain = _tags_in_vain(lattice, configuration, at)
    macs = macs + in_vain * lattice.compute.tags
    counts = None
    if lattice.slots is not None:
        counts = np.stack([lattice.slots[prefix] for prefix in usable])[at, rows]
    return Outcome(
        exits=at,
        right=pick([lattice.right[prefix] for prefix in usable]),
        rejected=pick([lattice.verdicts[prefix].outside for prefix in usable]),
        macs=macs,
        ratio=macs / lattice.compute.full(),
        score=pick([lattice.verdicts[prefix].score for prefix in usable]),
        slots=counts,
        in_vain=in_vain,
    )


def answered(lattice: Lattice, widths: Prefix, *, zeroth: bool) -> Answered:
    """The exits of one width combination as risk control takes them."""
    prefixes = [widths[:depth] for depth in range(0 if zeroth else 1, len(widths) + 1)]
    return Answered(
        np.stack([lattice.verdicts[prefix].sure for prefix in prefixes[:-1]]),
        np.stack([lattice.right[prefix] for prefix in prefixes]),
    )


def slot_f1(counts: Array, weight: Array) -> float:
    """Micro-F1 of exact spans from counts [N,3] (found, invented, missed), rows weighted."""
    found, invented, missed = (counts * weight[:, None]).sum(0)
    return float(2 * found / max(2 * found + invented + missed, 1e-12))


def weighted(values: Array, weight: Array) -> float:
    """Weighted mean."""
    return float((values * weight).sum() / weight.sum())
