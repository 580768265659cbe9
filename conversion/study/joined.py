"""All runs of one model in one document: seeds, static students, ablation, teacher, SVM, and what beats what.

Reads a build folder (see `docs/how-to-read-a-trade-off-report.md` for its files). What was not run is a row
that says so and names the command that makes it; no figure stands in for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conversion.catalogue import model_of
from conversion.check.rows import RowFile, load_rows
from conversion.export.recipes import NORM_OF
from conversion.study.bounds import Build, Timed, bounds_of
from conversion.study.former import SHIPPED, STATIC, against, name_of
from conversion.study.pairs import WITHIN, Run, accuracy, compare, row_of
from conversion.study.told import told_rows
from firmware_py.contracts.measurement import is_publishable

RULES = ("balanced", "thrifty", "careful", "risk-1", "risk-2", "full")
ABLATION = (
    "as-shipped", "no-kl", "no-cosine", "no-labels", "no-teacher", "no-unlabelled", "no-perturbation", "gates-fixed",
    "no-marks", "groups-random", "groups-magnitude", "no-sandwich",
)  # fmt: skip
BASELINES = ("teacher fp32", "teacher int8", "linear svm")
AGAINST = (
    ("balanced", "linear svm"), ("balanced", "teacher fp32"), ("full", "teacher fp32"), ("risk-1", "linear svm"),
)  # fmt: skip
NARROWER = (3, 2, 1)  # width groups of every stage; 4 is the full width


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a model's runs are: the build folder of each seed, the folder of its bundles, the measurements."""

    name: str
    seeds: tuple[int, ...]
    builds: Callable[[int], Path]
    models: Path
    measurements: Path
    recipe: str = "dyn8"


def join(sources: Sources) -> dict[str, Any]:
    """The document."""
    found = _Found(sources)
    return {
        "name": sources.name,
        "recipe": sources.recipe,
        "seeds": list(sources.seeds),
        "rows": found.rows(),
        "ablation": found.ablation(),
        "recipes": found.recipes(),
        "comparisons": found.comparisons(),
        "checks": found.checks(),
        "promise": found.promise(),
        "splits": found.splits(),
    }


