"""evaluate_tradeoff: what a bundle gives for a tenth, two tenths … the whole of its compute.

For each ratio the best calibrated configuration within the budget is chosen on the model-selection split;
its figures are of the report split. Temperatures are fitted on the temperature split, risk rules tested on
the thresholds split, each where the bundle itself says none. No split serves two purposes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from conversion.check.answers import LatticeAnswers, prefixes_of
from conversion.check.calibrate import fit_temperature
from conversion.check.cascade import (
    Configuration,
    Lattice,
    Prefix,
    Rule,
    Scope,
    all_widths,
    run,
    weighted,
)
from conversion.check.compute import Lengths, head_shape, lattice_widths, trunk_shape
from conversion.check.judge import Costs, Judge
from conversion.check.rows import RowFile, SystemRows, lengths_of
from conversion.data.task import TaskData
from conversion.study.choose import (
    RATIOS,
    Candidates,
    Figures,
    best_within,
    candidates,
    figures,
    most_careful_within,
    named_points,
    risk_of,
    score,
)
from conversion.study.fronts import Computation, computation
from firmware_py.bundles.read import Unpacked
from firmware_py.contracts.errors import BundleFormatError
from firmware_py.contracts.manifest import Manifest
from firmware_py.inference.heads import load_arrays
from firmware_py.tasks.intent import scope_index
from firmware_py.tasks.text import WordPiece

SPLITS = ("selection", "temperature", "thresholds", "report")

Tell = Callable[[str, float], None]


Ask = Callable[[Sequence[str], Sequence[Prefix]], LatticeAnswers]


@dataclass(frozen=True, slots=True)
class Chosen:
    """One line: a name (`0.3`, `exit-1`, `balanced`), its budget if it has one, and what was found.

    `configuration` is None where nothing is cheap enough; `cheapest` then says how much the cheapest needs.
    """

    name: str
    budget: float | None
    configuration: Configuration | None
    shipped: bool = False
    selected_accuracy: float | None = None
    report: Figures | None = None
    cheapest: float | None = None


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """The lines and what they rest on.

    `ratios`: one per budget. `equal`: the full-width cascade within what a static student of 1 … S stages computes.
    `points`: exits and rules at full width.
    """

    ratios: tuple[Chosen, ...]
    equal: tuple[Chosen, ...]
    points: tuple[Chosen, ...]
    report: Lattice
    temperatures: Mapping[Prefix, float]
    candidates: Candidates
    considered: int
    lengths: Lengths
    texts: tuple[str, ...]
    hashes: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> tuple[Chosen, ...]:
        """All of them."""
        return (*self.ratios, *self.equal, *self.points)

    def ways(self) -> dict[str, Configuration]:
        """Distinct configurations by their written form."""
        return {str(line.configuration): line.configuration for line in self.lines() if line.configuration}

    def rows(self) -> RowFile:
        """Every line's answers to the report split, row by row."""
        systems = {}
        for line in self.lines():
            if line.configuration is not None:
                outcome = run(self.report, line.configuration)
                systems[line.name] = SystemRows(outcome.right, outcome.macs, outcome.exits, outcome.slots)
        return RowFile(self.hashes.get("report", ""), self.report.truth, systems)


