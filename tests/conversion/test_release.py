"""From a student to a bundle and its report; torch answers in the graphs' place, so nothing is converted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)

from conversion.check.answers import LatticeAnswers, Prefix, prefixes_of
from conversion.check.calibrate import Strangeness
from conversion.check.cascade import judge_rows
from conversion.check.parity import bounds_of
from conversion.check.reference import torch_answers
from conversion.check.rows import load_rows
from conversion.check.slot_reading import SlotReading
from conversion.data.sentence import Sentence
from conversion.data.task import TaskData
from conversion.export.lattice import lattice_keys
from conversion.export.parts import write_parts
from conversion.export.sizes import sizes
from conversion.nets.deepseek_lite import Dims
from conversion.nets.student import Student
from conversion.release import listen
from conversion.release.listen import SPLITS, Target, Trained
from conversion.release.ways import judge_of
from conversion.release.write import release, release_all
from firmware_py.bundles.read import read_bundle
from firmware_py.bundles.sign import new_key
from firmware_py.bundles.verify import Trust
from firmware_py.contracts.errors import ConversionError
from firmware_py.contracts.run import GraphKey
from firmware_py.tasks.text import WordPiece

PIECES = (
    "[PAD]",
    "[UNK]",
    "turn",
    "on",
    "off",
    "the",
    "lamp",
    "fan",
    "sing",
    "please",
    "now",
    "kitchen",
    "dance",
    "and",
    "then",
)
LABELS = ("off", "on", "oos")
DIMS = Dims(len(PIECES), d=16, heads=4, latent=4, rope=4, ffn=16, stages=2, dropout=0.0)


def rows(side: int, lang: str = "en") -> tuple[Sentence, ...]:
    """Forty rows, every fifth foreign; each side says them differently."""
    out = []
    for number in range(40):
        before = ("", "please ", "now ")[(number + side) % 3] * (1 + number % 2)
        what, thing = ("on", "off")[number % 2], ("lamp", "fan", "kitchen lamp")[number % 3]
        head = f"{before}turn {what} the "
        slots = ((len(head), len(head + thing), "name"),)
        out.append(Sentence(head + thing, what, slots, lang=lang))
        if number % 5 == 0:
            out.append(Sentence(f"{before}sing and dance", "oos", lang=lang))
    return tuple(out)


def trained(folder: Path, *, slots: bool) -> Trained:
    """An untrained student of two stages: what it says is noise, which any figure may be of."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    data = TaskData(
        "tiny", "tiny", ("en", "de"), LABELS, ("name",) if slots else (),
        rows(0), rows(1), rows(2), rows(3), (*rows(4), *rows(5, "de")), extras={"strange": rows(6)},
    )  # fmt: skip
    student = Student(DIMS, len(LABELS), len(data.slots)).eval()
    parts = write_parts(student, PIECES, folder / "parts")
    return Trained(data, student, PIECES, parts, Strangeness(), {"settings": {"seed": 7}})


def files_of(folder: Path) -> dict[GraphKey, Path]:
    """Files in the place of converted graphs."""
    graphs = {key: folder / f"{key.bucket}-{key.stage}-{key.width}" for key in lattice_keys(DIMS.stages)}
    for number, path in enumerate(graphs.values()):
        path.write_bytes(b"graph %d" % number)
    return graphs


def turned(values: Mapping[Any, Any]) -> dict[Any, Any]:
    """The same, put in from the other end, and so are all mappings in it."""
    return {
        key: turned(one) if isinstance(one, Mapping) else one for key, one in reversed(list(values.items()))
    }


