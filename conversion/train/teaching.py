"""The work that a build's hours go into: tune teachers, hear what they say, distil a student of it.

What comes of it is kept by `store`. All of it computes with `precision.THREADS` threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch

from conversion.data.augment import augment
from conversion.data.task import TaskData, inside
from conversion.nets.deepseek_lite import Dims
from conversion.nets.student import Student
from conversion.train import store
from conversion.train.batches import Encoded, batches, encode
from conversion.train.distil import Settings, distill_model
from conversion.train.general import take_over
from conversion.train.precision import settle_threads
from conversion.train.teacher import (
    Lesson,
    Run,
    Teacher,
    Tell,
    accuracy,
    listen,
    model_folder,
    neighbours,
    start_embeddings,
    tune,
)


@dataclass(frozen=True, slots=True)
class Taught:
    """Encoded rows and the file with what the teachers said of them; no file: labels alone."""

    side: Encoded
    path: Path | None


def tune_teacher(folder: Path, data: TaskData, run: Run, source: Path, tell: Tell) -> None:
    """Tune one teacher, judge it on selection and report, and keep it in the folder.

    Args:
        folder: of the teacher, made if absent.
        data: whose training rows it learns.
        run: how.
        source: the folder of the checkpoint that it starts from.
        tell: takes the share done.
    """
    settle_threads()
    torch.manual_seed(run.seed)
    teacher = Teacher(source, len(data.labels))
    place = {label: number for number, label in enumerate(data.labels)}
    targets = torch.tensor([place[row.intent] for row in data.train])
    tune(teacher, [row.text for row in data.train], targets, run, lambda share: tell(0.95 * share))
    log: dict[str, Any] = {"run": asdict(run), "source": source.name, "parameters": _count(teacher)}
    for split in ("selection", "report"):
        rows = inside(data.split(split))
        known = torch.tensor([place[row.intent] for row in rows])
        log[split] = round(accuracy(teacher, [row.text for row in rows], known), 5)
    store.save_teacher(folder, teacher, log)
    tell(1.0)


def own_log(larger: Student, pieces: Sequence[str], data: TaskData, settings: Settings) -> dict[str, Any]:
    """The log of a teacher of the student's own architecture: what `tune_teacher` logs of MiniLM."""
    log: dict[str, Any] = {
        "run": asdict(settings),
        "source": "the student's architecture, larger",
        "dims": asdict(larger.trunk.dims),
        "parameters": _count(larger),
    }
    for split in ("selection", "report"):
        side = encode(inside(data.split(split)), data.tokenizer(pieces), data.labels, ())
        right = own_lesson(larger, side).logits.argmax(1) == side.labels
        log[split] = round(float(right.float().mean()), 5)
    return log


def own_lesson(larger: Student, side: Encoded) -> Lesson:
    """What the last exit of a teacher of the student's own architecture says of encoded rows."""
    settle_threads()
    classes, width = larger.heads[-1].intent_w2.shape[1], 3 * larger.trunk.dims.d
    logits, rows = torch.zeros(len(side), classes), torch.zeros(len(side), width)
    with torch.no_grad():
        for batch in batches(side, 256):
            last = larger(batch.ids, batch.mask)[-1]
            logits[batch.index], rows[batch.index] = last.logits.float(), last.pool.float()
    return Lesson(logits, torch.nn.functional.normalize(rows, dim=-1))


def pool_of(data: TaskData, each: int) -> list[str]:
    """Texts without labels: near neighbours of the training texts, then texts of other sets.

    None is a text that the model is chosen, calibrated or judged on.
    """
    made = [*augment([row.text for row in data.train], neighbours(), each, 0), *data.unlabelled]
    sides = (data.selection, data.temperature, data.thresholds, data.report, *data.extras.values())
    asked = {row.text.lower() for rows in sides for row in rows}
    return [text for text in made if text.lower() not in asked]


def lesson_of(data: TaskData, pool: Sequence[str], teachers: Sequence[Path], tell: Tell) -> Lesson:
    """What the teachers say of training texts and pool: the mean of their logits; rows of the best one.

    Args:
        data: whose training texts come first.
        pool: texts after them.
        teachers: folders of tuned teachers, the best one first.
        tell: takes the share done.
    """
    settle_threads()
    texts = [*(row.text for row in data.train), *pool]
    logits, embeddings = torch.zeros(len(texts), len(data.labels)), torch.zeros(0)
    for number, folder in enumerate(teachers):
        teacher = store.load_teacher(folder, model_folder(), len(data.labels))
        said = listen(teacher, texts, lambda share, n=number: tell((n + share) / len(teachers)))  # type: ignore[misc]
        logits += said.logits / len(teachers)
        embeddings = said.embeddings if number == 0 else embeddings
    return Lesson(logits, embeddings)


def train_student(student: Student, taught: Taught, settings: Settings, tell: Tell) -> None:
    """Distil in place."""
    settle_threads()
    said = None if taught.path is None else store.load_lesson(taught.path)
    distill_model(student, taught.side, said, settings, tell)


def new_student(
    pieces: Sequence[str], data: TaskData, settings: Settings, teacher_width: int, general: Path | None
) -> Student:
    """An untrained student: its words start where MiniLM has them, or all of it where the general stage ended."""
    torch.manual_seed(settings.seed)
    norm = cast("Literal['rms', 'dyt']", settings.norm)
    dims = Dims(
        len(pieces),
        layers=settings.layers,
        stages=settings.stages,
        norm=norm,
        branch_dropout=settings.branch_dropout,
        head_hidden=settings.head_hidden,
    )
    student = Student(dims, len(data.labels), len(data.slots), teacher_width)
    student.trunk.embedding.weight.data = start_embeddings(model_folder(), pieces, dims.d)
    if general is not None:
        take_over(student, pieces, general)
    return student


def _count(teacher: Teacher | Student) -> int:
    return sum(one.numel() for one in teacher.parameters())