def evaluate_tradeoff(unpacked: Unpacked, data: TaskData, ask: Ask, tell: Tell = lambda *_: None) -> Tradeoff:
    """Find the best way through the lattice for every budget.

    Args:
        unpacked: the bundle.
        data: its task's rows, cut as they were for its training.
        ask: runs texts through the lattice in a runtime: what every asked prefix says.
        tell: hears what is being done and how much of it is done.

    Raises:
        BundleFormatError: the bundle has no lattice of widths and exits, see `check_lattice`.
    """
    manifest = unpacked.manifest
    check_lattice(manifest)
    widths = all_widths(manifest.stages, lattice_widths(manifest))
    splits = _answers(unpacked, data, ask, tell)
    temperatures = _temperatures(manifest, data, splits["temperature"], tell)
    judge = _judge(unpacked, data, temperatures)
    grids = {name: judge.lattice(data.split(name), splits[name]) for name in SPLITS}
    found = candidates(widths, grids["thresholds"], lambda share: tell("testing risk rules", share))
    found = _with_shipped(found, manifest, grids["thresholds"])
    scores = score(
        grids["selection"], found.configurations, lambda share: tell("comparing configurations", share)
    )
    inside = grids["selection"].part(np.flatnonzero(grids["selection"].truth.inside))
    weight, whole = inside.truth.weight, weighted(inside.compute.full(), inside.truth.weight)
    shares = [
        weighted(inside.compute.static(depth), weight) / whole for depth in range(1, manifest.stages + 1)
    ]
    own = set(shipped(manifest))
    named = named_points(grids["report"], found)
    known = {_computation(configuration): configuration for configuration in reversed(named.values())}

    def line(name: str, budget: float) -> Chosen:
        at = best_within(scores, budget)
        if at is None:
            return Chosen(name, budget, None, cheapest=float(scores.ratio.min()))
        return described(name, budget, found.configurations[at], float(scores.goodness[at]))

    def equal_line(name: str, budget: float) -> Chosen:
        configuration = most_careful_within(grids["selection"], budget)
        if configuration is None:
            return Chosen(name, budget, None, cheapest=float(scores.ratio.min()))
        return described(
            name, budget, configuration, float(score(grids["selection"], [configuration]).goodness[0])
        )

    def described(name: str, budget: float | None, way: Configuration, goodness: float | None) -> Chosen:
        if budget is not None:  # what has a name goes by it: `t0` is `exit-1`, and is timed once
            way = known.get(_computation(way), way)
        return Chosen(name, budget, way, way in own, goodness, figures(grids["report"], way))

    ratios = tuple(line(f"{ratio:.1f}", ratio) for ratio in RATIOS)
    equal = tuple(equal_line(f"static-{depth}", share) for depth, share in enumerate(shares, 1))
    points = tuple(described(name, None, configuration, None) for name, configuration in named.items())
    return Tradeoff(
        ratios=ratios,
        equal=equal,
        points=points,
        report=grids["report"],
        temperatures=temperatures,
        candidates=found,
        considered=len(found.configurations),
        lengths=lengths_of(data.report, judge.tokenizer, manifest.buckets),
        texts=tuple(row.text for row in data.report),
        hashes=data.hashes(),
    )


def shipped(manifest: Manifest) -> list[Configuration]:
    """The configurations that the bundle itself has rules for."""
    out = []
    for widths, rules, zeroth in (
        (manifest.full_widths, manifest.exit_rules, manifest.zeroth_rules),
        *((variant.widths, variant.exit_rules, variant.zeroth_rules) for variant in manifest.variants),
    ):
        for name, thresholds in rules.items():
            out.append(Configuration(widths, Rule(name, tuple(thresholds), zeroth.get(name))))
    return out


def check_lattice(manifest: Manifest) -> None:
    """Refuse a bundle whose compute and exits cannot be counted here: another architecture than DeepSeekLite.

    Raises:
        BundleFormatError: its stages look both ways, frame every text, or are not of latent attention.
    """
    if manifest.attention == "causal" and not manifest.frame and "latent" in manifest.dims:
        return
    msg = f"{manifest.name} is no DeepSeekLite: a trade-off cannot count what its stages compute"
    raise BundleFormatError(
        msg,
        hint="A trade-off is for bundles of `ciuic model build NAME|custom`; `ciuic eval --bundle FILE --data ROWS` gives "
        "this one's accuracy by exit and its latency.",
    )


def _computation(configuration: Configuration) -> Computation:
    rule = configuration.rule
    return computation(configuration.widths, rule.thresholds, rule.zeroth)


