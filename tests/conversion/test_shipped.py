"""The committed bundles: signed by the committed key, small, and described by the committed report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firmware_py.bundles.read import read_bundle
from firmware_py.bundles.verify import Trust
from firmware_py.contracts.golden import parse_golden
from firmware_py.tasks.intent import IntentTask
from firmware_py.tasks.text import WordPiece

MODELS = Path(__file__).parents[2] / "models"
BUNDLES = tuple(sorted(path.name for path in MODELS.glob("*.bundle")))
SHIPPED = {"home-en", "home-multi", "hwu64", "clinc150", "banking77"}
MAX_BYTES, MAX_TOGETHER, MAX_UNPACKED = 8_000_000, 30_000_000, 12_000_000


def test_what_is_promised_is_there_and_light() -> None:
    assert set(BUNDLES) == {"home-en.w8.bundle", *(f"{name}.bundle" for name in SHIPPED)}
    assert sum((MODELS / name).stat().st_size for name in BUNDLES) <= MAX_TOGETHER


@pytest.mark.parametrize("name", BUNDLES)
def test_a_shipped_bundle_is_signed_small_and_reported(name: str) -> None:
    path = MODELS / name
    bundle = read_bundle(path, Trust(MODELS / "trust", allow_unsigned=False))
    assert path.stat().st_size <= MAX_BYTES
    assert sum(one.size_bytes for one in bundle.manifest.members()) <= MAX_UNPACKED
    report = json.loads((MODELS / f"{bundle.manifest.name}.report.json").read_text("utf-8"))
    part = report["recipes"][bundle.manifest.recipe]
    assert part["bundle"] == name
    assert part["sha256"] == bundle.sha256
    assert list(bundle.manifest.accuracy_by_exit) == part["accuracy_by_exit"][1:]
    assert report["settings"]["seed"] == 0


@pytest.mark.parametrize("name", BUNDLES)
def test_every_source_of_a_shipped_model_has_a_licence(name: str) -> None:
    bundle = read_bundle(MODELS / name, Trust(MODELS / "trust", allow_unsigned=False))
    sources = bundle.manifest.provenance["data"]["sources"]
    assert sources
    assert all(source["licence"] for source in sources)
    assert set(bundle.manifest.provenance["data"]["splits"]) == {
        "train",
        "selection",
        "temperature",
        "thresholds",
        "report",
    }


@pytest.mark.parametrize("name", BUNDLES)
def test_a_shipped_model_has_the_lattice_and_its_rules(name: str) -> None:
    manifest = read_bundle(MODELS / name, Trust(MODELS / "trust", allow_unsigned=False)).manifest
    assert len(manifest.graphs) == 39
    assert set(manifest.exit_rules) == {"thrifty", "balanced", "careful", "risk-1", "risk-2"}
    assert {one.widths for one in manifest.variants} >= {(3, 3, 3), (2, 2, 2), (1, 1, 1)}


@pytest.mark.parametrize("name", BUNDLES)
def test_golden_rows_are_what_this_tokenizer_makes(name: str) -> None:
    """A changed tokenizer with an old bundle is the quiet kind of wrong."""
    bundle = read_bundle(MODELS / name, Trust(MODELS / "trust", allow_unsigned=False))
    tokenizer = WordPiece.from_bytes(bundle.files[bundle.manifest.tokenizer.name])
    longest = max(bundle.manifest.buckets)
    rows = parse_golden(bundle.files[bundle.manifest.golden.name])
    for row in rows:
        assert tuple(tokenizer.encode(row.text).ids[:longest]) == row.ids
    lengths = {next(size for size in bundle.manifest.buckets if size >= len(row.ids)) for row in rows}
    assert lengths == set(bundle.manifest.buckets)


def test_no_private_key_is_beside_the_public_ones() -> None:
    """A checkout that built a model has a key of its own there, too (`local.pub`, which git ignores)."""
    names = {path.name for path in (MODELS / "trust").iterdir()}
    assert "ciuic-demo.pub" in names
    assert names <= {"ciuic-demo.pub", "local.pub"}


@pytest.mark.parametrize("name", ["home-en.bundle", "home-en.w8.bundle", "home-multi.bundle"])
@pytest.mark.parametrize("marks", ["{}.", "{}?", "{}!", "{}…", "\u201c{}\u201d", "¿{}?", "{}, please."])
def test_what_speech_to_text_adds_to_a_command_is_not_read(name: str, marks: str) -> None:
    """Only foreign sentences had marks in training: read as words they made commands out of scope."""
    bundle = read_bundle(MODELS / name, Trust(MODELS / "trust", allow_unsigned=False))
    task = IntentTask(bundle.manifest, bundle.files[bundle.manifest.tokenizer.name])
    for line in (MODELS.parent / "examples/home_en.jsonl").read_text("utf-8").splitlines():
        text = json.loads(line)["text"]
        more = " please" if "please" in marks else ""
        assert task.encode({"text": marks.format(text)}).ids == task.encode({"text": text + more}).ids
