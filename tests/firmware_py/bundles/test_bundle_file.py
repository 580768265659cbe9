"""A bundle is written the same every time, and read only when it is whole and as described."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firmware_py.bundles import archive
from firmware_py.bundles.read import read_bundle
from firmware_py.bundles.verify import Trust
from firmware_py.bundles.write import MANIFEST_NAME, manifest_bytes, write_bundle
from firmware_py.contracts.errors import (
    BundleCorruptError,
    BundleFormatError,
    BundleHashError,
    BundleMissingError,
    BundleTruncatedError,
)
from tests.firmware_py.bundles.rig import ANYONE, FILES, a_manifest, packed


def test_what_was_written_is_read_back(bundle: Path, trusted: Trust) -> None:
    """Manifest and members come back equal, under the archive's hash."""
    read = read_bundle(bundle, trusted)
    assert read.manifest == a_manifest(FILES)
    assert read.files == FILES


def test_the_same_content_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    """Order of the mapping, time of day and owner leave no trace."""
    again = tmp_path / "again.bundle"
    write_bundle(again, a_manifest(FILES), dict(reversed(FILES.items())))
    assert again.read_bytes() == bundle.read_bytes()


def test_the_writer_refuses_files_unlike_the_manifest(tmp_path: Path) -> None:
    """A missing, an additional and a changed member each stop the writer."""
    for wrong, error in (
        ({k: v for k, v in FILES.items() if k != "head1.npz"}, BundleFormatError),
        (FILES | {"more.txt": b""}, BundleFormatError),
        (FILES | {"head1.npz": b"daeh"}, BundleHashError),
    ):
        with pytest.raises(error):
            write_bundle(tmp_path / "x.bundle", a_manifest(FILES), wrong)
    assert not list(tmp_path.iterdir())


def test_cut_changed_and_absent_are_told_apart(bundle: Path, trusted: Trust) -> None:
    """A signed file says how it differs, before anything of it is decompressed."""
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[:-1])
    with pytest.raises(BundleTruncatedError):
        read_bundle(bundle, trusted)
    bundle.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(BundleHashError):
        read_bundle(bundle, trusted)
    bundle.unlink()
    with pytest.raises(BundleMissingError):
        read_bundle(bundle, trusted)


def test_members_must_be_those_of_the_manifest(bundle: Path) -> None:
    """Missing, additional, renamed and changed members are each refused."""
    head = manifest_bytes(a_manifest(FILES))
    fewer = {k: v for k, v in FILES.items() if k != "tokenizer.txt"}
    for files, error in (
        (fewer, BundleCorruptError),
        (FILES | {"zz.txt": b"more"}, BundleCorruptError),
        (FILES | {"head1.npz": b"longer"}, BundleHashError),
        (FILES | {"head1.npz": b"daeh"}, BundleHashError),
    ):
        bundle.write_bytes(packed(head, files))
        with pytest.raises(error):
            read_bundle(bundle, ANYONE)
    bundle.write_bytes(archive.pack(sorted(FILES.items())))
    with pytest.raises(BundleCorruptError):
        read_bundle(bundle, ANYONE)
    good = packed(head, FILES)
    for extra in (b"x", good):
        bundle.write_bytes(good + extra)
        with pytest.raises(BundleCorruptError):
            read_bundle(bundle, ANYONE)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": "1"},
        {"graphs": []},
        {"graphs": None},
        {"labels": 5},
        {"buckets": [{}]},
        {"buckets": ["x"]},
        {"exit_rules": {"balanced": [1, 2]}},
        {"embedding": {"file": "../../etc/passwd", "bytes": 1, "sha256": "0" * 64}},
        {"tokenizer": {"file": MANIFEST_NAME, "bytes": 1, "sha256": "0" * 64}},
        {"default_rule": "none"},
        {"recipe": "int3"},
    ],
)
def test_another_format_is_refused(bundle: Path, change: dict[str, object]) -> None:
    """A manifest of another form never reaches its members."""
    data = a_manifest(FILES).to_dict() | change
    bundle.write_bytes(packed(json.dumps(data).encode(), FILES))
    with pytest.raises(BundleFormatError):
        read_bundle(bundle, ANYONE)


@pytest.mark.parametrize(
    "text", [b"", b"\xff\xfe", b"[" * 50_000, b"NaN", b"1" * 5000, b'{"format": Infinity}']
)
def test_a_manifest_that_is_not_json_is_refused(bundle: Path, text: bytes) -> None:
    """Deep nesting, huge numbers and wrong encodings are format errors, not crashes."""
    bundle.write_bytes(packed(text, FILES))
    with pytest.raises(BundleFormatError):
        read_bundle(bundle, ANYONE)
