"""A bundle is unpacked once, whole or not at all, and what lies in the store is what was signed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_py.bundles.read import check_folder, read_bundle, unpack
from firmware_py.bundles.write import MANIFEST_NAME, manifest_bytes
from firmware_py.contracts.errors import (
    BundleHashError,
)
from tests.firmware_py.bundles.rig import ANYONE, FILES, a_manifest, packed


def test_unpacking_twice_finds_the_first(bundle: Path, tmp_path: Path) -> None:
    """The store is keyed by hash; the second call reads no archive member."""
    first = unpack(bundle, ANYONE, tmp_path / "store")
    stamp = (first.folder / "s1.tflite").stat().st_mtime_ns
    second = unpack(read_bundle(bundle, ANYONE), ANYONE, tmp_path / "store")
    assert second == first
    assert not first.mended
    assert not second.mended
    assert (second.folder / "s1.tflite").stat().st_mtime_ns == stamp
    assert {p.name for p in first.folder.iterdir()} == set(FILES) | {MANIFEST_NAME}
    assert second.read("head1.npz") == b"head"


def test_a_bundle_from_memory_unpacks_to_the_same_files(bundle: Path, tmp_path: Path) -> None:
    """From path or from memory, the store holds the same bytes."""
    a = unpack(bundle, ANYONE, tmp_path / "a").folder
    b = unpack(read_bundle(bundle, ANYONE), ANYONE, tmp_path / "b").folder
    assert {p.name: p.read_bytes() for p in a.iterdir()} == {p.name: p.read_bytes() for p in b.iterdir()}


def test_a_crash_while_unpacking_leaves_nothing_and_the_next_start_succeeds(
    bundle: Path, tmp_path: Path
) -> None:
    """What a killed process left behind is removed; a half-made folder never has the bundle's name."""
    store = tmp_path / "store"
    left = store / ".unpacking-dead"
    left.mkdir(parents=True)
    (left / "s1.tflite").write_bytes(b"half")
    done = unpack(bundle, ANYONE, store)
    assert not left.exists()
    check_folder(done)


def edit(path: Path, data: bytes) -> None:
    """Overwrite an unpacked file, as a damaged card or somebody's editor does."""
    path.chmod(0o644)
    path.write_bytes(data)


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: edit(folder / "s1.tflite", b"short"),
        lambda folder: edit(folder / "head1.npz", b"heaD"),
        lambda folder: edit(folder / "s1.tflite", FILES["s1.tflite"] + b"\0"),
        lambda folder: (folder / "tokenizer.txt").unlink(),
        lambda folder: (folder / MANIFEST_NAME).unlink(),
        lambda folder: edit(
            folder / MANIFEST_NAME, (folder / MANIFEST_NAME).read_bytes().replace(b"0.8", b"0.1")
        ),
        lambda folder: edit(folder / MANIFEST_NAME, (folder / MANIFEST_NAME).read_bytes() + b" "),
    ],
)
def test_a_changed_store_is_made_again_aloud(
    bundle: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    in_memory: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is run is what was signed, not what lies in the store under its name."""
    first = unpack(bundle, ANYONE, tmp_path / "store")
    damage(first.folder)
    again = unpack(read_bundle(bundle, ANYONE) if in_memory else bundle, ANYONE, tmp_path / "store")
    assert again == first
    assert again.mended
    assert {p.name: p.read_bytes() for p in first.folder.iterdir()} == FILES | {
        MANIFEST_NAME: manifest_bytes(a_manifest(FILES))
    }
    assert "is unpacked anew" in caplog.text


def test_the_full_check_finds_a_flipped_byte(bundle: Path, tmp_path: Path) -> None:
    """As the self-test's child makes it."""
    done = unpack(bundle, ANYONE, tmp_path / "store")
    edit(done.path("s1.tflite"), bytes(len(FILES["s1.tflite"])))
    with pytest.raises(BundleHashError):
        check_folder(done)


def test_a_refused_bundle_leaves_no_folder(bundle: Path, tmp_path: Path) -> None:
    """Verification fails in the middle of unpacking: the store stays as it was."""
    bundle.write_bytes(packed(manifest_bytes(a_manifest(FILES)), FILES | {"tokenizer.txt": b"[XXX]\n"}))
    with pytest.raises(BundleHashError):
        unpack(bundle, ANYONE, tmp_path / "store")
    assert [p.name for p in (tmp_path / "store").iterdir()] == [".lock"]
