"""The verb: files beside the bundle, rows that are the bundle's own, a runtime that is there."""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conversion.check.answers import LatticeAnswers
from conversion.check.rows import load_rows
from conversion.check.runtime import ENVIRONMENTS
from conversion.data.sentence import Sentence
from conversion.data.task import TaskData, save
from conversion.study import command
from conversion.study.command import Places, run_tradeoff, task_rows
from conversion.study.flags import METHODS, RUNTIMES, configure_tradeoff
from conversion.study.joules import Method
from firmware_py.bundles.write import write_bundle
from firmware_py.contracts.errors import DataInvalidError, DataMissingError, ToolMissingError
from firmware_py.testing.tiny_bundle import tiny_files

DIMS = {"d_model": 16.0, "heads": 4.0, "latent": 8.0, "rope": 4.0, "ffn": 32.0, "layers": 1.0}
PARTS = ("selection", "temperature", "thresholds", "report")


def data() -> TaskData:
    random = np.random.default_rng(0)
    split: dict[str, Any] = {
        name: tuple(
            Sentence(f"turn {name} {n}", ("turn_on", "turn_off")[int(random.integers(2))]) for n in range(60)
        )
        for name in PARTS
    }
    return TaskData("tiny-en", "home", ("en",), ("turn_on", "turn_off", "oos"), ("area",), train=(), **split)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    build = tmp_path / "tiny-en-0"
    build.mkdir()
    save(data(), build / "data.json")
    return Places(tmp_path, None, lambda name, seed: tmp_path / f"{name}-{seed}")


def bundle(folder: Path, report_sha256: str | None = None) -> Path:
    manifest, files = tiny_files(rich=True)
    provenance = {
        "data": {"splits": {"report": report_sha256 or data().hashes()["report"]}},
        "settings": {"seed": 7},
    }
    path = folder / "tiny.bundle"
    write_bundle(path, replace(manifest, dims=DIMS, provenance=provenance), files)
    return path


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    configure_tradeoff(parser)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args([*words, "--allow-unsigned", "--no-timing"])


def test_flags_name_what_there_is() -> None:
    assert set(METHODS) == set(Method.__args__)  # type: ignore[attr-defined]
    assert set(RUNTIMES) == set(ENVIRONMENTS)


def test_the_verb_writes_table_json_csv_page_and_rows(
    tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {row.text: row for name in PARTS for row in data().split(name)}

    def ask(texts: list[str], prefixes: list[tuple[int, ...]]) -> LatticeAnswers:
        random = np.random.default_rng(1)
        target = np.array([data().labels.index(rows[text].intent) for text in texts])
        logits = random.normal(size=(len(prefixes), len(texts), 3)).astype(np.float32)
        logits[:, np.arange(len(texts)), target] += 2.0
        return LatticeAnswers(dict(zip(prefixes, logits, strict=True)))

    monkeypatch.setattr(command, "lattice_of", lambda *_: ask)
    monkeypatch.setattr(command, "_runtimes", lambda *_: ["scripted"])
    said: list[str] = []
    path = bundle(tmp_path)
    assert run_tradeoff(arguments(str(path), "--out", str(tmp_path / "out")), places, said.append) == 0
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == [
        "tiny.tradeoff.csv",
        "tiny.tradeoff.html",
        "tiny.tradeoff.json",
        "tiny.tradeoff.rows.npz",
    ]
    document = json.loads((tmp_path / "out" / "tiny.tradeoff.json").read_text())
    assert document["bundle"]["installed_bytes"] == path.stat().st_size
    assert document["splits"]["report"] == data().hashes()["report"]
    with (tmp_path / "out" / "tiny.tradeoff.csv").open() as file:
        assert [row["name"] for row in csv.DictReader(file)][:10] == [f"0.{n}" for n in range(1, 10)] + [
            "1.0"
        ]
    assert load_rows(tmp_path / "out" / "tiny.tradeoff.rows.npz").sha256 == data().hashes()["report"]
    out = capsys.readouterr().out
    assert out.startswith("ratio")
    assert "not timed" in out
    assert any("testing risk rules" in line for line in said)


def test_rows_that_the_bundle_was_not_judged_on_are_refused(tmp_path: Path, places: Places) -> None:
    manifest = replace(tiny_files()[0], provenance={"data": {"splits": {"report": "0" * 64}}})
    with pytest.raises(DataInvalidError, match="not those that the bundle was judged on"):
        task_rows(manifest, None, places)
    with pytest.raises(DataMissingError):
        task_rows(manifest, tmp_path / "none.json", places)


def test_a_home_model_without_its_build_folder_says_how_to_get_the_rows(tmp_path: Path) -> None:
    nowhere = Places(tmp_path, None, lambda *_: tmp_path / "none")
    with pytest.raises(DataMissingError) as caught:
        task_rows(tiny_files()[0], None, nowhere)
    assert "ciuic model build tiny-en" in caught.value.hint


def test_without_an_environment_for_its_runtime_nothing_is_measured(tmp_path: Path, places: Places) -> None:
    with pytest.raises(ToolMissingError):
        run_tradeoff(arguments(str(bundle(tmp_path))), places, lambda _: None)
