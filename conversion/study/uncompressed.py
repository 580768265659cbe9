"""What a student is held against, row by row: its teacher in onnxruntime, fp32 and int8, and the linear SVM."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from conversion.check import baselines, teacher_ort
from conversion.check.cascade import weighted
from conversion.check.rows import RowFile, SystemRows, save_rows, truth_of
from conversion.data.task import TaskData, load
from conversion.train.store import best_teacher, load_teacher, read_log
from conversion.train.teacher import model_folder
from firmware_py.contracts.errors import DataMissingError

Tell = Callable[[str, float], None]


def onnx_teacher(folder: Path) -> dict[str, Path]:
    """The best teacher as ONNX files by form, fp32 and int8; exported when it is newer than they are."""
    source = best_teacher(folder)
    place = folder / "onnx-teacher" / source.name
    made_s = (source / "weights.pt").stat().st_mtime
    paths = {form: place / f"teacher-{form}.onnx" for form in teacher_ort.FORMS}
    for path in paths.values():
        if path.exists() and path.stat().st_mtime < made_s:
            path.unlink()
    if not all(path.exists() for path in paths.values()):
        labels = len(load(folder / "data.json").labels)
        teacher_ort.export_teacher(load_teacher(source, model_folder(), labels), place)
    return paths


def measure_baselines(folder: Path, tell: Tell) -> dict[str, Any]:
    """Measure them on the report split of a build folder; writes `baselines.json` and `baselines.npz` into it.

    A model without a pretrained teacher (home-multi) has the SVM alone.

    Raises:
        DataMissingError: the folder has no rows.
    """
    if not (folder / "data.json").is_file():
        msg = f"there are no rows in {folder}"
        raise DataMissingError(msg, hint="Build the model first: `ciuic model build NAME`.")
    data = load(folder / "data.json")
    truth, intents = truth_of(data.report, data.labels), [row.intent for row in data.report]
    systems: dict[str, SystemRows] = {}
    paths: dict[str, Path] = {}
    about: dict[str, Any] | None = None
    if any(folder.glob("teacher-*/log.json")):
        source = best_teacher(folder)
        about = {"run": read_log(source)["run"], "name": source.name}
        tell("exporting the teacher", 0.0)
        paths = onnx_teacher(folder)
        teacher = load_teacher(source, model_folder(), len(data.labels))
        coded = teacher.encode([row.text for row in data.report])
        for form, path in paths.items():
            said = teacher_ort.answers(teacher_ort.OrtTeacher(path), coded, partial(tell, f"teacher {form}"))
            systems[f"teacher {form}"] = SystemRows(teacher_ort.right(said, data.labels, intents))
    tell("linear svm", 0.0)
    systems["linear svm"] = SystemRows(_svm_right(data))
    known = truth.inside
    found = {
        "teacher": about,
        "bytes": {form: path.stat().st_size for form, path in paths.items()},
        "accuracy": {
            name: round(weighted(system.right[known], truth.weight[known]), 5)
            for name, system in systems.items()
        },
    }
    save_rows(folder / "baselines.npz", RowFile(data.hashes()["report"], truth, systems))
    (folder / "baselines.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return found


def _svm_right(data: TaskData) -> Any:
    truth = truth_of(data.report, data.labels)
    said = baselines.linear_svm(data, [row.text for row in data.report])
    return np.asarray(said.label == truth.target)
