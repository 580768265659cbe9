"""One recipe of a trained student: run, calibrate, gate, bundle, sign - and what its report says.

Every choice is made on the split that is for it (`conversion/data/task.py`); the report split is only
measured. Figures come from the recipe's own files in the recipe's own runtime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from conversion.check import cascade, compute, golden
from conversion.check.answers import LatticeAnswers, Prefix, prefixes_of
from conversion.check.calibrate import (
    DEFAULT,
    Strangeness,
    calibration_error,
    preset_rules,
    scope_of,
    temperatures,
)
from conversion.check.parity import Parity, Rules, combinations, compare, gate
from conversion.check.reference import torch_answers
from conversion.check.rows import RowFile, SystemRows, lengths_of, save_rows, slot_counts, truth_of
from conversion.check.runtime import RecipeFiles, Where, run_lattice
from conversion.data.sentence import Sentence
from conversion.data.task import TaskData, inside
from conversion.export import accelerators
from conversion.export.bundle import Contents, Exits, Model, bundle
from conversion.export.lattice import BUCKETS, widths_by_bucket
from conversion.export.recipes import RECIPES
from conversion.export.sizes import sizes
from conversion.nets.student import Student
from conversion.study import choose
from firmware_py.bundles.read import read_bundle
from firmware_py.bundles.sign import sign_file
from firmware_py.bundles.verify import Trust
from firmware_py.contracts.manifest import Variant
from firmware_py.contracts.run import GraphKey
from firmware_py.inference.heads import load_arrays
from firmware_py.tasks.text import WordPiece

GATE_ROWS = 100  # of each length bucket
ZEROTH_LOSS = 0.005  # accuracy on the selection split: half of what risk-1 may harm
SPLITS = ("selection", "temperature", "thresholds", "report")


@dataclass(frozen=True, slots=True)
class Trained:
    """What all recipes of a model share."""

    data: TaskData
    student: Student
    pieces: tuple[str, ...]
    parts: Path
    strangeness: Strangeness
    provenance: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a recipe's bundle goes, who signs it, where the environments are; `every`: all 85 prefixes are run."""

    recipe: str
    graphs: Mapping[GraphKey, Path]
    path: Path
    key: Path | None
    root: Path
    every: bool


@dataclass(frozen=True, slots=True)
class _Heard:
    """A recipe's answers: of the gate's probes and of each split."""

    probes: list[str]
    own: int  # of the probes, how many are the bundle's golden ones
    probed: LatticeAnswers
    sides: dict[str, LatticeAnswers]
    runtime: str


