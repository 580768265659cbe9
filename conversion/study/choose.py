"""Which way through the lattice is best for a compute budget: chosen on one split, described on another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conversion.check.calibrate import PRESETS
from conversion.check.cascade import (
    Array,
    Configuration,
    Lattice,
    Prefix,
    Rule,
    answered,
    run,
    shared,
    slot_f1,
    static,
    weighted,
)
from conversion.check.risk import (
    DELTA,
    GRID,
    NEVER,
    RULES,
    Risk,
    binomial_tail,
    control,
    shared_sequence,
    upper_bound,
)
from conversion.study.bootstrap import Resample, f1_interval, share_interval

RATIOS = tuple(round(0.1 * step, 1) for step in range(1, 11))
SHARED = (0.3, 0.4, 0.5, 0.6, 0.65, 0.75, 0.85, 0.95, 0.97, 0.98, 0.99, 0.995)
ZEROTH = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995)

Tell = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Every configuration that was considered, and the risk controls behind the rules that have one."""

    configurations: tuple[Configuration, ...]
    risks: Mapping[Configuration, Risk]


def candidates(
    widths: Iterable[Prefix],
    thresholds: Lattice,
    tell: Tell = lambda _: None,
) -> Candidates:
    """Presets, single exits, risk rules and a grid of shared thresholds, at every width combination.

    Args:
        widths: combinations to consider.
        thresholds: the split on which risk rules are tested.
        tell: hears the share that is done.
    """
    ways = list(widths)
    stages, zeroth = thresholds.depth, () in thresholds.verdicts
    fixed = [shared(name, value, stages) for name, value in PRESETS.items()]
    fixed += [static(depth, stages) for depth in range(0 if zeroth else 1, stages + 1)]
    fixed += [_of_grid(value, stages) for value in SHARED]
    if zeroth:
        fixed += [
            _of_grid(value, stages, first) for first in ZEROTH for value in (*PRESETS.values(), *SHARED)
        ]
    out: list[Configuration] = []
    risks: dict[Configuration, Risk] = {}
    for number, way in enumerate(ways, 1):
        out += [Configuration(way, rule) for rule in fixed]
        for with_zeroth in (False, True)[: 1 + zeroth]:
            for configuration, risk in risk_rules(way, thresholds, zeroth=with_zeroth).items():
                out.append(configuration)
                risks[configuration] = risk
        tell(number / len(ways))
    return Candidates(tuple(out), risks)


def _of_grid(threshold: float, stages: int, zeroth: float | None = None) -> Rule:
    """One of many thresholds that are tried, called by its numbers; `zeroth`: of the zeroth exit where it takes part."""
    name = f"t{threshold:g}" if zeroth is None else f"z{zeroth:g} t{threshold:g}"
    return replace(shared(name, threshold, stages, zeroth), own=False)


def risk_rules(widths: Prefix, thresholds: Lattice, *, zeroth: bool) -> dict[Configuration, Risk]:
    """`risk-1` and `risk-2` of one width combination; with the zeroth exit their names end in `+z`."""
    said = answered(thresholds, widths, zeroth=zeroth)
    sequence = shared_sequence(len(said.sure))
    out = {}
    for name, epsilon in RULES.items():
        risk = control(said, sequence, epsilon, DELTA)
        first = risk.thresholds[0] if zeroth else None
        later = risk.thresholds[1:] if zeroth else risk.thresholds
        rule = Rule(f"{name}+z" if zeroth else name, (*later, 0.0), first)
        out[Configuration(widths, rule)] = risk
    return out


def risk_of(configuration: Configuration, thresholds: Lattice) -> Risk | None:
    """The record of a risk rule that was found elsewhere, by its own harm on the thresholds split; None: no such rule.

    `tested` is 1: this rule alone is held against the split here, not the sequence that its build walked.
    """
    rule = configuration.rule
    epsilon = RULES.get(rule.name)
    if epsilon is None:
        return None
    said = answered(thresholds, configuration.widths, zeroth=rule.zeroth is not None)
    own = (*(() if rule.zeroth is None else (rule.zeroth,)), *rule.thresholds[:-1])
    rows, harmed = said.right.shape[1], int(said.harmed(own).sum())
    return Risk(
        epsilon=epsilon,
        delta=DELTA,
        thresholds=own,
        rows=rows,
        harmed=harmed,
        upper=upper_bound(harmed, rows, DELTA),
        tested=1,
        holds=binomial_tail(harmed, rows, epsilon) <= DELTA,
    )


@dataclass(frozen=True, slots=True)
class Scores:
    """What the choosing split says of K configurations: goodness [K] and mean compute ratio [K]."""

    goodness: Array
    ratio: Array


