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
from conversion.train.store import load_teacher, read_log
from conversion.train.teacher import model_folder
from firmware_py.contracts.errors import DataMissingError

Tell = Callable[[str, float], None]


def best_teacher(folder: Path) -> Path:
    """The tuned teacher of a build folder that is best on the model-selection split.

    Raises:
        DataMissingError: there is none.
    """
    found = [path.parent for path in sorted(folder.glob("teacher-*/log.json"))]
    if not found:
        msg = f"there is no tuned teacher in {folder}"
        raise DataMissingError(msg, hint="Build the model first: `ciuic model build NAME`.")
    return max(found, key=lambda one: float(read_log(one)["selection"]))


def onnx_teacher(folder: Path) -> dict[str, Path]:
    """The best teacher as ONNX files, exported once: by form, fp32 and int8."""
    source = best_teacher(folder)
    place = folder / "onnx-teacher" / source.name
    if not all((place / f"teacher-{form}.onnx").exists() for form in teacher_ort.FORMS):
        labels = len(load(folder / "data.json").labels)
        return teacher_ort.export_teacher(load_teacher(source, model_folder(), labels), place)
    return {form: place / f"teacher-{form}.onnx" for form in teacher_ort.FORMS}


def measure_baselines(folder: Path, tell: Tell) -> dict[str, Any]:
    """Measure them on the report split of a build folder; writes `baselines.json` and `baselines.npz` into it.

    Raises:
        DataMissingError: the folder has no rows or no teacher.
    """
    if not (folder / "data.json").is_file():
        msg = f"there are no rows in {folder}"
        raise DataMissingError(msg, hint="Build the model first: `ciuic model build NAME`.")
    data = load(folder / "data.json")
    truth, intents = truth_of(data.report, data.labels), [row.intent for row in data.report]
    source = best_teacher(folder)
    tell("exporting the teacher", 0.0)
    paths = onnx_teacher(folder)
    coded = load_teacher(source, model_folder(), len(data.labels)).encode([row.text for row in data.report])
    systems: dict[str, SystemRows] = {}
    for form, path in paths.items():
        logits = teacher_ort.answers(teacher_ort.OrtTeacher(path), coded, partial(tell, f"teacher {form}"))
        systems[f"teacher {form}"] = SystemRows(teacher_ort.right(logits, data.labels, intents))
    tell("linear svm", 0.0)
    systems["linear svm"] = SystemRows(_svm_right(data))
    known = truth.inside
    found = {
        "teacher": {"run": read_log(source)["run"], "name": source.name},
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
