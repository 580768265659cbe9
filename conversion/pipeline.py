"""MODEL path: rows and a teacher in, signed bundles and their report out.

    rows -> tune the teacher -> what it says of rows and of texts without labels -> distil the student
    -> 39 graphs (ONNX, TFLite by onnx2tf, quantised per recipe) -> run them in the recipe's runtime:
    calibrate, gate -> bundle -> sign                                                     (conversion/release)

Every step's result is kept in the build folder; an interrupted build goes on where it stopped. Bundles are put
into their place when all of the build's recipes have passed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from conversion.catalogue import model_of
from conversion.check import baselines, figures, golden
from conversion.check.calibrate import Strangeness
from conversion.check.rows import truth_of
from conversion.checkpoint.course import (
    PLAN,
    Source,
    check_room,
    enough,
    look_over,
    prepare_from_checkpoint,
    usual_student_s,
)
from conversion.checkpoint.data import read_files, texts_of
from conversion.data.digests import found_sha256
from conversion.data.provenance import describe
from conversion.data.public import SETS
from conversion.data.sources import data_seed, made_of, read_data
from conversion.data.task import SPLITS, TaskData, load, probed, save
from conversion.data.templates import load_grammar
from conversion.data.workbench import Workbench
from conversion.export.lattice import BUCKETS, lattice_keys
from conversion.export.make import Place, make_graphs
from conversion.export.parts import write_parts
from conversion.export.recipes import NORM_OF, bundle_name
from conversion.export.to_tflite import tool_version
from conversion.nets.student import Student
from conversion.release.listen import Target, Trained
from conversion.release.write import release_all
from conversion.train.course import Course, learn, prepare
from conversion.train.distil import Settings
from conversion.train.general import general_start, settings_for
from conversion.train.plans import PLANS, Plan
from conversion.train.sources import Given, made_by
from conversion.train.teacher import model_folder, read_vocabulary
from firmware_py.contracts.run import GraphKey

# Usual seconds of a step (x86_64 with AMX, two cores, one used, 29 November 2026), for the time left.
_USUAL_S = {"data": 20.0, "pool": 10.0, "teacher": 400.0, "fold": 390.0, "lesson": 300.0, "student": 600.0, "graphs": 95.0, "release": 60.0}  # fmt: skip
ROUNDED_FOR = 2048  # sentences; twice as many make what is left of the error 2 % smaller
RANGES = 40  # sentences of each length bucket that static int8 takes its ranges from
FULL_LATTICE = ("dyn8",)  # recipes whose every width combination is run and offered


@dataclass(frozen=True, slots=True)
class Job:
    """One build: what, with which seed and settings, where things are."""

    name: str
    settings: Settings
    recipes: tuple[str, ...]
    root: Path
    data: Path | None
    out: Path
    key: Path | None  # signs the bundles
    teacher: Source | None = None  # a checkpoint instead of MiniLM
    files: tuple[Path, ...] = ()  # rows of a custom model
    languages: tuple[str, ...] = ("en",)


def plan_of(name: str) -> Plan:
    """How a model is trained: ours by their names, somebody's own as the public sets are."""
    return PLANS.get(name, PLAN)


def settings_of(name: str, seed: int, recipe: str) -> Settings:
    """The plan's settings for a seed; accelerators without a square root get a trunk trained without it."""
    return replace(plan_of(name).settings, seed=seed, norm=NORM_OF[recipe])


def usual_seconds(job: Job) -> dict[str, float]:
    """Every step of this build in its order, and of no other, with its usual seconds."""
    plan = plan_of(job.name)
    if job.teacher is not None:
        taught = ["pool", "teacher"]
    elif plan.larger is not None:
        taught = ["teacher-1", "lesson"]
    else:
        tuned = (f"teacher-{number}" for number, _ in enumerate(plan.runs, 1))
        taught = [*tuned, *(f"fold-{number}" for number in range(plan.folds)), "pool", "lesson"]
    order = ["data", *taught, "student", "graphs", "release"]
    usual = {name: _USUAL_S[name.partition("-")[0]] for name in order}
    usual["student"] *= job.settings.epochs / plan.settings.epochs
    usual["release"] *= len(job.recipes)
    if job.files:
        usual["data"] = 1.0  # read, not drawn
    return usual


