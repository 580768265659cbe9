"""MODEL path: templates and a teacher in, signed bundles and their report out.

    draw sentences -> tune the teacher -> distil the student -> a graph per stage and length (ONNX)
    -> TFLite (onnx2tf) -> quantise per recipe -> run in the recipe's runtime: calibrate, gate -> bundle -> sign

Every step's result is kept in the build folder; an interrupted build goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conversion.check import baselines, figures, golden
from conversion.check.calibrate import DEFAULT, PRESETS, calibrate
from conversion.check.parity import Rules, compare, gate
from conversion.check.reference import torch_answers
from conversion.check.runtime import Recipe, run_recipe
from conversion.data import home
from conversion.data.provenance import describe, fingerprint
from conversion.data.sentence import hand_written, in_scope
from conversion.data.templates import load_grammar
from conversion.data.vocabulary import common_words, cut
from conversion.data.workbench import Workbench
from conversion.export.bundle import Contents, bundle
from conversion.export.files import (
    convert_stages,
    embedding_bytes,
    export_stages,
    graph_paths,
    quantise_stages,
)
from conversion.export.quantise import GATE_RUNTIME
from conversion.nets.student import Student
from conversion.train.batches import encode
from conversion.train.distil import Settings
from conversion.train.store import Course, load_student, new_student, train_student, write_lesson
from conversion.train.teacher import model_folder, read_vocabulary
from firmware_py.bundles.sign import sign_file
from firmware_py.tasks.text import WordPiece

BUCKETS = (8, 16, 32, 64)
GATE_ROWS = 150  # of each length bucket
# Usual seconds of each step on the reference machine (x86_64, 2 cores, one used), for the time left.
USUAL_S = {"data": 80.0, "teacher": 130.0, "distil": 480.0, "onnx": 60.0, "tflite": 70.0, "quantise": 15.0}


@dataclass(frozen=True, slots=True)
class Job:
    """One build: the seed that everything random follows, where things are, what to write."""

    settings: Settings
    root: Path
    data: Path | None
    outputs: dict[str, Path]  # recipe -> bundle
    key: Path | None  # signs the bundles


@dataclass(frozen=True, slots=True)
class Built:
    """What the recipes have in common."""

    student: Student
    data: home.HomeData
    pieces: list[str]
    files: Path
    graphs: Path


def build(job: Job, bench: Workbench) -> dict[str, Any]:
    """Build home-en of one seed, write its bundles and return the report.

    Raises:
        ConversionError: a converted file is not what torch says; its bundle is not written.
        ToolMissingError: an environment that the build needs is not there.
        DataInvalidError: the data folder's files cannot be read.
    """
    settings = job.settings
    minilm = read_vocabulary(model_folder())
    drawn = bench.step("data", "data.json",
        lambda path, tell: home.save(home.build(settings.seed, job.data, common_words(minilm), tell), path),
        seed=settings.seed, folder=str(job.data))  # fmt: skip
    data = home.load(drawn)
    texts = [row.text for row in data.train]
    pieces = cut(minilm, texts)
    side = encode(data.train, WordPiece(pieces), data.labels, data.slots)
    student = new_student(pieces, len(data.labels), len(data.slots), settings)

    lesson = bench.step("teacher", "lesson.npz",
        lambda path, tell: write_lesson(path, texts, side, len(data.labels), tell), data=fingerprint(data))  # fmt: skip
    weights = bench.step("distil", "student.pt",
        lambda path, tell: train_student(student, path, Course(side, lesson, settings), tell),
        settings=asdict(settings))  # fmt: skip
    load_student(student, weights)
    onnx = bench.step("onnx", "onnx", lambda path, tell: export_stages(student.trunk, BUCKETS, path, tell))
    float32 = bench.step("tflite", "float32", lambda path, tell: convert_stages(onnx, path, job.root, tell))
    graphs = bench.step("quantise", "graphs",
        lambda path, tell: quantise_stages(float32, path, tuple(job.outputs), tell), recipes=list(job.outputs))  # fmt: skip

    built = Built(student, data, pieces, _write_parts(student, pieces, bench.folder / "parts"), graphs)
    report: dict[str, Any] = {
        "name": "home-en",
        "settings": asdict(settings),
        "seconds": bench.seconds,
        **describe(data),
        "recipes": {recipe: _release(recipe, built, job, bench) for recipe in job.outputs},
        "baselines": _baselines(data, settings.seed),
    }
    plain: dict[str, Any] = json.loads(json.dumps(report))
    return plain


def _release(recipe: str, built: Built, job: Job, bench: Workbench) -> dict[str, Any]:
    """Run, calibrate, gate, bundle and sign one recipe; its part of the report."""
    data, student, tokenizer = built.data, built.student, WordPiece(built.pieces)
    runtime = GATE_RUNTIME[recipe]
    paths = graph_paths(built.graphs, recipe, BUCKETS, student.trunk.dims.stages)
    files = Recipe(
        name=recipe,
        graphs={f"{key.bucket}/{key.stage}": path for key, path in paths.items()},
        tokenizer=built.files / "vocab.txt",
        embedding=built.files / "embedding.npz",
        heads=tuple(sorted(built.files.glob("head-*.npz"))),
        rope=student.trunk.dims.rope,
    )
    known = [row for row in data.calibration if in_scope(row)]
    own = golden.choose(known, tokenizer, BUCKETS, job.settings.seed)
    probes = own + golden.of_each_length(known, tokenizer, BUCKETS, job.settings.seed, GATE_ROWS)
    hand = hand_written()
    sides = [data.calibration, data.evaluation, data.foreign_evaluation, hand]
    bench.say(f"running {recipe} in {runtime}")
    texts = [*probes, *(row.text for side in sides for row in side)]
    answers = run_recipe(files, runtime, texts, job.root)
    cuts = np.cumsum([len(probes), *map(len, sides)])
    probed, calibration, evaluation, foreign, by_hand = (
        answers.part(slice(start, end)) for start, end in zip([0, *cuts], cuts, strict=False)
    )

    scope = len(data.labels) - 1
    targets = np.array([data.labels.index(row.intent) for row in data.calibration])
    found = calibrate(calibration.logits, targets, scope)
    thresholds = (PRESETS[DEFAULT],) * (student.trunk.dims.stages - 1) + (0.0,)
    rules = Rules(found.temperatures, thresholds, found.scope_threshold, scope)
    parity = compare(recipe, runtime, probed, torch_answers(student, tokenizer, probes, max(BUCKETS)), rules)
    gate(parity)

    names = figures.Names(data.labels, data.slots, tokenizer)
    strangers = figures.predictions(foreign, [row.text for row in data.foreign_evaluation], rules, names)
    by_rule = {}
    for rule, threshold in PRESETS.items():
        at = Rules(
            found.temperatures, (threshold,) * (len(thresholds) - 1) + (0.0,), found.scope_threshold, scope
        )
        said = figures.predictions(evaluation, [row.text for row in data.evaluation], at, names)
        by_rule[rule] = figures.measure(data.evaluation, said, strangers).to_dict()
        by_rule[rule]["exit_share"] = figures.exit_share(evaluation, at, data.evaluation)
    by_exit = figures.intent_by_exit(evaluation, rules, data.evaluation, names)
    spoken = figures.predictions(by_hand, [row.text for row in hand], rules, names)

    contents = Contents(
        recipe=recipe,
        dims=student.trunk.dims,
        labels=data.labels,
        slots=data.slots,
        graphs=paths,
        ops={key: answers.ops[f"{key.bucket}/{key.stage}"] for key in paths},
        vocabulary=files.tokenizer.read_bytes(),
        embedding=files.embedding.read_bytes(),
        heads=[path.read_bytes() for path in files.heads],
        golden=golden.golden_bytes(own, probed, 2 * parity.max_logit_error, tokenizer),
        temperatures=found.temperatures,
        presets=PRESETS,
        default_rule=DEFAULT,
        accuracy_by_exit=by_exit,
        scope_threshold=found.scope_threshold,
        provenance={
            "settings": asdict(job.settings),
            "parity": parity.to_dict(),
            "figures": by_rule[DEFAULT],
            **describe(data),
        },
    )
    target = job.outputs[recipe]
    sha256 = bundle(contents, target)
    if job.key is not None:
        sign_file(target, job.key)
    return {
        "bundle": target.name,
        "sha256": sha256,
        "bytes": target.stat().st_size,
        "parity": parity.to_dict(),
        "calibration": asdict(found),
        "evaluation": by_rule,
        "intent_by_exit": by_exit,
        "hand_written": {
            "rows": sum(map(in_scope, hand)),
            "intent": sum(
                said.intent == row.intent for said, row in zip(spoken, hand, strict=True) if in_scope(row)
            )
            / sum(map(in_scope, hand)),
            "out_of_scope_recall": sum(
                said.intent is None for said, row in zip(spoken, hand, strict=True) if not in_scope(row)
            )
            / max(1, sum(not in_scope(row) for row in hand)),
        },
    }


def _write_parts(student: Student, pieces: list[str], folder: Path) -> Path:
    """The members that are no graphs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_bytes(("\n".join(pieces) + "\n").encode())
    (folder / "embedding.npz").write_bytes(embedding_bytes(student.trunk))
    for number, head in enumerate(student.heads, 1):
        (folder / f"head-{number}.npz").write_bytes(head.to_bytes())
    return folder


def _baselines(data: home.HomeData, seed: int) -> dict[str, Any]:
    """The SVM on the same rows; hassil with the templates in hand."""
    texts = [row.text for row in data.evaluation]
    strange = [row.text for row in data.foreign_evaluation]
    svm = baselines.linear_svm(data.train, [*texts, *strange], seed)
    hassil = baselines.hassil_recogniser(load_grammar(), [*texts, *strange])
    return {
        name: figures.measure(data.evaluation, said[: len(texts)], said[len(texts) :], slots=False).to_dict()
        for name, said in (("linear_svm", svm), ("hassil", hassil))
    }


def digest(path: Path) -> str:
    """SHA-256 of a file in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
