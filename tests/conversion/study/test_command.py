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

from conversion.check import runtime
from conversion.check.answers import LatticeAnswers
from conversion.check.hosts import other_host
from conversion.check.rows import load_rows
from conversion.check.runtime import ENVIRONMENTS
from conversion.data.sentence import Sentence
from conversion.data.task import TaskData, save
from conversion.study import command
from conversion.study.command import Places, run_tradeoff
from conversion.study.document import FORMAT
from conversion.study.flags import METHODS, RUNTIMES, configure_tradeoff
from conversion.study.joules import Method
from conversion.study.own_rows import task_rows
from device_profiles.loader import load_profile
from firmware_py.bundles.write import write_bundle
from firmware_py.contracts.errors import (
    BundleFormatError,
    ConfigError,
    DataInvalidError,
    DataMissingError,
    ToolMissingError,
)
from firmware_py.contracts.manifest import Manifest
from firmware_py.testing.tiny_bundle import tiny_files

REFERENCE = (
    "banking77-2026-11-22"  # of an earlier bundle, timed on the host that the boards' factors are against
)
ROOT = Path(__file__).resolve().parents[3]
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


def test_a_model_of_ours_without_its_build_folder_says_how_to_get_the_rows(tmp_path: Path) -> None:
    nowhere = Places(tmp_path, None, lambda name, seed: tmp_path / "build" / f"{name}-{seed}")
    with pytest.raises(DataMissingError) as caught:
        task_rows(replace(tiny_files()[0], name="home-en"), None, nowhere)
    assert "`ciuic model build home-en`" in caught.value.hint


def test_a_custom_model_without_its_rows_is_not_told_a_command_that_does_not_exist(tmp_path: Path) -> None:
    nowhere = Places(tmp_path, None, lambda name, seed: tmp_path / "build" / f"{name}-{seed}")
    with pytest.raises(DataMissingError) as caught:
        task_rows(replace(tiny_files()[0], name="mine"), None, nowhere)
    assert "model build mine" not in caught.value.hint
    assert "--rows" in caught.value.hint
    assert ".ciuic/build/mine-…" in caught.value.hint


def custom(tmp_path: Path, folder: str, rows_: TaskData) -> tuple[Manifest, Places]:
    """A custom model that was judged on `data()`, and rows in one of the folders that builds make for it."""
    (tmp_path / "build" / folder).mkdir(parents=True)
    save(rows_, tmp_path / "build" / folder / "data.json")
    provenance = {"data": {"splits": {"report": data().hashes()["report"]}}}
    manifest = replace(tiny_files()[0], name="mine", provenance=provenance)
    return manifest, Places(tmp_path, None, lambda name, seed: tmp_path / "build" / f"{name}-{seed}")


def test_a_custom_model_s_rows_are_found_by_what_they_are(tmp_path: Path) -> None:
    """Its build folder ends in a hash of its files: of several the one with the bundle's own report split."""
    other = replace(data(), report=data().selection)
    custom(tmp_path, "mine-00000000", other)
    manifest, places = custom(tmp_path, "mine-431f1135", data())
    assert task_rows(manifest, None, places) == data()
    manifest, places = custom(tmp_path / "else", "mine-00000000", other)
    with pytest.raises(DataInvalidError, match="not those that the bundle was judged on"):
        task_rows(manifest, None, places)


def test_rows_beside_the_bundle_are_taken_and_other_files_of_that_name_passed_over(tmp_path: Path) -> None:
    manifest, places = custom(tmp_path, "elsewhere", data())
    beside = tmp_path / "build" / "elsewhere"
    assert task_rows(manifest, None, places, beside) == data()
    (beside / "data.json").write_text('{"something": "else"}')
    with pytest.raises(DataMissingError):
        task_rows(manifest, None, places, beside)
    with pytest.raises(DataInvalidError, match=r"is not the data\.json of a build"):
        task_rows(manifest, beside / "data.json", places)


def test_a_staged_bundle_is_refused_before_its_rows_are_looked_for(tmp_path: Path) -> None:
    manifest, files = tiny_files(rich=True)
    path = tmp_path / "tiny-minilm.bundle"
    staged = replace(manifest, name="tiny-minilm", dims={"d_model": 16.0}, attention="bidirectional")
    write_bundle(path, staged, files)
    nowhere = Places(tmp_path, None, lambda *_: tmp_path / "none")
    with pytest.raises(BundleFormatError, match="tiny-minilm is no DeepSeekLite") as caught:
        run_tradeoff(arguments(str(path)), nowhere, lambda _: None)
    assert "ciuic eval" in caught.value.hint


def test_a_page_is_made_again_from_its_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = ROOT / "docs" / "measurements" / f"{REFERENCE}.tradeoff.json"
    source = tmp_path / "banking77.tradeoff.json"
    source.write_bytes(kept.read_bytes())
    nowhere = Places(tmp_path, None, lambda *_: tmp_path / "none")
    asked = arguments("--from", str(source), "--pictures", str(tmp_path / "pictures"))
    said: list[str] = []
    assert run_tradeoff(asked, nowhere, said.append) == 0
    assert source.read_bytes() == kept.read_bytes()
    assert "<svg" in (tmp_path / "banking77.tradeoff.html").read_text("utf-8")
    assert (tmp_path / "banking77.tradeoff.csv").read_text("utf-8") == kept.with_suffix(".csv").read_text(
        "utf-8"
    )
    pictures = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert pictures == ["banking77.compute.svg", "banking77.energy.svg", "banking77.latency.svg"]
    assert "pictures/banking77.latency.svg" in said[-1]
    assert capsys.readouterr().out.startswith("ratio")


