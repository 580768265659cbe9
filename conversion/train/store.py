"""Training's results as files: teacher runs, the lesson, the student."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from conversion.data.augment import augment
from conversion.data.task import TaskData, inside
from conversion.nets.deepseek_lite import Dims
from conversion.nets.student import Student
from conversion.train.batches import Encoded, batches, encode
from conversion.train.distil import Settings, distill_model
from conversion.train.general import take_over
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
from firmware_py.bundles.write import write_atomic
from firmware_py.contracts.errors import DataMissingError
from firmware_py.tasks.text import WordPiece

THREADS = 1  # two were slower whenever anything else ran: workers spin at every barrier


@dataclass(frozen=True, slots=True)
class Taught:
    """Encoded rows and the file with what the teachers said of them; no file: labels alone."""

    side: Encoded
    path: Path | None


def write_teacher(folder: Path, data: TaskData, run: Run, source: Path, tell: Tell) -> None:
    """Tune one teacher: `weights.pt` and `log.json` with its settings and accuracy on selection and report."""
    torch.set_num_threads(THREADS)
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
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(teacher.state_dict(), folder / "weights.pt")
    (folder / "log.json").write_text(json.dumps(log, indent=1), "utf-8")
    tell(1.0)


def write_own_log(
    path: Path, larger: Student, pieces: Sequence[str], data: TaskData, settings: Settings
) -> None:
    """The log of a teacher of the student's own architecture: what `write_teacher` logs of MiniLM."""
    log: dict[str, Any] = {
        "run": asdict(settings),
        "source": "the student's architecture, larger",
        "dims": asdict(larger.trunk.dims),
        "parameters": _count(larger),
    }
    for split in ("selection", "report"):
        side = encode(inside(data.split(split)), WordPiece(list(pieces)), data.labels, ())
        right = own_lesson(larger, side).logits.argmax(1) == side.labels
        log[split] = round(float(right.float().mean()), 5)
    write_atomic(path, json.dumps(log, indent=1).encode())


def own_lesson(larger: Student, side: Encoded) -> Lesson:
    """What the last exit of a teacher of the student's own architecture says of encoded rows."""
    torch.set_num_threads(THREADS)
    classes, width = larger.heads[-1].intent_w2.shape[1], 3 * larger.trunk.dims.d
    logits, rows = torch.zeros(len(side), classes), torch.zeros(len(side), width)
    with torch.no_grad():
        for batch in batches(side, 256):
            last = larger(batch.ids, batch.mask)[-1]
            logits[batch.index], rows[batch.index] = last.logits.float(), last.pool.float()
    return Lesson(logits, torch.nn.functional.normalize(rows, dim=-1))


def read_log(folder: Path) -> dict[str, Any]:
    """A teacher's log."""
    log: dict[str, Any] = json.loads((folder / "log.json").read_text("utf-8"))
    return log


def best_teacher(folder: Path) -> Path:
    """The tuned teacher of a build folder that is best on the model-selection split.

    Raises:
        DataMissingError: there is none.
    """
    found = [path.parent for path in sorted(folder.glob("teacher-*/log.json"))]
    if not found:
        msg = f"no tuned teacher is in {folder}"
        raise DataMissingError(
            msg, hint="Build the task's model first, `ciuic model build NAME`: its teachers are kept."
        )
    return max(found, key=lambda path: float(read_log(path)["selection"]))


def load_teacher(folder: Path, source: Path, labels: int) -> Teacher:
    """A tuned teacher, ready to speak."""
    teacher = Teacher(source, labels)
    teacher.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    return teacher.eval()


def pool_of(data: TaskData, each: int) -> list[str]:
    """Texts without labels: near neighbours of the training texts, then texts of other sets; none is a report text."""
    made = [*augment([row.text for row in data.train], neighbours(), each, 0), *data.unlabelled]
    sides = (data.report, *data.extras.values())
    asked = {row.text.lower() for rows in sides for row in rows}
    return [text for text in made if text.lower() not in asked]


def write_lesson(
    path: Path, data: TaskData, pool: Sequence[str], teachers: Sequence[Path], tell: Tell
) -> None:
    """What the teachers say of training texts and pool: the mean of their logits; rows of the best one.

    Args:
        path: an `.npz` with `logits` and `embeddings`, float16.
        data: whose training texts come first.
        pool: texts after them.
        teachers: folders of tuned teachers, the best one first.
        tell: takes the share done.
    """
    torch.set_num_threads(THREADS)
    texts = [*(row.text for row in data.train), *pool]
    logits, embeddings = torch.zeros(len(texts), len(data.labels)), torch.zeros(0)
    for number, folder in enumerate(teachers):
        teacher = load_teacher(folder, model_folder(), len(data.labels))
        said = listen(teacher, texts, lambda share, n=number: tell((n + share) / len(teachers)))  # type: ignore[misc]
        logits += said.logits / len(teachers)
        embeddings = said.embeddings if number == 0 else embeddings
    save_lesson(path, Lesson(logits, embeddings))


def save_lesson(path: Path, lesson: Lesson) -> None:
    """Write it as float16."""
    arrays = {"logits": lesson.logits.numpy(), "embeddings": lesson.embeddings.numpy()}
    np.savez(path, **{name: array.astype(np.float16) for name, array in arrays.items()})


def load_lesson(path: Path) -> Lesson:
    """Read it back as float32."""
    with np.load(path) as file:
        return Lesson(*(torch.from_numpy(file[name].astype(np.float32)) for name in ("logits", "embeddings")))


def train_student(student: Student, path: Path, lesson: Taught, settings: Settings, tell: Tell) -> None:
    """Distil and write the weights."""
    torch.set_num_threads(THREADS)
    said = None if lesson.path is None else load_lesson(lesson.path)
    distill_model(student, lesson.side, said, settings, tell)
    torch.save(student.state_dict(), path)


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


def load_student(student: Student, path: Path) -> Student:
    """Put stored weights into a student of the same sizes, ready to use."""
    student.load_state_dict(torch.load(path, weights_only=True))
    return student.eval()


def _count(teacher: Teacher | Student) -> int:
    return sum(one.numel() for one in teacher.parameters())