def release(trained: Trained, target: Target) -> dict[str, Any]:
    """Write one signed bundle and return its part of the report.

    Raises:
        ConversionError: the recipe is not what torch says; nothing is written.
        ToolMissingError: its runtime's environment is not there.
    """
    data, student, tokenizer = trained.data, trained.student, WordPiece(list(trained.pieces))
    depth = student.trunk.dims.stages
    full: Prefix = (4,) * depth
    heard = _listen(trained, target, tokenizer)
    judge = _judge(trained, tokenizer, heard)
    lattices = {side: judge.lattice(side, heard.sides[side]) for side in SPLITS}

    widths = sorted({p for p in heard.probed.logits if len(p) == depth}, reverse=True)
    found = choose.candidates(widths, lattices["thresholds"])
    rules, zeroth = _rules(found, lattices["selection"], full)
    parity = [
        _parity(trained, target, tokenizer, heard, (runtime, judge, rules))
        for runtime in RECIPES[target.recipe].runtimes
    ]
    for one in parity:
        gate(one)

    best = _front(found, lattices["selection"])
    report = lattices["report"]
    shipped = _variants(
        found,
        (report, judge.temperatures),
        [full, *(way for way in widths if len(set(way)) == 1), *(way.widths for way in best.values())],
    )
    kept = bool(zeroth) or any(way.rule.zeroth is not None for way in best.values())
    exits = Exits(
        temperatures=tuple(judge.temperatures[full[:n]] for n in range(1, depth + 1)),
        rules=rules,
        default_rule=DEFAULT,
        accuracy=tuple(_accuracy(report, full[:n]) for n in range(1, depth + 1)),
        scope_threshold=judge.scope.threshold,
        zeroth=judge.temperatures[()] if kept else None,
        zeroth_rules=zeroth,
        variants=shipped,
        scope_score="label" if judge.scope.by_label else "confidence",
    )
    figures = _figures(trained, lattices, heard, judge, (rules, zeroth))
    compiled = accelerators.describe(target.recipe, target.graphs, target.root)
    contents = Contents(
        model=Model(data.name, data.task, data.languages, data.labels, data.slots, student.trunk.dims),
        recipe=target.recipe,
        graphs=target.graphs,
        ops=heard.probed.ops,
        parts=trained.parts,
        golden=golden.golden_bytes(
            heard.probes[: heard.own],
            heard.probed.part(slice(0, heard.own)),
            golden.Form(
                tokenizer,
                2 * max(one.max_logit_error for one in parity),
                tuple(one.widths for one in shipped[:3]),
            ),
        ),
        exits=exits,
        provenance={
            **trained.provenance,
            "figures": figures["rules"][DEFAULT],
            **({"accelerator": compiled} if compiled else {}),
        },
    )
    sha256 = bundle(contents, target.path)
    if target.key is not None:
        sign_file(target.path, target.key)
    manifest = read_bundle(target.path, Trust(None, allow_unsigned=True)).manifest
    _save_rows(target, trained, report, (rules, zeroth))
    return {
        "bundle": target.path.name,
        "sha256": sha256,
        "sizes": sizes(manifest, target.path.stat().st_size).to_dict(),
        "parity": [one.to_dict() for one in parity],
        "temperatures": {
            "-".join(map(str, p)) or "0": t for p, t in judge.temperatures.items() if p == full[: len(p)]
        },
        "scope": asdict(judge.scope),
        "risk": {str(c): r.to_dict() for c, r in found.risks.items() if c.widths == full},
        "zeroth_kept": kept,
        "zeroth_rules": zeroth,
        "accelerator": compiled,
        **figures,
        "front": {str(ratio): str(way) for ratio, way in best.items()},
    }


def _listen(trained: Trained, target: Target, tokenizer: WordPiece) -> _Heard:
    data = trained.data
    known = inside(data.train)[:4000]
    own = golden.choose(known, tokenizer, BUCKETS, 0)
    probes = own + golden.of_each_length(known, tokenizer, BUCKETS, 0, GATE_ROWS)
    names = [*SPLITS, *data.extras]
    rows = {name: data.split(name) if name in SPLITS else data.extras[name] for name in names}
    texts = [*probes, *(row.text for name in names for row in rows[name])]
    runtime = next(iter(RECIPES[target.recipe].runtimes))
    prefixes = _prefixes(trained, every=target.every)
    answers = run_lattice(_files(trained, target), Where(runtime, target.root), texts, prefixes)
    cuts = np.cumsum([len(probes), *(len(rows[name]) for name in names)])
    sides = {
        name: answers.part(slice(int(start), int(end)))
        for name, start, end in zip(names, cuts, cuts[1:], strict=False)
    }
    return _Heard(probes, len(own), answers.part(slice(0, len(probes))), sides, runtime)


def _files(trained: Trained, target: Target) -> RecipeFiles:
    stages = trained.student.trunk.dims.stages
    return RecipeFiles(
        name=target.recipe,
        graphs=target.graphs,
        tokenizer=trained.parts / "vocab.txt",
        embedding=trained.parts / "embedding.npz",
        heads=tuple(trained.parts / f"head-{number}.npz" for number in range(stages + 1)),
        rope=trained.student.trunk.dims.rope,
    )


def _prefixes(trained: Trained, *, every: bool) -> list[Prefix]:
    """Which exits are asked. The zeroth reads words, not sentences: where slots are asked too it is left out."""
    stages = trained.student.trunk.dims.stages
    ways = list(product((4, 3, 2, 1), repeat=stages)) if every else combinations(stages)
    return prefixes_of(ways, zeroth=not trained.data.slots)