def build(job: Job, bench: Workbench) -> dict[str, Any]:
    """Build a model, write its bundles and return the report.

    Raises:
        ConversionError: a converted file is not what torch says; no bundle is replaced, a report of why is left.
        ToolMissingError: an environment that the build needs is not there.
        DataInvalidError: the data folder's files cannot be read.
        DataMissingError: the model's set is not in the data folder.
    """
    course = take_course(job, bench)
    if job.files:
        size = len(course.data.train), len(course.side) - len(course.data.train)
        job = replace(job, settings=enough(job.settings, *size))
        bench.expect("student", usual_student_s(job.settings, *size))
    student = learn(course, job.settings, bench, student_file(job.settings))
    data = course.data
    parts = write_parts(
        student,
        course.pieces,
        bench.folder / f"parts-{job.settings.norm}-{job.settings.seed}",
        some_texts(data, course.pieces),
    )
    place = Place(
        job.root, job.root / ".ciuic" / "cache" / "graphs", sentences=sentences_of(data, course.pieces)
    )
    keys = lattice_keys(student.trunk.dims.stages)
    graphs = bench.work("graphs", lambda tell: make_graphs(student.trunk, keys, job.recipes, place, tell))
    about = where_from(job, course)
    trained = Trained(data, student, course.pieces, parts, strangeness_of(job.name), about)
    compared = _baselines(data, job.name)
    targets = targets_of(job, graphs)
    report: dict[str, Any] = {
        "name": job.name,
        "seconds": bench.seconds,
        **about,
        "parameters": count(student),
        "recipes": bench.work("release", partial(release_all, trained, targets, bench.folder / "released")),
        "baselines": compared,
    }
    plain: dict[str, Any] = json.loads(json.dumps(report))
    return plain


def targets_of(job: Job, graphs: Mapping[str, Mapping[GraphKey, Path]]) -> list[Target]:
    """Each recipe's bundle; seeds share a folder, so all but seed 0 are in the names."""
    return [
        Target(recipe, graphs[recipe], job.out / bundle_name(job.name, recipe, job.settings.seed), job.key, job.root,
               every=recipe in FULL_LATTICE)
        for recipe in job.recipes
    ]  # fmt: skip


def where_from(job: Job, course: Course) -> dict[str, Any]:
    """The provenance of bundles and report: who taught, on what, with which settings and versions."""
    given = Given(job.data, None if job.teacher is None else job.teacher.folder)
    made = made_by(plan_of(job.name), course, given, tool_version(job.root))
    return describe(course.data, made) | {
        "settings": asdict(job.settings),
        "texts_made": asdict(course.making),
        "teachers": list(course.logs),
    }


def take_course(job: Job, bench: Workbench) -> Course:
    """Everything before the student: rows, teachers, lesson; shared by all seeds of a public set."""
    plan = plan_of(job.name)
    # What is wrong with a checkpoint is said before rows are drawn and the general stage is trained.
    looked = None if job.teacher is None else look_over(job.teacher)
    if looked is not None:
        bench.expect("teacher", looked.usual_s(plan))
        if job.files:
            check_room(looked, plan, texts_of(job.files, bench.say), bench.folder)
    data = read(job, bench)
    if looked is not None and not job.files:
        check_room(looked, plan, [row.text for split in SPLITS for row in data.split(split)], bench.folder)
    general = _general(plan, job, bench)
    if looked is not None:
        return prepare_from_checkpoint(looked, plan, data, bench, general)
    return prepare(plan, data, bench, general)