class _Found:
    def __init__(self, sources: Sources) -> None:
        self._sources, name = sources, sources.name
        first = sources.builds(sources.seeds[0])
        self.reports = {
            seed: _json(sources.builds(seed) / f"report-{sources.recipe}-{seed}.json")
            for seed in sources.seeds
        }
        self.students = {
            seed: Run(
                _rows(sources.builds(seed) / f"rows-{sources.recipe}-{seed}.npz"),
                f"ciuic model build {name}" + (f" --seed {seed}" if seed else ""),
                seed=seed,
            )
            for seed in sources.seeds
        }
        wanted: tuple[str, ...] = STATIC if model_of(name).static else ()
        wanted += ABLATION if model_of(name).ablation else ABLATION[:1]  # its float32 is held against int8
        self.former: dict[str, str] = {}  # the name of what was measured -> that of its file
        self.variants = {
            variant: Run(
                _rows(first / "variants" / f"{variant}-0.npz"), f"ciuic model variant {name} {variant}"
            )
            for variant in wanted
        }
        self._tell_former(first / "variants")
        self.baselines = Run(_rows(first / "baselines.npz"), f"ciuic model baselines {name}")
        self.baseline_facts = _json(first / "baselines.json")
        self.tradeoff = self._tradeoff()
        self.timed = self._timed()

    def _tell_former(self, folder: Path) -> None:
        """A file whose settings are not what its name says today stands under the name of what it is."""
        report = self.reports[self._sources.seeds[0]] or {}
        for name, measured in list(self.variants.items()):
            facts = _json(folder / f"{name}-0.json") or {}
            former = name_of(name, facts.get("settings", {}), report.get("settings", {}))
            if former == name:
                continue
            self.variants[name] = replace(measured, file=None)
            if former is not None:
                self.variants[former] = measured
                self.former[former] = name

    @property
    def _home(self) -> bool:
        """Each seed has rows of its own, and the builds measured what stands beside the student."""
        return model_of(self._sources.name).home

    @property
    def bundle_sha256(self) -> str | None:
        """Of the bundle that is reported: seed 0's; None where it was not built."""
        report = self.reports[self._sources.seeds[0]]
        return None if report is None else report["recipes"][self._sources.recipe].get("sha256")

    def _tradeoff(self) -> Run:
        """The ways of this very bundle; the document beside the rows says whose they are."""
        folder, name = self._sources.models, self._sources.name
        command = f"ciuic model tradeoff {folder.name}/{name}.bundle"
        file = _rows(folder / f"{name}.tradeoff.rows.npz")
        document = _json(folder / f"{name}.tradeoff.json")
        if file is not None and (document is None or document["bundle"]["sha256"] != self.bundle_sha256):
            return Run(None, command, "measured of another bundle")
        return Run(file, command)

    def _timed(self) -> Timed:
        """The speed benchmark of this very bundle, or of an earlier one, which shows nothing of this.

        The reference host's file, or one in another host's folder below.
        """
        folder, name, place = self._sources.models, self._sources.name, self._sources.measurements
        command = f"ciuic bench model --bundle {folder.name}/{name}.bundle"
        found: dict[str, dict[str, Any]] = {}
        for path in (place / f"model-{name}.json", *sorted(place.glob(f"*/model-{name}.json"))):
            speed = _json(path)
            # A figure that was taken while something else ran is no figure.
            if speed is not None and is_publishable(speed):
                found[path.relative_to(place).as_posix()] = speed
        for file, speed in found.items():
            if self.bundle_sha256 is not None and speed["bundle_sha256"] == self.bundle_sha256:
                return Timed(speed, None, command, file)
        return Timed(None, next(iter(found.values()), None), command)

    # --- rows -----------------------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """One per system: mean and spread over its runs."""
        out = [
            row_of(f"{self._sources.recipe} {rule}", [(run, rule) for run in self.students.values()])
            for rule in RULES
        ]
        if self._home:
            return out + told_rows(tuple(self.reports.values()))
        out += [row_of(name, [(self.baselines, name)]) for name in BASELINES]
        out += [
            row_of(f"{name} (float32)", [(run, f"exit-{name[-1]}")])
            for name, run in self.variants.items()
            if name in STATIC
        ]
        return out

    def ablation(self) -> list[dict[str, Any]]:
        """The last exit at full width and every narrower one, of each student with a term left out."""
        first = self._sources.builds(self._sources.seeds[0])
        out = []
        for name, run in self.variants.items():
            if name in STATIC or not model_of(self._sources.name).ablation:
                continue
            row = row_of(name, [(run, "exit-3")])
            facts = _json(first / "variants" / f"{self.former.get(name, name)}-0.json")
            if facts is not None and run.file is not None:
                row["by_width"] = {width: one["accuracy"] for width, one in facts["widths"].items()}
                row["by_exit"] = {number: one["accuracy"] for number, one in facts["exits"].items()}
            out.append(row)
        return out

    def recipes(self) -> list[dict[str, Any]]:
        """The other recipes that seed 0 was built in, each beside the one that ships: the same rows."""
        seed, name = self._sources.seeds[0], self._sources.name
        folder, ours = self._sources.builds(seed), self._sources.recipe
        out = []
        for recipe in NORM_OF:
            report = _json(folder / f"report-{recipe}-{seed}.json")
            if recipe == ours or report is None or recipe not in report["recipes"]:
                continue
            run = Run(
                _rows(folder / f"rows-{recipe}-{seed}.npz"), f"ciuic model build {name} --recipe {recipe}"
            )
            found = report["recipes"][recipe]
            pair = compare(recipe, [(run, "balanced")], ours, [(self.students[seed], "balanced")])
            out.append({
                "recipe": recipe, "norm": NORM_OF[recipe], "accuracy": found["rules"]["balanced"]["accuracy"],
                "bundle_bytes": found["sizes"]["bundle"], "accelerator": found["accelerator"], "against": pair,
            })  # fmt: skip
        return out

    # --- pairs ----------------------------------------------------------------------------------------

    def comparisons(self) -> list[dict[str, Any]]:
        """Every "better than", row by row on the report split: of all seeds that answered these rows, else of seed 0."""
        student = self.students[self._sources.seeds[0]]
        out = []
        for name in STATIC:
            if name not in self.variants:
                continue
            way = f"{WITHIN} {name}"
            out.append(
                compare(way, [(self.tradeoff, name)], name, [(self.variants[name], f"exit-{name[-1]}")])
            )
        best = self._best_static()
        for one in out:
            one["best_static"] = one["second"] == best
        for rule, baseline in () if self._home else AGAINST:
            out.append(compare(rule, self._seeds(rule), baseline, [(self.baselines, baseline)]))
        out.append(compare("risk-1", self._seeds("risk-1"), "full", self._seeds("full")))
        shipped = self.variants[SHIPPED]
        out.append(compare("full (int8)", [(student, "full")], "full (float32)", [(shipped, "exit-3")]))
        for name, run in self.variants.items():
            if name in (*STATIC, SHIPPED) or against(name) not in self.variants:
                continue
            whole = self.variants[against(name)]
            pair = compare(against(name), [(whole, "exit-3")], name, [(run, "exit-3")])
            # What no variant trains any more cannot be measured again by width.
            narrow = {} if name in self.former else self._narrower(shipped, name, run)
            out.append(pair | {"widths": narrow})
        return out

    def _seeds(self, rule: str) -> list[tuple[Run, str]]:
        """The student of every seed that was built under a rule; where none was, seed 0 alone stands for it."""
        built = [(run, rule) for run in self.students.values() if run.system(rule) is not None]
        return built or [(self.students[self._sources.seeds[0]], rule)]

    def _narrower(self, shipped: Run, name: str, run: Run) -> dict[str, Any]:
        """The same pair at every narrower width; rows of widths are not in files of before they were kept."""
        return {
            str(width): compare("as-shipped", [(shipped, f"width-{width}")], name, [(run, f"width-{width}")])
            for width in NARROWER
        }

    def _best_static(self) -> str | None:
        """By the report split, which favours it: the cascade was chosen on another."""
        known = {
            name: accuracy(run.file, system)
            for name in STATIC
            if (run := self.variants.get(name)) and run.file and (system := run.system(f"exit-{name[-1]}"))
        }
        return max(known, key=lambda name: known[name]) if known else None

    # --- bounds ---------------------------------------------------------------------------------------

    def checks(self) -> list[dict[str, Any]]:
        """The issue's bounds on what is known; an unknown value is null and not ok."""
        rows = {row["system"]: row for row in (*self.rows(), *self.ablation())}
        parts = [
            report["recipes"][self._sources.recipe] if report else None for report in self.reports.values()
        ]
        seconds = [report["seconds"] for report in self.reports.values() if report and "seconds" in report]
        return bounds_of(self._sources.name, rows, parts, self.timed, Build(self._lost(), seconds))

    def _lost(self) -> float | None:
        """Of seed 0 alone: a mean over seeds less one seed's float32 would be mostly what seeds differ by."""
        pair = next((one for one in self.comparisons() if one["first"] == "full (int8)"), {})
        return -pair["accuracy"]["value"] if "accuracy" in pair else None

    def promise(self) -> dict[str, Any]:
        """Size, latency and accuracy against the uncompressed teacher; null where a part was not measured.

        Empty for a home model: the promise is kept or not on the public sets.
        """
        if self._home:
            return {}
        report = self.reports[self._sources.seeds[0]]
        facts, rows = self.baseline_facts, {row["system"]: row for row in self.rows()}
        size: float | None = None
        latency: float | None = None
        loss: float | None = None
        if report and facts and "fp32" in facts["bytes"]:
            size = report["recipes"][self._sources.recipe]["sizes"]["bundle"] / facts["bytes"]["fp32"] - 1.0
        if (balanced := self.timed.faster("balanced", "fp32")) is not None:
            latency = 1.0 / balanced - 1.0
        ours = rows[f"{self._sources.recipe} balanced"].get("accuracy")
        theirs = rows.get("teacher fp32", {}).get("accuracy")
        if ours and theirs:
            loss = 1.0 - ours["mean"] / theirs["mean"]
        kept = [
            size is not None and size <= -0.85, latency is not None and latency <= -0.60, loss is not None and loss <= 0.05,
        ]  # fmt: skip
        out: dict[str, Any] = {"size": size, "latency": latency, "accuracy_loss": loss, "kept": all(kept)}
        if latency is None:
            out["latency_command"] = self.timed.command
            if (before := self.timed.before("balanced", "fp32")) is not None:
                out["latency_earlier"] = before | {"value": 1.0 / before["value"] - 1.0}
        return out

    def splits(self) -> dict[str, Any]:
        """The hashes that seed 0's report names."""
        report = self.reports[self._sources.seeds[0]]
        return dict(report["data"]["splits"]) if report else {}


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def _rows(path: Path) -> RowFile | None:
    return load_rows(path) if path.is_file() else None