@dataclass(frozen=True, slots=True)
class _Judge:
    """How answers become a lattice of verdicts."""

    data: TaskData
    tokenizer: WordPiece
    temperatures: dict[Prefix, float]
    scope: cascade.Scope
    shape: tuple[compute.TrunkShape, compute.HeadShape]
    stages: int

    def lattice(self, side: str, said: LatticeAnswers) -> cascade.Lattice:
        """Judge the rows of a split or an extra side."""
        rows = self.data.split(side) if side in SPLITS else self.data.extras[side]
        return self.of(rows, said)

    def of(self, rows: Sequence[Sentence], said: LatticeAnswers) -> cascade.Lattice:
        """Judge any rows."""
        lengths = lengths_of(rows, self.tokenizer, BUCKETS)
        macs = compute.compute(*self.shape, lengths, widths_by_bucket(), self.stages)
        slots = None
        if self.data.slots:
            slots = {
                p: slot_counts(rows, tags, self.data.slots, self.tokenizer) for p, tags in said.tags.items()
            }
        return cascade.judged(
            said.logits, self.temperatures, self.scope, (truth_of(rows, self.data.labels), macs, slots)
        )


def _judge(trained: Trained, tokenizer: WordPiece, heard: _Heard) -> _Judge:
    """Temperatures and the scope threshold from their split: the rows that test the rules have no part in it."""
    data, dims = trained.data, trained.student.trunk.dims
    said = heard.sides["temperature"]
    truth = truth_of(data.temperature, data.labels)
    found = temperatures(said.logits, truth.target)
    full = (4,) * dims.stages
    scope = scope_of(said.logits[full], found[full], ~truth.inside, data.scope_index, trained.strangeness)
    head = compute.head_shape(load_arrays((trained.parts / "head-1.npz").read_bytes()))
    trunk = compute.TrunkShape(dims.d, dims.heads, dims.latent, dims.rope, dims.ffn, dims.layers)
    return _Judge(data, tokenizer, found, scope, (trunk, head), dims.stages)


def _rules(
    found: choose.Candidates, selection: cascade.Lattice, full: Prefix
) -> tuple[dict[str, tuple[float, ...]], dict[str, float]]:
    """Presets and risk rules at full width; the zeroth exit joins a risk rule where it moves the front."""
    rules = preset_rules(len(full))
    zeroth: dict[str, float] = {}
    risky = {c.rule.name: c for c in found.risks if c.widths == full}
    for name in ("risk-1", "risk-2"):
        plain, early = risky[name], risky.get(f"{name}+z")
        rules[name] = plain.rule.thresholds
        if early is None or early.rule.zeroth is None or early.rule.zeroth > 1.0:
            continue
        scores = choose.score(selection, [plain, early])
        cheaper = scores.ratio[1] < scores.ratio[0]
        if cheaper and scores.goodness[1] >= scores.goodness[0] - ZEROTH_LOSS:
            rules[name], zeroth[name] = early.rule.thresholds, early.rule.zeroth
    return rules, zeroth


def _parity(
    trained: Trained,
    target: Target,
    tokenizer: WordPiece,
    heard: _Heard,
    how: tuple[str, _Judge, Mapping[str, Any]],
) -> Parity:
    """The gate's figures in one runtime; the first runtime's answers are already there."""
    runtime, judge, rules = how
    stages = trained.student.trunk.dims.stages
    prefixes = _prefixes(trained, every=False)
    probed = heard.probed
    if runtime != heard.runtime:
        probed = run_lattice(_files(trained, target), Where(runtime, target.root), heard.probes, prefixes)
    full = (4,) * stages
    told = Rules(
        tuple(judge.temperatures[full[:n]] for n in range(1, stages + 1)),
        rules[DEFAULT],
        judge.scope.threshold,
        judge.scope.index,
        judge.scope.by_label,
    )
    said = torch_answers(trained.student, tokenizer, heard.probes, prefixes)
    return compare(target.recipe, runtime, probed, said, told)


def _front(found: choose.Candidates, selection: cascade.Lattice) -> dict[float, cascade.Configuration]:
    """The best configuration within each compute budget that one can be had for."""
    scores = choose.score(selection, found.configurations)
    best = {ratio: choose.best_within(scores, ratio) for ratio in choose.RATIOS}
    return {ratio: found.configurations[number] for ratio, number in best.items() if number is not None}


