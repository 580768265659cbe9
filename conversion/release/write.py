"""From a trained student and one recipe's graphs to a signed bundle and its part of the report."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from conversion.check import cascade, golden
from conversion.check.calibrate import DEFAULT
from conversion.check.judge import Judge
from conversion.check.parity import Rules, bounds_of
from conversion.check.refusal import Refusal, not_finite, refusals, refuse, uncalibrated
from conversion.check.slot_reading import SlotReading
from conversion.export import accelerators
from conversion.export.bundle import Contents, Exits, Model, bundle
from conversion.export.recipes import RECIPES
from conversion.export.sizes import sizes
from conversion.release.figures import figures_of, save_report_rows
from conversion.release.listen import SPLITS, Heard, Target, Trained, compared, listen
from conversion.release.ways import Ways, accuracy, find_ways, judge_of, shipped_variants
from firmware_py.bundles.sign import sign_file
from firmware_py.bundles.verify import signature_path
from firmware_py.bundles.write import write_atomic
from firmware_py.tasks.text import WordPiece


def release_all(
    trained: Trained, targets: Sequence[Target], waiting: Path, tell: Callable[[float], None]
) -> dict[str, dict[str, Any]]:
    """Write the bundles of all of a build's recipes and return each one's part of the report.

    Args:
        trained: what the recipes share.
        targets: one a recipe.
        waiting: a folder of the build's, where bundles lie until all have passed; emptied first.
        tell: hears the share done.

    Raises:
        ConversionError: a recipe is not what torch says; nothing is put into its place, `waiting` has a report of why.
        ToolMissingError: a runtime's environment is not there; nothing is put into its place.
    """
    shutil.rmtree(waiting, ignore_errors=True)
    parts = {}
    for number, target in enumerate(targets, 1):
        parts[target.recipe] = release(trained, replace(target, path=waiting / target.path.name))
        tell(number / len(targets))
    for target in targets:
        _put_in_place(waiting / target.path.name, target.path)
    shutil.rmtree(waiting)
    return parts


def _put_in_place(made: Path, place: Path) -> None:
    """A bundle and its signature take the place of what was there."""
    for file, target in ((made, place), (signature_path(made), signature_path(place))):
        if file.is_file():
            write_atomic(target, file.read_bytes())


def release(trained: Trained, target: Target) -> dict[str, Any]:
    """Write one signed bundle and return its part of the report.

    Raises:
        ConversionError: the recipe is not what torch says; beside where the bundle would be lies a report of why.
        ToolMissingError: its runtime's environment is not there.
    """
    data, tokenizer = trained.data, trained.data.tokenizer(trained.pieces)
    heard = listen(trained, target, tokenizer)
    _refuse_infinite(trained, target, tokenizer, heard)
    judge = judge_of(trained, tokenizer, heard.sides)
    lattices = {side: judge.lattice(data.split(side), heard.sides[side]) for side in SPLITS}
    ways, report = find_ways(lattices), lattices["report"]
    parity, apart = compared(trained, target, tokenizer, heard, _gate_rules(judge, ways))
    refuse(refusals(parity), target.path, _about(trained))

    figures = figures_of(data, report, heard.sides, (judge, ways))
    compiled = accelerators.describe(target.recipe, target.graphs, target.root)
    exits = _exits(judge, ways, report)
    written = bundle(
        Contents(
            model=Model(
                data.name,
                data.task,
                data.languages,
                data.labels,
                data.slots,
                trained.student.trunk.dims,
                punctuation="skipped" if data.skips_punctuation else "tokens",
                slot_sets=SlotReading.of(data).sets,
            ),
            recipe=target.recipe,
            graphs=target.graphs,
            ops=heard.probed.ops,
            parts=trained.parts,
            golden=_golden(heard, tokenizer, _tolerance(target.recipe, apart), exits),
            exits=exits,
            provenance={
                **trained.provenance,
                "figures": figures["rules"][DEFAULT],
                **({"accelerator": compiled} if compiled else {}),
            },
        ),
        target.path,
    )
    if target.key is not None:
        sign_file(target.path, target.key)
    seed = trained.provenance["settings"]["seed"]  # the seeds of a public set share their folder
    save_report_rows(
        trained.parts.parent / f"rows-{target.recipe}-{seed}.npz", data.hashes()["report"], report, ways
    )
    return {
        "bundle": target.path.name,
        "sha256": written.sha256,
        "sizes": sizes(written.manifest, target.path.stat().st_size).to_dict(),
        "parity": [one.to_dict() for one in parity],
        "temperatures": {
            "-".join(map(str, p)) or "0": t for p, t in judge.temperatures.items() if p == ways.full[: len(p)]
        },
        "scope": asdict(judge.scope),
        "risk": {str(c): r.to_dict() for c, r in ways.risks.items() if c.widths == ways.full},
        "zeroth_kept": ways.asks_zeroth,
        "zeroth_rules": ways.zeroth,
        "accelerator": compiled,
        **figures,
        "front": {str(ratio): str(way) for ratio, way in ways.best.items()},
    }


def _refuse_infinite(trained: Trained, target: Target, tokenizer: WordPiece, heard: Heard) -> None:
    """Where logits are not finite nothing can be calibrated: refuse before that, by figures of plain rules."""
    why = not_finite({"the gate's sentences": heard.probed, **heard.sides})
    if why is None:
        return
    plain = uncalibrated(trained.stages, trained.data.scope_index)
    first = compared(trained, target, tokenizer, heard, plain)[0][0]
    refuse([Refusal(first, bounds_of(target.recipe), (why,))], target.path, _about(trained))


def _about(trained: Trained) -> dict[str, Any]:
    """What the report of a refused recipe tells of the build."""
    return {"name": trained.data.name, **trained.provenance}


def _by_exit(judge: Judge, ways: Ways) -> tuple[float, ...]:
    """The temperatures of exits 1 … S at full width."""
    return tuple(judge.temperatures[ways.full[:n]] for n in range(1, len(ways.full) + 1))


def _gate_rules(judge: Judge, ways: Ways) -> Rules:
    """What the gate decides by."""
    scope = judge.scope
    return Rules(
        _by_exit(judge, ways),
        ways.rules[DEFAULT],
        scope.threshold,
        scope.index,
        score_by_label=scope.by_label,
        asks_slots=judge.asks_slots,
    )


def _exits(judge: Judge, ways: Ways, report: cascade.Lattice) -> Exits:
    """What the manifest says of exits and widths."""
    return Exits(
        temperatures=_by_exit(judge, ways),
        rules=ways.rules,
        default_rule=DEFAULT,
        accuracy=tuple(accuracy(report, ways.full[:n]) for n in range(1, len(ways.full) + 1)),
        scope_threshold=judge.scope.threshold,
        zeroth=judge.temperatures[()] if ways.asks_zeroth else None,
        zeroth_rules=ways.zeroth,
        variants=shipped_variants(ways, report, judge.temperatures),
        scope_score="label" if judge.scope.by_label else "confidence",
        confidence="least_sure" if judge.asks_slots else "label",
    )


def _tolerance(recipe: str, apart: float) -> float:
    """How far a logit may be from the bundle's own: twice as far as one runtime was from another is still right.

    The distance to torch is no measure of it: where activations have 8 bits a stage could be left out within it.
    """
    least = golden.STATIC_TOLERANCE if RECIPES[recipe].calibrated else 0.0
    return max(least, 2 * apart)


def _golden(heard: Heard, tokenizer: WordPiece, tolerance: float, exits: Exits) -> bytes:
    """The bundle's own test."""
    form = golden.Form(tokenizer, tolerance, tuple(one.widths for one in exits.variants[:3]))
    return golden.golden_bytes(heard.probes[: heard.own], heard.probed.part(slice(0, heard.own)), form)
