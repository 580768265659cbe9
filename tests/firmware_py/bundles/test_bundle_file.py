"""A bundle is written the same every time, and read only when it is whole, signed and as described."""

from __future__ import annotations

import base64
import contextlib
import json
import lzma
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_py.bundles import archive, sign, signature_check, verify
from firmware_py.bundles.read import check_folder, read_bundle, unpack
from firmware_py.bundles.verify import Trust
from firmware_py.bundles.write import MANIFEST_NAME, manifest_bytes, member, write_bundle
from firmware_py.contracts.errors import (
    BundleCorruptError,
    BundleError,
    BundleFormatError,
    BundleHashError,
    BundleMissingError,
    BundleTooLargeError,
    BundleTruncatedError,
    BundleUnsignedError,
    BundleUntrustedError,
    KeyFileError,
)
from firmware_py.contracts.manifest import Graph, Head, Manifest, Task, TensorSpec
from firmware_py.contracts.run import GraphKey

ANYONE = Trust(None, allow_unsigned=True)
FILES = {
    "s1.tflite": bytes(range(256)) * 40,
    "head1.npz": b"head",
    "embedding.npz": b"",
    "tokenizer.txt": b"[PAD]\n",
    "golden.jsonl": b"{}\n" * 300,
}


def a_manifest(files: dict[str, bytes]) -> Manifest:
    """One stage, one bucket, one exit."""
    spec = (TensorSpec("h", "float32", (16, 8)),)
    return Manifest(
        name="tiny",
        version="1.0.0",
        recipe="dyn8",
        task=Task("home", "intent", ("en",)),
        labels=("on", "off"),
        slots=("area",),
        stages=1,
        buckets=(16,),
        dims={"model": 8},
        runtimes={"ai-edge-litert": "2.0"},
        graphs=(
            Graph(
                GraphKey(16, 1, 4),
                "stage",
                0,
                spec,
                spec,
                {"MUL": 1},
                member("s1.tflite", files["s1.tflite"]),
            ),
        ),
        heads=(Head("home", 1, 1.0, member("head1.npz", files["head1.npz"])),),
        embedding=member("embedding.npz", files["embedding.npz"]),
        tokenizer=member("tokenizer.txt", files["tokenizer.txt"]),
        golden=member("golden.jsonl", files["golden.jsonl"]),
        exit_rules={"balanced": (0.8,)},
        default_rule="balanced",
        accuracy_by_exit=(0.9,),
        out_of_scope_threshold=0.5,
        provenance={"seed": 0},
    )


def packed(manifest: bytes, files: dict[str, bytes]) -> bytes:
    """An archive of any manifest bytes, as a hostile writer would make it."""
    return archive.pack([(MANIFEST_NAME, manifest), *sorted(files.items())])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """An unsigned bundle on the disk."""
    path = tmp_path / "tiny.bundle"
    write_bundle(path, a_manifest(FILES), FILES)
    return path


@pytest.fixture
def trusted(bundle: Path, tmp_path: Path) -> Trust:
    """The bundle signed, and a trust folder with the publisher's key."""
    private = sign.new_key(tmp_path / "keys", "publisher")
    sign.sign_file(bundle, private)
    trust = tmp_path / "trust"
    trust.mkdir()
    (trust / "publisher.pub").write_bytes((tmp_path / "keys" / "publisher.pub").read_bytes())
    return Trust(trust)


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


def test_a_buffer_that_two_graphs_share_is_stored_once() -> None:
    """The dictionary spans the whole content, however far apart the copies lie."""
    noise = os.urandom(3 * 2**20)
    one = len(archive.pack([("a", noise)]))
    two = len(archive.pack([("a", noise), ("b", noise)]))
    assert two - one < len(noise) / 100


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


def test_an_unsigned_bundle_needs_permission(bundle: Path) -> None:
    """Without a signature only `allow_unsigned` admits it."""
    with pytest.raises(BundleUnsignedError):
        read_bundle(bundle, Trust(None))
    assert read_bundle(bundle, ANYONE).manifest.name == "tiny"


