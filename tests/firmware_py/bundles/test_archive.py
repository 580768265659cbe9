"""An archive that is large, damaged or hostile is refused at a bound, whatever stands in it."""

from __future__ import annotations

import contextlib
import lzma
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_py.bundles import archive
from firmware_py.bundles.read import read_bundle
from firmware_py.bundles.write import MANIFEST_NAME, manifest_bytes
from firmware_py.contracts.errors import (
    BundleCorruptError,
    BundleError,
    BundleTooLargeError,
)
from tests.firmware_py.bundles.rig import ANYONE, FILES, a_manifest, packed


def test_a_buffer_that_two_graphs_share_is_stored_once() -> None:
    """The dictionary spans the whole content, however far apart the copies lie."""
    noise = os.urandom(3 * 2**20)
    one = len(archive.pack([("a", noise)]))
    two = len(archive.pack([("a", noise), ("b", noise)]))
    assert two - one < len(noise) / 100


def test_an_oversized_file_is_not_read(bundle: Path) -> None:
    """The archive's own limit comes before its hash."""
    with bundle.open("r+b") as file:
        file.truncate(archive.MAX_ARCHIVE_BYTES + 1)
    with pytest.raises(BundleTooLargeError):
        read_bundle(bundle, ANYONE)


def test_a_bomb_stops_at_the_limit(bundle: Path) -> None:
    """A few kilobytes that unpack to more than the limit are refused on the way."""
    compressor = lzma.LZMACompressor(format=lzma.FORMAT_XZ, preset=1)
    parts = [compressor.compress(archive.header(MANIFEST_NAME, 2**29))]
    parts += [compressor.compress(bytes(2**24)) for _ in range(40)]
    bundle.write_bytes(b"".join([*parts, compressor.flush()]))
    with pytest.raises(BundleTooLargeError):
        read_bundle(bundle, ANYONE)
    reader = archive.Reader(bundle.read_bytes())
    entry = reader.entry()
    assert entry is not None
    with pytest.raises(BundleTooLargeError):
        for _ in reader.chunks(2**31):
            pass


def test_a_dictionary_beyond_the_memory_limit_is_refused(bundle: Path) -> None:
    """The decoder never allocates more than a bundle may ask for."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 512 * 2**20}]
    bundle.write_bytes(lzma.compress(b"x" * 10_000, format=lzma.FORMAT_XZ, filters=filters))
    with pytest.raises(BundleTooLargeError):
        read_bundle(bundle, ANYONE)


def hostile_headers() -> list[bytes]:
    """Headers that tar knows and a bundle does not."""
    plain = archive.header("head1.npz", 4)
    link = bytearray(plain)
    link[156:157] = b"2"
    mode = bytearray(plain)
    mode[100:107] = b"0004755"
    path = bytearray(plain)
    path[0:9] = b"../x\0\0\0\0\0"
    return [bytes(link), bytes(mode), bytes(path), b"\xff" * 512]


@pytest.mark.parametrize("bad", hostile_headers())
def test_links_paths_and_odd_modes_are_refused(bundle: Path, bad: bytes) -> None:
    """Only the one header form passes."""
    content = bad + b"head" + bytes(508) + bytes(1024)
    bundle.write_bytes(lzma.compress(content, format=lzma.FORMAT_XZ))
    with pytest.raises(BundleCorruptError):
        read_bundle(bundle, ANYONE)


_GOOD = packed(manifest_bytes(a_manifest(FILES)), FILES)
_PLAIN = lzma.decompress(_GOOD)
_FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_FUZZ
@given(at=st.integers(0, len(_GOOD) - 1), bit=st.integers(0, 7), cut=st.integers(0, len(_GOOD) - 1))
def test_any_flipped_bit_or_cut_is_refused(tmp_path: Path, at: int, bit: int, cut: int) -> None:
    """Every damaged archive ends in a bundle error or reads back unchanged (unused bits of xz)."""
    path = tmp_path / "fuzz.bundle"
    flipped = bytearray(_GOOD)
    flipped[at] ^= 1 << bit
    path.write_bytes(flipped)
    with contextlib.suppress(BundleError):
        assert read_bundle(path, ANYONE).files == FILES
    path.write_bytes(_GOOD[:cut])
    with pytest.raises(BundleCorruptError):
        read_bundle(path, ANYONE)


@_FUZZ
@given(at=st.integers(0, len(_PLAIN) - 1), value=st.integers(0, 255), cut=st.integers(0, len(_PLAIN)))
def test_any_change_beneath_the_compression_is_refused(tmp_path: Path, at: int, value: int, cut: int) -> None:
    """With the checksums of xz made good, headers, sizes and hashes still catch every changed byte."""
    path = tmp_path / "fuzz.bundle"
    changed = bytearray(_PLAIN)
    changed[at] = value
    for content in (bytes(changed), _PLAIN[:cut]):
        path.write_bytes(lzma.compress(content, format=lzma.FORMAT_XZ, preset=0))
        if content == _PLAIN:
            assert read_bundle(path, ANYONE).files == FILES
            continue
        try:
            read = read_bundle(path, ANYONE)
        except BundleError:
            continue
        # a free-form field of the manifest (a name, a figure) may differ; the members may not
        assert read.files == FILES
        assert at < 512 + len(manifest_bytes(read.manifest)) + 512


def test_who_asks_for_the_first_member_unpacks_no_other() -> None:
    """A start reads the manifest only: the rest lies unpacked."""
    # A damaged second member is not noticed, because nothing decompresses it.
    whole = archive.pack([("a", b"first"), ("b", os.urandom(2**20))])
    reader = archive.Reader(whole[: len(whole) // 2])
    assert reader.entry() == ("a", 5)
    assert b"".join(reader.chunks(5)) == b"first"
    assert reader.produced_bytes == 2 * archive.BLOCK
