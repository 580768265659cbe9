"""`ciuic model build minilm --task NAME`: the tuned teacher of a task as a staged bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from conversion.data.digests import file_sha256
from conversion.data.provenance import Made, describe
from conversion.data.task import TaskData
from conversion.export.to_tflite import tool_version
from conversion.nets.heads import Head
from conversion.staged.build import Target, build_staged
from conversion.staged.teacher import BATCH, EPOCHS, RATE, SEED, Staged, Tell, train_heads
from conversion.train import store
from conversion.train.precision import THREADS, settle_threads
from conversion.train.sources import MINILM
from conversion.train.teacher import Teacher, model_folder


def build_minilm(data: TaskData, folder: Path, target: Target, tell: Tell = lambda _: None) -> dict[str, Any]:
    """Stage the best teacher that the task's build kept.

    Args:
        data: the task's rows, the same that tuned the teacher.
        folder: the task's build folder, with `teacher-1`, `teacher-2` …; heads are kept in it.
        target: what to write.
        tell: hears the share done.

    Raises:
        DataMissingError: no teacher was tuned there.
        ConversionError: the graphs are not what torch says; beside where the bundle would be lies a report of why.
        ToolMissingError: an environment that the build needs is not there.
    """
    settle_threads()
    chosen = store.best_teacher(folder)
    teacher = store.load_teacher(chosen, model_folder(), len(data.labels))
    heads = _heads(teacher, data, (folder, chosen), lambda share: tell(0.3 * share))
    vocabulary = (model_folder() / "vocab.txt").read_bytes()
    log = store.read_log(chosen)
    about = where_from(data, log, tool_version(target.place.root))
    report = build_staged(
        Staged(teacher, heads),
        vocabulary,
        data,
        replace(target, about=about),
        lambda share: tell(0.3 + 0.7 * share),
    )
    return about | report | {"teacher": log}


def where_from(data: TaskData, log: Mapping[str, Any], onnx2tf: str) -> dict[str, Any]:
    """The provenance of a staged MiniLM: `log` is of the run that tuned it, `settings` are of the heads behind its layers."""
    encoder = MINILM | {"use": "the encoder itself, tuned, and its word pieces"}
    made = Made((encoder,), None, THREADS, onnx2tf)
    heads = {"seed": SEED, "epochs": EPOCHS, "batch": BATCH, "rate": RATE}
    return describe(data, made) | {"settings": heads, "teachers": [dict(log)]}


def _heads(teacher: Teacher, data: TaskData, where: tuple[Path, Path], tell: Tell) -> tuple[Head, ...]:
    """Train the exits, or read those of the same weights; `where`: build folder, the teacher's folder."""
    folder, chosen = where
    digest = file_sha256(chosen / "weights.pt")[:16]
    path = folder / f"staged-heads-{digest}.pt"
    width, labels = teacher.classify.in_features, teacher.classify.out_features
    if not path.is_file():
        place = {label: number for number, label in enumerate(data.labels)}
        targets = torch.tensor([place[row.intent] for row in data.train])
        made = train_heads(teacher, [row.text for row in data.train], targets, tell)
        torch.save([head.state_dict() for head in made], path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
    heads = []
    for state in torch.load(path, weights_only=True):
        head = Head(width, labels, 0)
        head.load_state_dict(state)
        heads.append(head.eval())
    tell(1.0)
    return tuple(heads)