def _variants(
    found: choose.Candidates,
    measured: tuple[cascade.Lattice, Mapping[Prefix, float]],
    wanted: Sequence[Prefix],
) -> tuple[Variant, ...]:
    """Calibrated width combinations besides the full one, each once; `measured`: report split, temperatures."""
    out = []
    report, temperature = measured
    full = wanted[0]
    for widths in dict.fromkeys(wanted[1:]):
        if widths == full:
            continue
        rules = preset_rules(len(full))
        rules |= {
            c.rule.name: c.rule.thresholds
            for c in found.risks
            if c.widths == widths and "+z" not in c.rule.name
        }
        out.append(
            Variant(
                widths=widths,
                temperatures=tuple(temperature[widths[:n]] for n in range(1, len(widths) + 1)),
                exit_rules=rules,
                accuracy=_accuracy(report, widths),
                macs=int(report.compute.upto(widths, zeroth=False)[-1].mean()),
            )
        )
    return tuple(out)


def _accuracy(lattice: cascade.Lattice, prefix: Prefix) -> float:
    known = lattice.truth.inside
    return round(cascade.weighted(lattice.right[prefix][known], lattice.truth.weight[known]), 5)


def _figures(
    trained: Trained,
    lattices: Mapping[str, cascade.Lattice],
    heard: _Heard,
    judge: _Judge,
    chosen: tuple[Mapping[str, tuple[float, ...]], Mapping[str, float]],
) -> dict[str, Any]:
    """What the report split and the extra sides say of the shipped rules, of every exit and of calibration."""
    from conversion.check import figures

    report, full = lattices["report"], (4,) * judge.stages
    ways = {
        name: cascade.Configuration(full, cascade.Rule(name, row, chosen[1].get(name)))
        for name, row in chosen[0].items()
    }
    ways["full"] = cascade.Configuration(full, cascade.static(judge.stages, judge.stages))
    exits = range(judge.stages + 1)
    out: dict[str, Any] = {
        "rules": {name: figures.describe(report, way) for name, way in ways.items()},
        "accuracy_by_exit": [
            _accuracy(report, full[:n]) if full[:n] in report.right else None for n in exits
        ],
        "accuracy_by_width": {str(w): _accuracy(report, (w,) * judge.stages) for w in (4, 3, 2, 1)},
        "calibration_error": [_error(heard.sides["report"], judge, report, full[:n]) for n in exits],
        "extras": {},
    }
    for name in trained.data.extras:
        side = judge.lattice(name, heard.sides[name])
        out["extras"][name] = figures.describe(side, ways[DEFAULT])
    tongues = np.array([row.lang for row in trained.data.report])
    if len(trained.data.languages) > 1:
        out["languages"] = {
            language: figures.describe(report.part(np.flatnonzero(tongues == language)), ways[DEFAULT])
            for language in sorted(set(tongues.tolist()))
        }
    return out


def _error(said: LatticeAnswers, judge: _Judge, report: cascade.Lattice, prefix: Prefix) -> float | None:
    """Expected calibration error of one exit over the in-scope rows; None where the exit is not asked."""
    if prefix not in said.logits:
        return None
    known = report.truth.inside
    return calibration_error(
        said.logits[prefix][known], report.truth.target[known], judge.temperatures[prefix]
    )


def _save_rows(
    target: Target,
    trained: Trained,
    report: cascade.Lattice,
    chosen: tuple[Mapping[str, tuple[float, ...]], Mapping[str, float]],
) -> None:
    """Row by row what the shipped rules did, beside the report, for paired comparisons."""
    full = (4,) * trained.student.trunk.dims.stages
    systems = {}
    for name, thresholds in {**chosen[0], "full": cascade.static(len(full), len(full)).thresholds}.items():
        way = cascade.Configuration(full, cascade.Rule(name, thresholds, chosen[1].get(name)))
        said = cascade.run(report, way)
        systems[name] = SystemRows(said.right, said.macs, said.exits, said.slots)
    seed = trained.provenance["settings"]["seed"]  # the seeds of a public set share their folder
    path = trained.parts.parent / f"rows-{target.recipe}-{seed}.npz"
    save_rows(path, RowFile(trained.data.hashes()["report"], report.truth, systems))