def read(job: Job, bench: Workbench) -> TaskData:
    """The model's rows, drawn or read once; what follows is kept for as long as they stay equal."""
    if job.files:
        made = bench.step("data", "data.json",
            lambda path, _: save(read_files(job.name, job.files, job.languages), path),
            files=list(found_sha256(Path(), map(str, job.files)).items()), languages=list(job.languages))  # fmt: skip
    else:
        seed = data_seed(job.name, job.settings.seed)
        words = read_vocabulary(model_folder())
        made = bench.step("data", "data.json",
            lambda path, tell: save(read_data(job.name, seed, job.data, words, tell), path),
            **made_of(job.name, seed, job.data, words))  # fmt: skip
    data = load(made)
    bench.rest_on("rows", **data.key())
    return data


def sentences_of(data: TaskData, pieces: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Token ids of training texts of every length bucket, for recipes that need the ranges of activations."""
    tokenizer = data.tokenizer(pieces)
    texts = golden.of_each_length(probed(data), tokenizer, BUCKETS, 0, RANGES)
    return tuple(tuple(tokenizer.encode(text).ids[: max(BUCKETS)]) for text in texts)


def some_texts(data: TaskData, pieces: Sequence[str]) -> list[tuple[int, ...]]:
    """Token ids of training texts drawn at random, for which the heads are rounded."""
    tokenizer = data.tokenizer(pieces)
    texts = [row.text for row in data.train]
    drawn = Random(0).sample(texts, min(ROUNDED_FOR, len(texts)))  # noqa: S311 - a reproducible draw, no secret
    return [tuple(tokenizer.encode(text).ids[: max(BUCKETS)]) for text in drawn]


def student_file(settings: Settings) -> str:
    """The weights' file name."""
    return f"student-{settings.norm}-{settings.seed}.pt"


def strangeness_of(name: str) -> Strangeness:
    """How a model's rows are turned away: not by the label of foreign ones where there are too few of them."""
    return Strangeness(by_label=not model_of(name).few_foreign)


def count(student: Student) -> dict[str, int]:
    """Parameters of the trunk's stages, of the table, of the heads."""
    parts = {"stages": student.trunk.stages, "embedding": student.trunk.embedding, "heads": student.heads}
    return {name: sum(one.numel() for one in part.parameters()) for name, part in parts.items()}


def _general(plan: Plan, job: Job, bench: Workbench) -> Path | None:
    """The general stage's weights where its sets are at hand."""
    if job.data is None:
        return None
    if not all((job.data / name / "train.jsonl").is_file() for name in plan.general.sets):
        return None
    own = Workbench(
        job.root / ".ciuic" / "build" / f"general-{plan.general.name}",
        bench.clock,
        bench.say,
        {"pool": 260.0, "general": 900.0 * plan.settings.layers},
    )
    return general_start(job.data, own, plan.general, settings_for(plan.general), plan.settings.layers)


def _baselines(data: TaskData, name: str) -> dict[str, Any]:
    """The SVM on the same rows; hassil with the templates in hand, where it can be asked."""
    sides = {"": data.report} | (
        {} if name in SETS else {f" {side}": rows for side, rows in data.extras.items()}
    )
    texts = [row.text for rows in sides.values() for row in rows]
    said, start = baselines.linear_svm(data, texts), 0  # fitted once: home-multi has 90,000 rows
    out = {}
    for side, rows in sides.items():
        own = figures.Guesses(said.label[start : start + len(rows)], said.score[start : start + len(rows)])
        out[f"linear_svm{side}"] = figures.measure(truth_of(rows, data.labels), own)
        start += len(rows)
    if model_of(name).hassil:
        hassil = baselines.hassil_recogniser(load_grammar(), data, [row.text for row in data.report])
        out["hassil"] = figures.measure(truth_of(data.report, data.labels), hassil)
    return out
