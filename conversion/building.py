"""What `ciuic model build` and `variant` do once they are in the environment with torch."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conversion.build_flags import CUSTOM, STAGED
from conversion.catalogue import model_of
from conversion.checkpoint.course import Source
from conversion.data.examples import examples
from conversion.data.sentence import write_rows
from conversion.data.sources import data_seed
from conversion.data.task import load
from conversion.data.workbench import Say, Workbench
from conversion.export.make import Place
from conversion.pipeline import Job, build, read, settings_of, usual_seconds
from conversion.staged.build import Target
from conversion.staged.command import build_minilm
from conversion.variants import study
from firmware_py.contracts.clock import SystemClock

BUNDLING = ("graphs", "release")  # steps that end in a bundle, which a student to compare with is not


@dataclass(frozen=True, slots=True)
class Places:
    """Where a build's things are: the checkout, the public sets, what it writes into, the key that signs."""

    root: Path
    sets: Path | None
    out: Path
    key: Path | None


def job_of(args: argparse.Namespace, places: Places) -> Job:
    """What a command line asks for; that of a staged build is the job of the model whose teacher it takes."""
    custom = args.name == CUSTOM
    name = {CUSTOM: args.as_name, STAGED: args.task}.get(args.name, args.name)
    recipes = (args.recipe,) if args.recipe else model_of(args.name).recipes
    settings = settings_of(name, args.seed, recipes[0])
    if args.epochs is not None:
        settings = replace(settings, epochs=args.epochs)
    teacher = args.checkpoint if custom else args.teacher
    return Job(
        name,
        settings,
        recipes,
        places.root,
        places.sets,
        places.out,
        places.key,
        teacher=None if teacher is None else Source(teacher, args.method),
        files=tuple(args.data) if custom else (),
        languages=tuple(args.lang),
    )


def build_model(job: Job, folder: Path, say: Say) -> dict[str, Any]:
    """Build a model of ours, or one of somebody's rows with somebody's checkpoint as teacher.

    Raises:
        CiuicError: what is wrong with rows or checkpoint, before anything is computed.
    """
    report = build(job, _bench(folder, say, usual_seconds(job)))
    seed = job.settings.seed
    _write(report, folder / f"report-{job.recipes[0]}-{seed}.json")
    file = model_of(job.name).examples
    if file is not None and job.out == job.root / "models":  # what ships supplies the demo's sentences
        write_rows(job.root / "examples" / file, examples(load(folder / "data.json"), seed))
    return report


def build_staged(job: Job, folder: Path, say: Say) -> dict[str, Any]:
    """Write a task's tuned MiniLM as a bundle of one stage per layer; `job` is that of the task's model."""
    bench = Workbench(folder, SystemClock(), say, {"data": 60.0, "staged": 300.0})
    data = read(job, bench)
    target = Target(
        job.out / f"{job.name}-minilm.bundle",
        job.key,
        Place(job.root, job.root / ".ciuic" / "cache" / "graphs"),
    )
    report = bench.work("staged", lambda tell: build_minilm(data, folder, target, tell))
    _write(report, job.out / f"{job.name}-minilm.report.json")
    return report


def train_variant(
    args: argparse.Namespace, root: Path, sets: Path | None, folder: Path, say: Say
) -> dict[str, Any]:
    """Train and measure one student to compare with; everything stays in the build folder."""
    recipe = "dyn8"
    job = Job(args.name, settings_of(args.name, args.seed, recipe), (recipe,), root, sets, folder, None)
    usual = {name: usual_s for name, usual_s in usual_seconds(job).items() if name not in BUNDLING}
    return study(job, args.variant, _bench(folder, say, usual))


def _bench(folder: Path, say: Say, usual_s: dict[str, float]) -> Workbench:
    """One worker a core of ours; a teacher takes some 2 GB."""
    return Workbench(folder, SystemClock(), say, usual_s, workers=os.cpu_count() or 1)


def folder_name(args: argparse.Namespace) -> str:
    """Of the build: public sets share rows and teachers between seeds; other files are another model."""
    if args.name == CUSTOM:
        given = [str(args.checkpoint), *map(str, args.data)]
        return f"{args.as_name}-{hashlib.sha256(json.dumps(given).encode()).hexdigest()[:8]}"
    if args.name == STAGED:
        return f"{args.task}-0"
    teacher = getattr(args, "teacher", None)
    own = "" if teacher is None else f"-by-{teacher.resolve().name}"
    return f"{args.name}{own}-{data_seed(args.name, args.seed)}"


def _write(report: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
