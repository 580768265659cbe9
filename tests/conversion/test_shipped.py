"""The committed bundles: signed by the committed key, small, and described by the committed report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firmware_py.bundles.read import read_bundle
from firmware_py.bundles.verify import Trust
from firmware_py.contracts.golden import parse_golden
from firmware_py.tasks.text import WordPiece

MODELS = Path(__file__).parents[2] / "models"
BUNDLES = ("home-en.bundle", "home-en.w8.bundle")
MAX_BYTES = 6_000_000


@pytest.mark.parametrize("name", BUNDLES)
def test_a_shipped_bundle_is_signed_small_and_reported(name: str) -> None:
    path = MODELS / name
    bundle = read_bundle(path, Trust(MODELS / "trust", allow_unsigned=False))
    assert path.stat().st_size <= MAX_BYTES
    report = json.loads((MODELS / "home-en.report.json").read_text("utf-8"))
    part = report["recipes"][bundle.manifest.recipe]
    assert part["bundle"] == name
    assert part["sha256"] == bundle.sha256
    assert list(bundle.manifest.accuracy_by_exit) == part["intent_by_exit"]
    assert report["settings"]["seed"] == 0


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


def test_no_private_key_is_beside_the_public_one() -> None:
    assert [path.suffix for path in sorted((MODELS / "trust").iterdir())] == [".pub"]
