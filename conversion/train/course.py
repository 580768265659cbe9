"""Everything up to a trained student, step by step on the workbench.

rows -> tune the teacher (each run logged) -> texts without labels -> what the teachers say of all -> student
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from conversion.data.digests import lines_sha256
from conversion.data.noise import ORIGIN as NOISE
from conversion.data.sentence import unlabelled
from conversion.data.task import TaskData
from conversion.data.vocabulary import cut, multi_vocabulary
from conversion.data.workbench import Step, Workbench
from conversion.nets.student import Student
from conversion.train import store, teaching
from conversion.train.batches import Encoded, encode
from conversion.train.distil import Settings
from conversion.train.plans import Plan
from conversion.train.teacher import (
    WIDTH,
    Run,
    Tell,
    model_folder,
    nearest_first,
    read_vocabulary,
    start_embeddings,
)
from conversion.train.teaching import Making

_FOLD_SEED = 100  # and the fold's number: none of them starts as a teacher of all rows does


@dataclass(frozen=True, slots=True)
class Course:
    """What a student learns from.

    `pieces` of its vocabulary, `side`: the encoded rows, `lesson`: what the teachers said of them, in rows of
    `teacher_width`, `logs` of the teachers' runs, the best first, those of folds last, `general`: where it starts, None for from
    nothing, `making`: which texts were made for the lesson.
    """

    data: TaskData
    pieces: tuple[str, ...]
    side: Encoded
    lesson: Path
    teacher_width: int
    logs: tuple[dict[str, Any], ...]
    general: Path | None = None
    making: Making = field(default_factory=Making)


def prepare(plan: Plan, data: TaskData, bench: Workbench, general: Path | None) -> Course:
    """Tune the teachers, write the lesson and encode the rows.

    Args:
        plan: how.
        data: of what.
        bench: keeps every step's result.
        general: weights of the general stage, None where its sets are not at hand.

    Raises:
        OSError: the build folder cannot be written.
    """
    pieces = tuple(_pieces(plan, data))
    if plan.larger is not None:
        return replace(_own_teacher(plan, data, pieces, bench), general=general)
    folders = bench.together([
        Step(f"teacher-{number}", f"teacher-{number}", partial(_tune, data, run),
            {"data": data.fingerprint(), "run": asdict(run)})
        for number, run in enumerate(plan.runs, 1)
    ])  # fmt: skip
    folders.sort(key=lambda folder: -store.read_log(folder)["selection"])
    folds = bench.together([
        Step(f"fold-{number}", f"fold-{number}",
            partial(_tune, teaching.without_fold(data, number, plan.folds), replace(plan.runs[0], seed=_FOLD_SEED + number)),
            {"fold": number, "folds": plan.folds})
        for number in range(plan.folds)
    ])  # fmt: skip
    pool = bench.step(
        "pool", "pool.json", lambda path, tell: _write_pool(path, data, plan, tell), **plan.making.key()
    )
    texts: list[str] = json.loads(pool.read_text("utf-8"))
    lesson = bench.step("lesson", "lesson.npz",
        lambda path, tell: store.save_lesson(
            path, teaching.lesson_of(data, texts, folders[: plan.speakers], folds, tell)),
        speakers=plan.speakers)  # fmt: skip
    rows = [*data.train, *unlabelled(texts)]
    side = encode(rows, data.tokenizer(pieces), data.labels, data.slots)
    logs = [
        store.read_log(folder) | {"speaks": number < plan.speakers} for number, folder in enumerate(folders)
    ]
    logs += [
        store.read_log(folder) | {"speaks": True, "left_out": f"fold {number} of {plan.folds}"}
        for number, folder in enumerate(folds, 1)
    ]
    return Course(data, pieces, side, lesson, WIDTH, tuple(logs), general, plan.making)


def learn(course: Course, settings: Settings, bench: Workbench, made: str) -> Student:
    """Train a student, or read it where the same course has been taken."""
    student = teaching.new_student(course.pieces, course.data, settings, course.teacher_width, course.general)
    taught = teaching.Taught(course.side, course.lesson)

    def train(path: Path, tell: Tell) -> None:
        teaching.train_student(student, taught, settings, tell)
        store.save_student(path, student)

    weights = bench.step("student", made, train,
        settings=asdict(settings), pieces=lines_sha256(course.pieces), general=_key(course.general))  # fmt: skip
    return store.load_student(student, weights)


def _key(general: Path | None) -> str | None:
    """The workbench's key of the general stage: other weights, another student."""
    return None if general is None else (general.parent / f"{general.name}.key").read_text("utf-8")


def _tune(data: TaskData, run: Run, folder: Path, tell: Tell) -> None:
    teaching.tune_teacher(folder, data, run, model_folder(), tell)


def _pieces(plan: Plan, data: TaskData) -> list[str]:
    if plan.larger is None:
        return cut_pieces(data, plan.vocabulary)
    if not data.lexicon:
        return multi_vocabulary(data)
    known = read_vocabulary(model_folder())
    return multi_vocabulary(data, (known[number] for number in nearest_first(data.lexicon)), plan.vocabulary)


def cut_pieces(data: TaskData, size: int) -> list[str]:
    """MiniLM's pieces that a student of these rows keeps; what says nothing needs none of its own."""
    texts = [row.text for row in data.train if row.origin != NOISE]
    order = nearest_first(data.lexicon) if data.lexicon else None
    return cut(read_vocabulary(model_folder()), texts, size, order)


def write_pool(path: Path, data: TaskData, making: Making) -> None:
    """The texts that the teachers will speak of besides the training rows, as a JSON list."""
    path.write_text(json.dumps(teaching.pool_of(data, making), ensure_ascii=False), "utf-8")


def _write_pool(path: Path, data: TaskData, plan: Plan, tell: Tell) -> None:
    write_pool(path, data, plan.making)
    tell(1.0)


def _own_teacher(plan: Plan, data: TaskData, pieces: tuple[str, ...], bench: Workbench) -> Course:
    """A larger model of the student's architecture, from labels alone, and what its last exit says."""
    assert plan.larger is not None  # noqa: S101 - the caller looked
    dims = replace(plan.larger, vocabulary=len(pieces))
    side = encode(data.train, data.tokenizer(pieces), data.labels, data.slots)

    def fresh() -> Student:
        torch.manual_seed(0)
        larger = Student(dims, len(data.labels), len(data.slots))
        larger.trunk.embedding.weight.data = start_embeddings(model_folder(), pieces, dims.d)
        return larger

    log = bench.folder / "teacher-1.json"

    def tune(path: Path, tell: Tell) -> None:
        log.unlink(missing_ok=True)
        larger = fresh()
        teaching.train_student(larger, teaching.Taught(side, None), plan.larger_settings, tell)
        store.save_student(path, larger)

    weights = bench.step("teacher-1", "teacher-1.pt", tune,
        data=data.fingerprint(), dims=asdict(dims), settings=asdict(plan.larger_settings), pieces=lines_sha256(pieces))  # fmt: skip
    larger = store.load_student(fresh(), weights)
    # No step of its own: the keys of lesson and student would change, and what is kept of them be made anew.
    if not log.is_file():
        store.save_log(log, teaching.own_log(larger, pieces, data, plan.larger_settings))

    def write(path: Path, tell: Tell) -> None:
        store.save_lesson(path, teaching.own_lesson(larger, side))
        tell(1.0)

    lesson = bench.step("lesson", "lesson.npz", write)
    return Course(data, pieces, side, lesson, 3 * dims.d, (json.loads(log.read_text("utf-8")),))