def test_a_foreign_key_needs_permission(bundle: Path, trusted: Trust, tmp_path: Path) -> None:
    """A signature by a key outside the trust folder is like none."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleUntrustedError):
        read_bundle(bundle, Trust(tmp_path / "empty"))
    assert read_bundle(bundle, ANYONE).files == FILES
    assert trusted.folder is not None


def test_a_forged_signature_is_refused_even_with_permission(bundle: Path, trusted: Trust) -> None:
    """The stated key id is a trusted one, the signature is not its."""
    path = bundle.with_name(bundle.name + ".sig")
    form = json.loads(path.read_bytes())
    form["sha256"] = "0" * 64
    path.write_text(json.dumps(form), encoding="utf-8")
    with pytest.raises(BundleUntrustedError):
        read_bundle(bundle, replace(trusted, allow_unsigned=True))


@pytest.mark.parametrize("junk", [b"", b"{}", b"[" * 100_000, b"[1]", b'{"v":1,"key":"x"}', b"\xff" * 99])
def test_an_unreadable_signature_is_refused(bundle: Path, trusted: Trust, junk: bytes) -> None:
    """Whatever stands in the .sig file, the answer is one code."""
    bundle.with_name(bundle.name + ".sig").write_bytes(junk)
    with pytest.raises(BundleUntrustedError):
        read_bundle(bundle, trusted)


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


def test_unpacking_twice_finds_the_first(bundle: Path, tmp_path: Path) -> None:
    """The store is keyed by hash; the second call reads no archive member."""
    first = unpack(bundle, ANYONE, tmp_path / "store")
    stamp = (first.folder / "s1.tflite").stat().st_mtime_ns
    second = unpack(read_bundle(bundle, ANYONE), ANYONE, tmp_path / "store")
    assert second == first
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


def test_keys_are_private_and_never_overwritten(tmp_path: Path) -> None:
    """The secret's mode is 0600, and a second key of that name is refused."""
    path = sign.new_key(tmp_path, "mine")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyFileError):
        sign.new_key(tmp_path, "mine")
    with pytest.raises(KeyFileError):
        sign.new_key(tmp_path, "../mine")


def test_a_foreign_file_in_the_trust_folder_is_named(bundle: Path, trusted: Trust) -> None:
    """The operator hears which file is not a key."""
    assert trusted.folder is not None
    (trusted.folder / "note.pub").write_text("not a key", encoding="utf-8")
    with pytest.raises(KeyFileError, match=r"note\.pub"):
        read_bundle(bundle, trusted)
    assert len(verify.trusted_keys(None)) == 0


def _pem(der: bytes) -> bytes:
    return b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(der) + b"\n-----END PUBLIC KEY-----\n"


def test_public_keys_are_read_as_the_library_reads_them(tmp_path: Path) -> None:
    """By hand, because the library takes 9 MB: the same bytes, and whatever is no Ed25519 key is refused."""
    private = ed25519.Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    raw, path = private.public_key().public_bytes_raw(), tmp_path / "a.pub"
    for good in (pem, pem.replace(b"\n", b"\r\n"), b"\xef\xbb\xbfmine, of 2026\n" + pem + b"\nend\n"):
        path.write_bytes(good)
        assert verify.load_public_key(path) == raw
    der = base64.b64decode(pem.split(b"-----")[2])
    x25519 = bytes.fromhex("302a300506032b656e032100") + raw
    private_pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    bad = (
        b"",
        pem[:40],
        pem + pem,
        private_pem,
        _pem(der[:-1]),
        _pem(der + b"\0"),
        _pem(x25519),
        _pem(b""),
        pem.replace(b"A", b"~"),
    )
    for one in bad:
        path.write_bytes(one)
        with pytest.raises(KeyFileError, match=r"a\.pub"):
            verify.load_public_key(path)
    path.unlink()
    with pytest.raises(KeyFileError, match=r"a\.pub"):
        verify.load_public_key(path)


def test_a_child_says_of_signatures_what_the_library_says(
    bundle: Path, trusted: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node asks a child, and loads none of the library: what fits passes, another key's and another message do not."""
    apart = replace(trusted, apart=True)
    assert read_bundle(bundle, apart).sha256 == read_bundle(bundle, trusted).sha256
    signature = verify.parse_signature(bundle.with_name(bundle.name + ".sig").read_bytes())
    forged = replace(signature, signature=bytes(64))
    bundle.with_name(bundle.name + ".sig").write_bytes(forged.to_bytes())
    with pytest.raises(BundleUntrustedError):
        read_bundle(bundle, apart)
    private = ed25519.Ed25519PrivateKey.generate()
    said, key = private.sign(b"this"), private.public_key().public_bytes_raw()
    assert signature_check.fits(key, said, b"this")
    assert not signature_check.fits(key, said, b"that")
    monkeypatch.setattr(signature_check, "fits", None)  # the child alone answers
    assert signature_check.fits_apart(key, said, b"this")
    assert not signature_check.fits_apart(key, said, b"that")
    assert not signature_check.fits_apart(bytes(32), said, b"this")


def test_a_child_that_cannot_answer_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process to be had, or one that dies: a signature is never taken as good for that."""
    private = ed25519.Ed25519PrivateKey.generate()
    said, key = private.sign(b"this"), private.public_key().public_bytes_raw()
    for command in ("/bin/false", "/bin/true", "/nowhere", None):
        monkeypatch.setattr(sys, "executable", command)
        assert signature_check.fits_apart(key, said, b"this")
        assert not signature_check.fits_apart(key, said, b"that")