def joules_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [row for group in ("rows", "equal_compute", "points") for row in document[group]]
    return [row["energy"] for row in rows if row["reachable"]]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_joules_are_counted_again_from_a_document_s_own_seconds(
    elsewhere: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """None where they were timed on a host that no board's factor is against."""
    name = REFERENCE
    kept = ROOT / "docs" / "measurements" / f"{name}.tradeoff.json"
    if elsewhere:
        document = json.loads(kept.read_text("utf-8"))
        document["machine"] |= {"cpu": "AMD EPYC", "cpu_family": 23}
        kept = tmp_path / "kept" / kept.name
        kept.parent.mkdir()
        kept.write_text(json.dumps(document), "utf-8")
    nowhere = Places(tmp_path, None, lambda *_: tmp_path / "none")
    again = ("--from", str(kept), "--board", "raspberry-pi-5", "--out", str(tmp_path))
    run_tradeoff(arguments(*again), nowhere, lambda _: None)
    before, after = (json.loads((path / kept.name).read_text("utf-8")) for path in (kept.parent, tmp_path))
    page = (tmp_path / f"{name}.tradeoff.html").read_text("utf-8")
    table, listed = capsys.readouterr().out, (tmp_path / f"{name}.tradeoff.csv").read_text("utf-8")
    assert "added-up parts" not in page
    if elsewhere:
        assert {energy["energy_j"] for energy in joules_of(after)} == {None}
        for said in (page, table, listed):
            assert "timed on AMD EPYC family 23" in said
        assert "Accuracy over energy" not in page
    else:
        simulation = load_profile("raspberry-pi-5").simulation
        assert simulation.busy_w is not None
        assert simulation.speed_factor is not None
        exits = next(row for row in after["points"] if row["name"] == "exit-0")
        seconds = exits["latency_s"]["ai-edge-litert"]["mean"] * simulation.speed_factor
        assert exits["energy"]["energy_j"] == pytest.approx(simulation.busy_w * seconds)
        assert exits["energy"]["u95_j"] > 0
    for document in (before, after):
        for key in ("energy_from", "board"):
            document.pop(key, None)
        for energy in joules_of(document):
            energy.clear()
    assert before == after


def test_a_document_has_too_little_for_the_simulated_board(tmp_path: Path) -> None:
    kept = ROOT / "docs" / "measurements" / "banking77.tradeoff.json"
    asked = arguments(
        "--from", str(kept), "--board", "raspberry-pi-5", "--energy", "simulated", "--out", str(tmp_path)
    )
    with pytest.raises(ConfigError, match="mean seconds"):
        run_tradeoff(asked, Places(tmp_path, None, lambda *_: tmp_path), lambda _: None)


def test_the_published_trade_offs_have_no_joules_of_another_host_s_seconds() -> None:
    for path in (ROOT / "docs" / "measurements").glob("**/*.tradeoff.json"):
        document = command.read_document(path)
        if other_host(document["machine"]) is not None:
            assert {energy["energy_j"] for energy in joules_of(document)} == {None}, path


def test_a_page_is_told_when_the_bundle_has_changed(tmp_path: Path) -> None:
    kept = ROOT / "docs" / "measurements" / "banking77.tradeoff.json"
    nowhere = Places(tmp_path, None, lambda *_: tmp_path / "none")
    asked = arguments(str(bundle(tmp_path)), "--from", str(kept), "--out", str(tmp_path / "out"))
    run_tradeoff(asked, nowhere, lambda _: None)
    assert "Of an earlier bundle" in (tmp_path / "out" / "banking77.tradeoff.html").read_text("utf-8")


def test_what_is_no_trade_off_is_refused(tmp_path: Path, places: Places) -> None:
    with pytest.raises(ConfigError, match="no bundle"):
        run_tradeoff(arguments(), places, lambda _: None)
    with pytest.raises(DataMissingError, match="there is no"):
        run_tradeoff(arguments("--from", str(tmp_path / "none.json")), places, lambda _: None)
    for text in (
        "no json",
        "[]",
        '{"command": "ciuic model tradeoff", "format": 2}',
        '{"command": "x", "format": 1}',
    ):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(DataInvalidError, match="is no trade-off"):
            run_tradeoff(arguments("--from", str(tmp_path / "x.json")), places, lambda _: None)


def test_without_an_environment_for_its_runtime_nothing_is_measured(
    tmp_path: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    with pytest.raises(ToolMissingError, match="environment here"):
        run_tradeoff(arguments(str(bundle(tmp_path))), places, lambda _: None)


def test_files_that_cannot_be_written_are_told_before_anything_is_read(
    tmp_path: Path, places: Places
) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(ConfigError, match=r"tiny\.tradeoff\.json cannot be written"):
        run_tradeoff(arguments(str(tmp_path / "tiny.bundle"), "--out", str(tmp_path / "out")), places, print)


def test_a_page_that_cannot_be_written_again_is_told(tmp_path: Path, places: Places) -> None:
    (tmp_path / "out").touch()
    source = tmp_path / "x.tradeoff.json"
    source.write_text(json.dumps({"command": "ciuic model tradeoff", "format": FORMAT}), "utf-8")
    for flag, file in (("--out", "x.tradeoff.csv"), ("--pictures", "x.svg")):
        with pytest.raises(ConfigError, match=f"{file} cannot be written") as told:
            run_tradeoff(arguments("--from", str(source), flag, str(tmp_path / "out")), places, print)
        assert flag in told.value.hint
