"""The teacher that stands for the uncompressed model is the best on selection, exported anew when it changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from firmware_py.contracts.errors import DataMissingError

pytestmark = pytest.mark.usefixtures("torch_or_skip")


def teacher(folder: Path, name: str, selection: float) -> Path:
    place = folder / name
    place.mkdir(parents=True)
    (place / "log.json").write_text(
        json.dumps({"run": {}, "selection": selection, "report": 1.0 - selection})
    )
    (place / "weights.pt").write_bytes(b"w")
    return place


def test_the_best_on_selection_is_taken_whatever_the_report_says(tmp_path: Path) -> None:
    from conversion.train.store import best_teacher

    teacher(tmp_path, "teacher-1", 0.90)
    teacher(tmp_path, "teacher-2", 0.93)
    assert best_teacher(tmp_path).name == "teacher-2"
    with pytest.raises(DataMissingError):
        best_teacher(tmp_path / "none")


def test_files_older_than_the_teacher_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from conversion.study import uncompressed

    source = teacher(tmp_path, "teacher-1", 0.9)
    exported: list[Path] = []

    def export(_model: Any, place: Path) -> None:
        exported.append(place)
        place.mkdir(parents=True, exist_ok=True)
        for form in ("fp32", "int8"):
            (place / f"teacher-{form}.onnx").write_bytes(b"o")

    class Rows:
        labels = ("a", "b")

    monkeypatch.setattr(uncompressed, "load", lambda _: Rows)
    monkeypatch.setattr(uncompressed, "load_teacher", lambda *_: None)
    monkeypatch.setattr(uncompressed, "model_folder", Path)
    monkeypatch.setattr("conversion.check.teacher_ort.export_teacher", export)
    paths = uncompressed.onnx_teacher(tmp_path)
    assert uncompressed.onnx_teacher(tmp_path) == paths
    assert len(exported) == 1
    later_s = paths["fp32"].stat().st_mtime + 10
    os.utime(source / "weights.pt", (later_s, later_s))
    uncompressed.onnx_teacher(tmp_path)
    assert len(exported) == 2
