"""Training's results as files: the lesson, the student."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from conversion.nets.deepseek_lite import Dims
from conversion.nets.student import Student
from conversion.train.batches import Encoded
from conversion.train.distil import Settings, distil
from conversion.train.teacher import Lesson, Teacher, model_folder, start_embeddings, teach

Tell = Callable[[float], None]

THREADS = 1  # two were slower whenever anything else ran: workers spin at every barrier


@dataclass(frozen=True, slots=True)
class Course:
    """What a student learns from: encoded sentences, the teacher's file, how."""

    side: Encoded
    lesson: Path
    settings: Settings


def write_lesson(path: Path, texts: Sequence[str], side: Encoded, labels: int, tell: Tell) -> None:
    """Tune the teacher and write what it says; its own seed is 0, so that students differ by theirs."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    lesson = teach(Teacher(model_folder(), labels), texts, side.labels, 0, tell)
    arrays = {"logits": lesson.logits.numpy(), "embeddings": lesson.embeddings.numpy()}
    np.savez(path, **{name: array.astype(np.float16) for name, array in arrays.items()})


def load_lesson(path: Path) -> Lesson:
    """Read it back as float32."""
    with np.load(path) as file:
        return Lesson(*(torch.from_numpy(file[name].astype(np.float32)) for name in ("logits", "embeddings")))


def train_student(student: Student, path: Path, course: Course, tell: Tell) -> None:
    """Distil and write the weights."""
    torch.set_num_threads(THREADS)
    distil(student, course.side, load_lesson(course.lesson), course.settings, tell)
    torch.save(student.state_dict(), path)


def new_student(pieces: Sequence[str], labels: int, slots: int, settings: Settings) -> Student:
    """An untrained student whose words start where MiniLM has them."""
    torch.manual_seed(settings.seed)
    dims = Dims(len(pieces), layers=settings.layers)
    student = Student(dims, labels, slots)
    student.trunk.embedding.weight.data = start_embeddings(model_folder(), pieces, dims.d)
    return student


def load_student(student: Student, path: Path) -> Student:
    """Put stored weights into a student of the same sizes, ready to use."""
    student.load_state_dict(torch.load(path, weights_only=True))
    return student.eval()
