"""Training's results as files: teachers with their logs, lessons, students. What takes hours is in `teaching`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conversion.nets.student import Student
from conversion.train.teacher import Lesson, Teacher
from firmware_py.bundles.write import write_atomic
from firmware_py.contracts.errors import DataMissingError


def save_teacher(folder: Path, teacher: Teacher, log: Mapping[str, Any]) -> None:
    """`weights.pt`, then `log.json`: where the log is, the teacher is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(teacher.state_dict(), folder / "weights.pt")
    save_log(folder / "log.json", log)


def save_log(path: Path, log: Mapping[str, Any]) -> None:
    """A teacher's settings and figures; the file appears whole or not at all."""
    write_atomic(path, json.dumps(log, indent=1).encode())


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


def save_lesson(path: Path, lesson: Lesson) -> None:
    """An `.npz` with `logits` and `embeddings`, float16."""
    arrays = {"logits": lesson.logits.numpy(), "embeddings": lesson.embeddings.numpy()}
    np.savez(path, **{name: array.astype(np.float16) for name, array in arrays.items()})


def load_lesson(path: Path) -> Lesson:
    """Read it back as float32."""
    with np.load(path) as file:
        return Lesson(*(torch.from_numpy(file[name].astype(np.float32)) for name in ("logits", "embeddings")))


def save_student(path: Path, student: Student) -> None:
    """Its weights."""
    torch.save(student.state_dict(), path)


def load_student(student: Student, path: Path) -> Student:
    """Put stored weights into a student of the same sizes, ready to use."""
    student.load_state_dict(torch.load(path, weights_only=True))
    return student.eval()