def permuted(said: LatticeAnswers) -> LatticeAnswers:
    """Every label's logit where its neighbour's belongs: it runs, and is wrong."""
    return replace(said, logits={prefix: np.roll(one, 1, axis=-1) for prefix, one in said.logits.items()})


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let torch answer where the graphs would."""

    def use(one: Trained) -> None:
        def said(_files: Any, _where: Any, texts: list[str], prefixes: list[Prefix]) -> LatticeAnswers:
            return torch_answers(one.student, WordPiece(list(PIECES)), texts, prefixes)

        monkeypatch.setattr(listen, "run_lattice", said)

    return use


@pytest.mark.parametrize("slots", [True, False])
def test_rules_are_calibrated_on_exits_that_ask_slots_where_there_are_any(
    tmp_path: Path, slots: bool
) -> None:
    one = trained(tmp_path, slots=slots)
    tokenizer = WordPiece(list(PIECES))
    prefixes = prefixes_of([(4, 4)])
    sides = {
        side: torch_answers(one.student, tokenizer, [row.text for row in one.data.split(side)], prefixes)
        for side in ("temperature", "report")
    }
    judge = judge_of(one, tokenizer, sides)
    lattice = judge.lattice(one.data.report, sides["report"])
    for prefix in prefixes:
        found, said = lattice.verdicts[prefix].slots_sure, sides["report"].slots_sure.get(prefix)
        assert (found is None) == (said is None) == (not slots)
        assert found is None or (said is not None and np.array_equal(found, said))


@pytest.mark.parametrize("slots", [True, False])
def test_a_bundle_and_its_report_say_the_same(tmp_path: Path, answers: Any, slots: bool) -> None:
    one = trained(tmp_path, slots=slots)
    answers(one)
    graphs = files_of(tmp_path)
    new_key(tmp_path, "builder")
    out = tmp_path / "tiny.bundle"
    report = release(one, Target("dyn8", graphs, out, tmp_path / "builder.key", tmp_path, every=not slots))

    bundle = read_bundle(out, Trust(tmp_path, allow_unsigned=False))
    manifest = bundle.manifest
    assert report["sha256"] == bundle.sha256
    assert report["sizes"] == sizes(manifest, out.stat().st_size).to_dict()
    assert set(report["rules"]) == {*manifest.exit_rules, "full"}
    assert report["zeroth_rules"] == manifest.zeroth_rules
    assert report["zeroth_kept"] == any(head.exit == 0 for head in manifest.heads)
    assert report["scope"]["threshold"] == manifest.out_of_scope_threshold
    assert {(width,) * 2 for width in (3, 2, 1)} <= {variant.widths for variant in manifest.variants}
    assert tuple(report["accuracy_by_exit"][1:]) == manifest.accuracy_by_exit
    assert (report["accuracy_by_exit"][0] is None) == slots
    assert [part["agreement"] for part in report["parity"]] == [1.0] * len(manifest.runtimes)
    assert set(report["languages"]) == {"de", "en"}
    assert manifest.slot_sets == SlotReading.of(one.data).sets
    assert (manifest.slot_sets is None) == (not slots)
    assert manifest.asks_slots == slots
    assert report["extras"]["strange"]["n"] == 40

    kept = load_rows(tmp_path / "rows-dyn8-7.npz")
    assert set(kept.systems) == set(report["rules"])
    known = kept.truth.inside
    for name, system in kept.systems.items():
        assert report["rules"][name]["accuracy"] == pytest.approx(float(system.right[known].mean()), abs=1e-5)


def test_the_scope_threshold_is_found_without_the_rows_that_test_harm(tmp_path: Path) -> None:
    one, tokenizer = trained(tmp_path, slots=False), WordPiece(list(PIECES))
    texts = {name: [row.text for row in one.data.split(name)] for name in SPLITS}
    prefixes = [(4,), (4, 4)]
    said = {name: torch_answers(one.student, tokenizer, texts[name], prefixes) for name in SPLITS}
    found = judge_of(one, tokenizer, {"temperature": said["temperature"]})  # no other answers are needed
    other = replace(one, data=replace(one.data, thresholds=rows(9)[:5], selection=(), report=()))
    assert judge_of(other, tokenizer, said).scope == found.scope
    score = judge_rows(said["temperature"].logits[4, 4], found.temperatures[4, 4], found.scope).score
    ours = np.array([row.intent != "oos" for row in one.data.temperature])
    assert (score[ours] >= found.scope.threshold).mean() <= one.strangeness.rejected


def test_a_refused_recipe_leaves_a_report_that_says_why_and_no_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trained(tmp_path, slots=False)

    def said(_files: Any, _where: Any, texts: list[str], prefixes: list[Prefix]) -> LatticeAnswers:
        return permuted(torch_answers(one.student, WordPiece(list(PIECES)), texts, prefixes))

    monkeypatch.setattr(listen, "run_lattice", said)
    target = Target("dyn8", files_of(tmp_path), tmp_path / "tiny.bundle", None, tmp_path, every=False)
    with pytest.raises(ConversionError, match="intents agree on") as caught:
        release(one, target)
    assert not target.path.exists()
    path = tmp_path / "tiny.refused.json"
    assert str(path) in caught.value.hint
    report = json.loads(path.read_text("utf-8"))
    (refused,) = report["refused"]
    assert (refused["recipe"], refused["runtime"], refused["file"]) == (
        "dyn8",
        "ai-edge-litert",
        "tiny.bundle",
    )
    assert any(why.startswith("intents agree on") for why in refused["why"])
    assert refused["figures"]["agreement"] < refused["bounds"]["agreement"] == bounds_of("dyn8").agreement
    assert (report["name"], report["settings"]) == ("tiny", {"seed": 7})


def test_a_figure_that_is_no_number_is_null_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trained(tmp_path, slots=False)

    def said(_files: Any, _where: Any, texts: list[str], prefixes: list[Prefix]) -> LatticeAnswers:
        right = torch_answers(one.student, WordPiece(list(PIECES)), texts, prefixes)
        return replace(right, logits={p: np.full_like(row, np.nan) for p, row in right.logits.items()})

    monkeypatch.setattr(listen, "run_lattice", said)
    target = Target("w8", files_of(tmp_path), tmp_path / "tiny.w8.bundle", None, tmp_path, every=False)
    with pytest.raises(ConversionError, match="not finite"):
        release(one, target)
    text = (tmp_path / "tiny.w8.refused.json").read_text("utf-8")
    assert "NaN" not in text
    found = json.loads(text)["refused"]
    assert [entry["runtime"] for entry in found] == ["tflite-runtime"]
    assert found[0]["figures"]["mean_logit_error"] is None


@pytest.mark.parametrize("wrong", ["w8", None])
def test_no_bundle_is_replaced_before_all_recipes_have_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str | None
) -> None:
    one, graphs = trained(tmp_path, slots=False), files_of(tmp_path)

    def said(files: Any, _where: Any, texts: list[str], prefixes: list[Prefix]) -> LatticeAnswers:
        right = torch_answers(one.student, WordPiece(list(PIECES)), texts, prefixes)
        return permuted(right) if files.name == wrong else right

    monkeypatch.setattr(listen, "run_lattice", said)
    new_key(tmp_path, "builder")
    models, waiting = tmp_path / "models", tmp_path / "build" / "released"
    models.mkdir()
    waiting.mkdir(parents=True)
    (waiting / "tiny.refused.json").write_text("of an earlier build", "utf-8")
    before = {name: name.encode() for name in ("tiny.bundle", "tiny.bundle.sig", "tiny.w8.bundle")}
    for name, data in before.items():
        (models / name).write_bytes(data)
    targets = [
        Target(recipe, graphs, models / name, tmp_path / "builder.key", tmp_path, every=False)
        for recipe, name in (("dyn8", "tiny.bundle"), ("w8", "tiny.w8.bundle"))
    ]
    if wrong is None:
        parts = release_all(one, targets, waiting, lambda _: None)
        for target in targets:
            bundle = read_bundle(target.path, Trust(tmp_path, allow_unsigned=False))
            assert parts[target.recipe]["sha256"] == bundle.sha256
            assert parts[target.recipe]["bundle"] == target.path.name
        assert not waiting.exists()
        return
    with pytest.raises(ConversionError, match="w8"):
        release_all(one, targets, waiting, lambda _: None)
    assert {path.name: path.read_bytes() for path in models.iterdir()} == before
    assert [path.name for path in waiting.glob("*.json")] == ["tiny.w8.refused.json"]


def written(folder: Path, *, other_order: bool) -> tuple[bytes, bytes]:
    """The bytes of bundle and signature; with another order everything is put in from the other end."""
    folder.mkdir(exist_ok=True)
    one, graphs = trained(folder, slots=False), files_of(folder)
    about = {"settings": {"seed": 7, "epochs": 1}, "versions": {"torch": "2", "numpy": "1"}, "threads": 1}
    order = turned if other_order else dict
    one = replace(one, provenance=order(about))

    def said(_files: Any, _where: Any, texts: list[str], prefixes: list[Prefix]) -> LatticeAnswers:
        right = torch_answers(one.student, WordPiece(list(PIECES)), texts, prefixes)
        ops = {key: {"FULLY_CONNECTED": 7, "ADD": 3} for key in graphs}
        return replace(right, logits=order(right.logits), tags=order(right.tags), ops=order(ops))

    path = folder / "tiny.bundle"
    with mock.patch.object(listen, "run_lattice", said):
        release(one, Target("dyn8", order(graphs), path, folder.parent / "builder.key", folder, every=False))
    return path.read_bytes(), path.with_name("tiny.bundle.sig").read_bytes()


def test_the_same_weights_are_the_same_bytes(tmp_path: Path) -> None:
    """Twice here, put in in another order, and once more where strings hash otherwise."""
    new_key(tmp_path, "builder")
    first = written(tmp_path / "first", other_order=False)
    assert written(tmp_path / "second", other_order=False) == first
    assert written(tmp_path / "third", other_order=True) == first
    again = "import runpy, sys, pathlib\nruns = runpy.run_path(sys.argv[1])\nruns['written'](pathlib.Path(sys.argv[2]), other_order=False)"
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    folder = tmp_path / "fourth"
    subprocess.run(
        [sys.executable, "-c", again, __file__, folder],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    there = (folder / "tiny.bundle").read_bytes(), (folder / "tiny.bundle.sig").read_bytes()
    assert there == first


def test_other_weights_are_other_bytes(tmp_path: Path) -> None:
    """The comparison above can fail."""
    new_key(tmp_path, "builder")
    first = written(tmp_path / "first", other_order=False)
    with mock.patch.object(torch, "manual_seed"):
        torch.randn(3)
        assert written(tmp_path / "second", other_order=False) != first