def _with_shipped(found: Candidates, manifest: Manifest, thresholds: Lattice) -> Candidates:
    """What the bundle says of a rule at some widths replaces what was found here under the same name.

    Its risk record is the one found where the thresholds are the same, else that of its own thresholds.
    """
    own = {(one.widths, one.rule.name): one for one in shipped(manifest)}
    kept = [one for one in found.configurations if (one.widths, one.rule.name) not in own]
    risks = {c: r for c, r in found.risks.items() if c in kept}
    for configuration in own.values():
        risk = found.risks.get(configuration) or risk_of(configuration, thresholds)
        if risk is not None:
            risks[configuration] = risk
    return Candidates((*own.values(), *kept), risks)


def _answers(unpacked: Unpacked, data: TaskData, ask: Ask, tell: Tell) -> dict[str, LatticeAnswers]:
    """All splits through the lattice at once: a child process is started once."""
    manifest = unpacked.manifest
    prefixes = prefixes_of(
        all_widths(manifest.stages, lattice_widths(manifest)),
        zeroth=any(head.exit == 0 for head in manifest.heads),
    )
    texts = [row.text for name in SPLITS for row in data.split(name)]
    tell("running the lattice", 0.0)
    said = ask(texts, prefixes)
    tell("running the lattice", 1.0)
    cuts = np.cumsum([0, *(len(data.split(name)) for name in SPLITS)])
    return {
        name: said.part(slice(begin, end)) for name, begin, end in zip(SPLITS, cuts, cuts[1:], strict=False)
    }


def _temperatures(
    manifest: Manifest, data: TaskData, said: LatticeAnswers, tell: Tell
) -> dict[Prefix, float]:
    """The bundle's own where it has them, else fitted on the temperature split."""
    own: dict[Prefix, float] = {
        manifest.full_widths[: head.exit]: head.temperature for head in manifest.heads
    }
    for variant in manifest.variants:
        for depth, temperature in enumerate(variant.temperatures, 1):
            own.setdefault(variant.widths[:depth], temperature)
    place = {label: number for number, label in enumerate(manifest.labels)}
    known = np.array([number for number, row in enumerate(data.temperature) if row.intent in place])
    targets = np.array([place[data.temperature[number].intent] for number in known])
    for number, (prefix, logits) in enumerate(said.logits.items(), 1):
        if prefix not in own:
            own[prefix] = round(fit_temperature(logits[known], targets), 4)
        tell("fitting temperatures", number / len(said.logits))
    return own


def _judge(unpacked: Unpacked, data: TaskData, temperatures: Mapping[Prefix, float]) -> Judge:
    """By the manifest; slots are counted where the rows have any."""
    manifest, labels = unpacked.manifest, unpacked.manifest.labels
    scope = Scope(
        manifest.out_of_scope_threshold,
        scope_index(labels),
        by_label=manifest.out_of_scope_score == "label",
    )
    head = next(one for one in manifest.heads if one.exit == 1)
    costs = Costs(
        trunk_shape(manifest),
        head_shape(load_arrays(unpacked.read(head.file.name))),
        lattice_widths(manifest),
        manifest.stages,
    )
    tokenizer = WordPiece.from_bytes(
        unpacked.read(manifest.tokenizer.name), skips_punctuation=manifest.skips_punctuation
    )
    slots = manifest.slots if data.slots else ()
    return Judge(labels, slots, tokenizer, temperatures, scope, costs, asks_slots=manifest.asks_slots)


def needed_bytes(manifest: Manifest, configuration: Configuration) -> int:
    """Unpacked bytes of what a configuration uses: its graphs at every length, its heads, table, vocabulary."""
    lattice = lattice_widths(manifest)
    files = {manifest.embedding.name: manifest.embedding, manifest.tokenizer.name: manifest.tokenizer}
    for graph in manifest.graphs:
        wanted = configuration.widths[graph.key.stage - 1]
        runs = min(width for width in lattice[graph.key.bucket] if width >= wanted)
        if graph.key.width == runs:
            files[graph.file.name] = graph.file
    for head in manifest.heads:
        if head.exit or configuration.rule.zeroth is not None:
            files[head.file.name] = head.file
    return sum(file.size_bytes for file in files.values())