def score(lattice: Lattice, configurations: Sequence[Configuration], tell: Tell = lambda _: None) -> Scores:
    """In-scope accuracy, averaged with slot F1 where there are slots, and compute, of every configuration."""
    inside = lattice.part(np.flatnonzero(lattice.truth.inside))
    weight = inside.truth.weight
    goodness, ratio = np.zeros(len(configurations)), np.zeros(len(configurations))
    for number, configuration in enumerate(configurations):
        outcome = run(inside, configuration)
        goodness[number] = weighted(outcome.right, weight)
        if outcome.slots is not None:
            goodness[number] = 0.5 * (goodness[number] + slot_f1(outcome.slots, weight))
        ratio[number] = weighted(outcome.ratio, weight)
        if number % 500 == 0:
            tell(number / len(configurations))
    return Scores(goodness, ratio)


def best_within(scores: Scores, budget: float) -> int | None:
    """The best configuration of at most this mean ratio, the cheapest of equals; None: nothing is so cheap."""
    affordable = np.flatnonzero(scores.ratio <= budget + 1e-12)
    if not len(affordable):
        return None
    order = np.lexsort((scores.ratio[affordable], -scores.goodness[affordable]))
    return int(affordable[order[0]])


def most_careful_within(lattice: Lattice, budget: float) -> Configuration | None:
    """The full-width cascade with the highest shared threshold whose mean multiply-accumulates are within the budget.

    `budget` is a share of the mean of full depth and width: mean over mean, as reports print compute, and not a mean
    of rows' own shares, in which a short text counts as much as a long one. One number is set, by compute alone, so
    that nothing is picked for being lucky: what a student without exits of the same compute is compared with. With a
    zeroth exit there are two such cascades; the better on these rows is taken.
    """
    full = max(lattice.verdicts, key=_width)
    found = []
    for first in (None, 0.0)[: 1 + (() in lattice.verdicts)]:
        for threshold in (NEVER, *GRID):
            zeroth = None if first is None else threshold
            configuration = Configuration(full, _of_grid(threshold, lattice.depth, zeroth))
            if spent(lattice, configuration) <= budget + 1e-12:
                found.append(configuration)
                break
    if not found:
        return None
    scores = score(lattice, found)
    return found[max(range(len(found)), key=lambda at: (scores.goodness[at], -scores.ratio[at]))]


def spent(lattice: Lattice, configuration: Configuration) -> float:
    """Mean multiply-accumulates over the in-scope rows, as a share of those of full depth and width."""
    inside = lattice.part(np.flatnonzero(lattice.truth.inside))
    macs = weighted(run(inside, configuration).macs, inside.truth.weight)
    return float(macs / weighted(inside.compute.full(), inside.truth.weight))


@dataclass(frozen=True, slots=True)
class Figures:
    """What a split says of one configuration, over its in-scope rows; intervals are 95 % bootstrap.

    `exit_share` is of exits 0 … S. `harm`: the last exit of these widths is right and the cascade wrong.
    `full_loss`: accuracy of full depth and width minus this. Foreign rows: recall and how many.
    """

    rows: int
    accuracy: float
    accuracy95: tuple[float, float]
    slot_f1: float | None
    slot_f1_95: tuple[float, float] | None
    macs: float
    ratio: float
    exit_share: tuple[float, ...]
    harm: float
    full_loss: float
    rejected: float
    foreign_rows: int
    foreign_recall: float | None

    def to_dict(self) -> dict[str, Any]:
        """For the report, shares to five places."""
        out: dict[str, Any] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, float):
                value = round(value, 6)
            elif isinstance(value, tuple):
                value = [round(one, 6) for one in value]
            out[name] = value
        return out


def figures(lattice: Lattice, configuration: Configuration, seed: int = 0) -> Figures:
    """Describe a configuration on a split that it was not chosen on."""
    inside = lattice.part(np.flatnonzero(lattice.truth.inside))
    weight = inside.truth.weight
    draw = Resample(weight, inside.truth.group, seed)
    outcome, stages = run(inside, configuration), inside.depth
    last, full = inside.right[configuration.widths], inside.right[max(inside.right, key=_width)]
    foreign = np.flatnonzero(~lattice.truth.inside)
    recall = None
    if len(foreign):
        recall = float(run(lattice.part(foreign), configuration).rejected.mean())
    return Figures(
        rows=len(weight),
        accuracy=weighted(outcome.right, weight),
        accuracy95=share_interval(outcome.right, draw),
        slot_f1=None if outcome.slots is None else slot_f1(outcome.slots, weight),
        slot_f1_95=None if outcome.slots is None else f1_interval(outcome.slots, draw),
        macs=weighted(outcome.macs, weight),
        ratio=weighted(outcome.ratio, weight),
        exit_share=tuple(weighted(outcome.exits == number, weight) for number in range(stages + 1)),
        harm=weighted(last & ~outcome.right, weight),
        full_loss=weighted(full, weight) - weighted(outcome.right, weight),
        rejected=weighted(outcome.rejected, weight),
        foreign_rows=len(foreign),
        foreign_recall=recall,
    )


def named_points(lattice: Lattice, chosen: Candidates) -> dict[str, Configuration]:
    """What a plot names: each exit alone and each named rule, at full width."""
    full = max(lattice.verdicts, key=_width)
    return {c.rule.name: c for c in chosen.configurations if c.widths == full and c.rule.own}


def _width(prefix: Prefix) -> tuple[int, int]:
    return len(prefix), sum(prefix)
