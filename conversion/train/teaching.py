"""The work that a build's hours go into: tune teachers, hear what they say, distil a student of it.

What comes of it is kept by `store`. All of it computes with `precision.THREADS` threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import torch

from conversion.data.augment import augment, cover, cross, plain
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


@dataclass(frozen=True, slots=True)
class Making:
    """How many texts without labels are made of each training text.

    `near`: near neighbours. `crossed`: crossings with its like, and as many with texts of other sets. `covered`: with words
    that stand in for some of its own.
    """

    near: int = 0
    crossed: int = 0
    covered: int = 0

    @property
    def total(self) -> int:
        """All of them together."""
        return self.near + 2 * self.crossed + self.covered

    def key(self) -> dict[str, int]:
        """What a build's step depends on: near neighbours alone were there before, under another name."""
        more = {"crossed": self.crossed, "covered": self.covered}
        return {"each": self.near} | {name: count for name, count in more.items() if count}


def pool_of(data: TaskData, making: Making) -> list[str]:
    """Texts without labels: made of the training texts, then texts of other sets.

    None is a text that the model is chosen, calibrated or judged on.
    """
    texts, known = [row.text for row in data.train], neighbours()
    near = augment(texts, known, making.near, 0)
    mixed = [text for others in (texts, data.unlabelled) for text in cross(texts, others, making.crossed, 0)]
    strange = cover(texts, known.words, making.covered, 0)
    sides = (data.selection, data.temperature, data.thresholds, data.report, *data.extras.values())
    asked = {plain(row.text) for rows in sides for row in rows}
    made = dict.fromkeys([*near, *mixed, *strange, *data.unlabelled])
    return [text for text in made if plain(text) not in asked]


def without_fold(data: TaskData, fold: int, folds: int) -> TaskData:
    """All but the training rows of a fold."""
    return replace(data, train=tuple(row for row in data.train if fold_of(row.text, folds) != fold))


def fold_of(text: str, folds: int) -> int:
    """In which fold a training text is; equal ones, in whatever case, are in the same."""
    return int(hashlib.sha256(text.lower().encode()).hexdigest()[:8], 16) % folds


def lesson_of(
    data: TaskData, pool: Sequence[str], teachers: Sequence[Path], folds: Sequence[Path], tell: Tell
) -> Lesson:
    """What the teachers say of training texts and pool: the mean of their logits; rows of the best one.

    Args:
        data: whose training texts come first.
        pool: texts after them.
        teachers: folders of tuned teachers, the best one first.
        folds: folders of teachers that were tuned without a fold each. Of training texts they speak of that fold's
            only, with the doubt of who never saw the answer (cross-fitting: Dao et al. 2021, arXiv 2104.09732).
        tell: takes the share done.
    """
    settle_threads()
    known, texts = len(data.train), [*(row.text for row in data.train), *pool]
    logits, embeddings = torch.zeros(len(texts), len(data.labels)), torch.zeros(0)
    spoken = torch.zeros(len(texts), 1)
    folded = [fold_of(text, len(folds)) for text in texts[:known]] if folds else []
    pooled = range(known, len(texts))
    speakers: list[tuple[Path, Sequence[int]]] = [(folder, range(len(texts))) for folder in teachers]
    for fold, folder in enumerate(folds):
        speakers.append((folder, [*(n for n, its in enumerate(folded) if its == fold), *pooled]))
    for number, (folder, rows) in enumerate(speakers):
        teacher = store.load_teacher(folder, model_folder(), len(data.labels))
        before, each = number / len(speakers), 1 / len(speakers)
        said = listen(teacher, [texts[n] for n in rows], partial(_tell_part, tell, before, each))
        logits[rows] += said.logits
        spoken[rows] += 1
        embeddings = said.embeddings if number == 0 else embeddings
    return Lesson(logits / spoken, embeddings)


def _tell_part(tell: Tell, before: float, each: float, share: float) -> None:
    tell(before + share * each)


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
