"""What `ciuic model build` and `variant` do once they are in the environment with torch."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from conversion.checkpoint.course import PLAN, Source
from conversion.data.examples import examples
from conversion.data.sentence import write_rows
from conversion.data.sources import data_seed
from conversion.data.task import load
from conversion.data.workbench import Say, Workbench
from conversion.export.make import Place
from conversion.export.recipes import NORM_OF
from conversion.pipeline import Job, build, read, settings_of, usual_seconds
from conversion.staged.build import Target
from conversion.staged.command import build_minilm
from conversion.variants import study
from firmware_py.contracts.clock import SystemClock

BUNDLING = ("graphs", "release")  # steps that end in a bundle, which a student to compare with is not


def build_named(args: argparse.Namespace, job: Job, folder: Path, say: Say) -> dict[str, Any]:
    """Build a model of ours; `job` has what the command line fixed, the settings are the plan's."""
    settings = settings_of(args.name, args.seed, job.recipes[0])
    if args.epochs:
        settings = replace(settings, epochs=args.epochs)
    job = replace(job, settings=settings, teacher=_source(args.teacher, args.method))
    report = build(job, _bench(folder, say, usual_seconds(job)))
    _write(report, folder / f"report-{job.recipes[0]}-{args.seed}.json")
    if args.name == "home-en" and job.out == job.root / "models":  # what ships supplies the demo's sentences
        write_rows(job.root / "examples" / "home_en.jsonl", examples(load(folder / "data.json"), args.seed))
    return report


def build_custom(args: argparse.Namespace, job: Job, folder: Path, say: Say) -> dict[str, Any]:
    """Build a model of somebody's rows with somebody's checkpoint as teacher.

    Raises:
        CiuicError: what is wrong with rows or checkpoint, before anything is computed.
    """
    settings = replace(PLAN.settings, seed=args.seed, norm=NORM_OF[job.recipes[0]])
    if args.epochs:
        settings = replace(settings, epochs=args.epochs)
    job = replace(
        job,
        settings=settings,
        teacher=Source(args.checkpoint, args.method),
        files=tuple(args.data),
        languages=tuple(args.lang),
    )
    report = build(job, _bench(folder, say, usual_seconds(job)))
    _write(report, folder / f"report-{job.recipes[0]}-{args.seed}.json")
    return report


def build_staged(args: argparse.Namespace, job: Job, folder: Path, say: Say) -> dict[str, Any]:
    """Write a task's tuned MiniLM as a bundle of one stage per layer."""
    bench = Workbench(folder, SystemClock(), say, {"data": 60.0, "staged": 300.0})
    data = read(replace(job, name=args.task), bench)
    target = Target(
        job.out / f"{args.task}-minilm.bundle",
        job.key,
        Place(job.root, job.root / ".ciuic" / "cache" / "graphs"),
    )
    report = bench.work("staged", lambda tell: build_minilm(data, folder, target, tell))
    _write(report, job.out / f"{args.task}-minilm.report.json")
    return report


def train_variant(args: argparse.Namespace, job: Job, folder: Path, say: Say) -> dict[str, Any]:
    """Train and measure one student to compare with."""
    job = replace(job, settings=settings_of(args.name, args.seed, "dyn8"))
    usual = {name: usual_s for name, usual_s in usual_seconds(job).items() if name not in BUNDLING}
    return study(job, args.variant, _bench(folder, say, usual))


def _bench(folder: Path, say: Say, usual_s: dict[str, float]) -> Workbench:
    """One worker a core of ours; a teacher takes some 2 GB."""
    return Workbench(folder, SystemClock(), say, usual_s, workers=os.cpu_count() or 1)


def folder_name(args: argparse.Namespace) -> str:
    """Of the build: public sets share rows and teachers between seeds; other files are another model."""
    if args.name == "custom":
        given = [str(args.checkpoint), *map(str, args.data or ())]
        return f"{args.as_name or 'custom'}-{hashlib.sha256(json.dumps(given).encode()).hexdigest()[:8]}"
    if args.name == "minilm":
        return f"{args.task}-0"
    teacher = getattr(args, "teacher", None)
    own = "" if teacher is None else f"-by-{teacher.resolve().name}"
    return f"{args.name}{own}-{data_seed(args.name, args.seed)}"


def _source(teacher: Path | None, method: Any) -> Source | None:
    return None if teacher is None else Source(teacher, method)


def _write(report: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
