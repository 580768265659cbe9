"""A head's arrays: int8 with scales is the same head, slots are optional, anything else is refused."""

from __future__ import annotations

import contextlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_py.bundles.read import unpack
from firmware_py.bundles.verify import Trust
from firmware_py.bundles.write import member, write_bundle
from firmware_py.contracts.errors import BundleFormatError
from firmware_py.inference.engine import Weights
from firmware_py.inference.heads import INTENT_NAMES, MAX_ARRAYS_BYTES, TAG_NAMES, ExitHead, load_arrays
from firmware_py.inference.rows import Reader
from firmware_py.inference.tensors import Embedding
from firmware_py.testing.tiny_bundle import tiny_files

D, Q, LABELS, M, TAGS, N = 8, 6, 4, 5, 3, 7


def arrays(seed: int = 0) -> dict[str, Any]:
    """Random float arrays of one exit."""
    random = np.random.default_rng(seed)
    shapes = {
        "intent_w1": (3 * D, Q), "intent_b1": (Q,), "intent_w2": (Q, LABELS), "intent_b2": (LABELS,),
        "tag_w1": (6, D, M), "tag_pool": (3 * D, M), "tag_b1": (M,),
        "tag_mix": (3, M, M), "tag_bm": (M,), "tag_w2": (M, TAGS), "tag_b2": (TAGS,),
    }  # fmt: skip
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def quantised(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Int8 with one scale per output column, and the float arrays that these stand for."""
    stored, meant = {}, {}
    for name, array in given.items():
        scale = (np.abs(array).max(axis=-2 if array.ndim > 1 else 0, keepdims=True) / 127.0).astype(
            np.float32
        )
        stored[name] = np.round(array / scale).astype(np.int8)
        stored[f"{name}_scale"] = scale
        meant[name] = stored[name].astype(np.float32) * scale
    return stored, meant


ROWS = np.random.default_rng(1).standard_normal((N + 2, D)).astype(np.float32)


def test_int8_with_scales_is_the_head_that_it_stands_for() -> None:
    stored, meant = quantised(arrays())
    assert stored["tag_w1_scale"].shape == (6, 1, M)
    file = io.BytesIO()
    np.savez(file, **stored)
    small, plain = ExitHead.from_bytes(file.getvalue(), 2.0), ExitHead(meant, 2.0)
    assert (small.intent(ROWS, N) == plain.intent(ROWS, N)).all()
    assert (small.tag_logits(ROWS, N) == plain.tag_logits(ROWS, N)).all()
    assert (small.labels, small.tag_count, small.temperature) == (LABELS, TAGS, 2.0)
    assert np.abs(small.intent(ROWS, N) - ExitHead(arrays(), 2.0).intent(ROWS, N)).max() > 0.0


def test_kept_buffers_answer_as_fresh_ones_whatever_was_read_before() -> None:
    head, reader = ExitHead(arrays(), 1.0), Reader(D, room=2)
    random = np.random.default_rng(2)
    for n in (7, 1, 2, 7, 3, 40, 5, 1):
        rows = random.standard_normal((n + 1, D)).astype(np.float32)
        said = reader.read(rows, n)
        logits, pooled = head.answer(said)
        assert (logits == head.intent(rows, n)).all()
        assert (head.scores_of(said, pooled) == head.tag_logits(rows, n)).all()


@pytest.mark.parametrize(("n", "m"), [(1, M), (9, M), (9, 1200)])
def test_tags_are_as_the_formula_says(n: int, m: int) -> None:
    """Also of one word, and with products so large that they are made in parts."""
    random = np.random.default_rng(3)
    shapes = {
        "tag_w1": (6, D, m),
        "tag_pool": (3 * D, m),
        "tag_b1": (m,),
        "tag_mix": (3, m, m),
        "tag_bm": (m,),
    }
    a = arrays() | {
        name: (random.standard_normal(shape) / shape[0]).astype(np.float32)
        for name, shape in (shapes | {"tag_w2": (m, TAGS)}).items()
    }
    rows = random.standard_normal((n, D)).astype(np.float32)
    normed = rows / np.sqrt(np.square(rows).mean(1, keepdims=True) + 1e-5)
    beside = np.vstack((np.zeros((1, D)), normed, np.zeros((3, D))))
    u = sum(beside[k : k + n] @ a["tag_w1"][k] for k in range(5))
    u = u + np.stack([normed[t:].max(0) for t in range(n)]) @ a["tag_w1"][5]
    v = np.maximum(
        u + np.concatenate((normed.mean(0), normed.max(0), normed[-1])) @ a["tag_pool"] + a["tag_b1"], 0.0
    )
    near = np.pad(v, ((1, 1), (0, 0)))
    w = v + np.maximum(sum(near[k : k + n] @ a["tag_mix"][k] for k in range(3)) + a["tag_bm"], 0.0)
    wanted = w @ a["tag_w2"] + a["tag_b2"]
    np.testing.assert_allclose(
        ExitHead(a, 1.0).tag_logits(rows, n), wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max()
    )


def test_without_slots_nothing_is_tagged() -> None:
    given = {name: array for name, array in arrays().items() if name in INTENT_NAMES}
    head = ExitHead(given, 1.0)
    np.testing.assert_allclose(head.intent(ROWS, N), ExitHead(arrays(), 1.0).intent(ROWS, N), rtol=1e-5)
    assert head.tags(ROWS, N).tolist() == [0] * N
    assert head.tag_count == 0


@pytest.mark.parametrize("name", [*INTENT_NAMES, *TAG_NAMES])
def test_a_missing_array_is_refused(name: str) -> None:
    given = arrays()
    del given[name]
    with pytest.raises(BundleFormatError):
        ExitHead(given, 1.0)


def _of_another_form() -> list[dict[str, Any]]:
    stored, _ = quantised(arrays())
    unscaled = {name: array for name, array in stored.items() if name != "intent_w2_scale"}
    wide = stored | {"intent_b2_scale": np.ones((2, LABELS), np.float32)}
    misfit = stored | {"tag_w1_scale": np.ones((4, 1, M), np.float32)}
    other = arrays() | {"intent_w1": np.zeros((3 * D + 1, Q), np.float32)}
    rank = arrays() | {"intent_b1": np.zeros((Q, 1), np.float32)}
    tags = arrays() | {"tag_pool": np.zeros((3 * D, M + 1), np.float32)}
    return [unscaled, wide, misfit, other, rank, tags]


@pytest.mark.parametrize("given", _of_another_form())
def test_arrays_of_another_form_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(BundleFormatError):
        ExitHead(given, 1.0)


def npz(*, deflate: bool = False, **given: Any) -> bytes:
    """An array file."""
    file = io.BytesIO()
    (np.savez_compressed if deflate else np.savez)(file, **given)
    return file.getvalue()


def zipped(method: int = zipfile.ZIP_STORED, **given: bytes) -> bytes:
    """A zip file with members of any bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in given.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def _plain(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _of_no_file() -> dict[str, bytes]:
    """What numpy, zipfile and zlib each stumble over in their own way."""
    deflated = bytearray(npz(deflate=True, x=np.arange(100_000)))
    deflated[200:400] = bytes(range(200))
    encrypted = bytearray(npz(x=np.zeros(3)))
    at = encrypted.rindex(b"PK\x01\x02")
    encrypted[6] = encrypted[at + 8] = 1
    endless = b"\x93NUMPY\x01\x00\x10\x00{'descr': (((((\n"
    huge = _plain(np.zeros(3)).replace(b"(3,), }", b"(9" + b"9" * 12 + b",)}")
    return {
        "nothing": b"",
        "one array without its file": _plain(np.zeros(3)),
        "damaged": bytes(deflated),
        "encrypted": bytes(encrypted),
        "of another packing": zipped(zipfile.ZIP_LZMA, x=_plain(np.zeros(3))),
        "no arrays": zipped(x=b"text"),
        "a broken header": zipped(x=endless),
        "a header of terabytes": zipped(x=huge),
        "strings": npz(x=np.array(["a", "b"])),
        "objects": npz(x=np.array([{}, None])),
    }


@pytest.mark.parametrize("data", _of_no_file().values(), ids=_of_no_file().keys())
def test_what_is_no_file_of_arrays_is_refused(data: bytes) -> None:
    with pytest.raises(BundleFormatError):
        load_arrays(data)


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_unpacked() -> None:
    """Zeros deflate to a thousandth."""
    within = npz(deflate=True, x=np.zeros(MAX_ARRAYS_BYTES - 1024, np.uint8))
    assert load_arrays(within)["x"].nbytes == MAX_ARRAYS_BYTES - 1024
    half = np.zeros(MAX_ARRAYS_BYTES // 2, np.uint8)
    bomb = npz(deflate=True, x=half, y=half)
    assert len(bomb) < 100_000
    with pytest.raises(BundleFormatError, match="unpacks to more"):
        load_arrays(bomb)


_FILES = [npz(deflate=deflate, **arrays()) for deflate in (False, True)]


@given(st.sampled_from(_FILES), st.data())
def test_a_damaged_file_is_refused_or_still_one(file: bytes, data: st.DataObject) -> None:
    damaged = bytearray(file)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BundleFormatError):
        load_arrays(bytes(damaged))


@pytest.mark.parametrize("change", [{"slots": ()}, {"slots": ("area", "name")}, {"labels": ("on", "off")}])
def test_heads_that_are_not_the_manifests_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    """More tags than slots, fewer, more labels than names: such answers would have no meaning."""
    manifest, files = tiny_files()
    write_bundle(tmp_path / "x.bundle", replace(manifest, **change), files)
    unpacked = unpack(tmp_path / "x.bundle", Trust(None, allow_unsigned=True), tmp_path / "store")
    with pytest.raises(BundleFormatError, match="number of labels or tags"):
        Weights.load(unpacked)


def test_heads_over_rows_of_another_size_are_refused(tmp_path: Path) -> None:
    manifest, files = tiny_files()
    out = io.BytesIO()
    np.savez(out, rows=np.zeros((11, 8), np.int8), scale=np.ones(11, np.float32))
    files["embedding.npz"] = out.getvalue()
    changed = replace(manifest, embedding=member("embedding.npz", files["embedding.npz"]))
    write_bundle(tmp_path / "x.bundle", changed, files)
    unpacked = unpack(tmp_path / "x.bundle", Trust(None, allow_unsigned=True), tmp_path / "store")
    with pytest.raises(BundleFormatError, match="another size than the embedding"):
        Weights.load(unpacked)


@pytest.mark.parametrize(
    "arrays",
    [
        {
            "rows": np.zeros((11, 16), np.uint8)
        },  # a packed table under the other's name would be read as noise
        {"nibbles": np.zeros((11, 8), np.int8)},
        {"nibbles": np.zeros((11, 8), np.float32)},
        {"nibbles": np.zeros((10, 8), np.uint8)},
        {"nibbles": np.zeros(11, np.uint8)},
        {"rows": np.zeros((11, 16), np.float16)},
        {"rows": np.zeros((11, 16), np.int8), "nibbles": np.zeros((11, 8), np.uint8)},  # which one was meant?
        {},
    ],
)
def test_a_table_of_another_form_is_refused(arrays: dict[str, Any]) -> None:
    with pytest.raises(BundleFormatError, match=r"embedding (table|file)"):
        Embedding.from_bytes(npz(scale=np.ones(11, np.float32), **arrays))


def test_a_table_that_would_fill_a_board_is_refused() -> None:
    """64 MiB of packed rows are eight times that as float32; the tables are views of one byte here."""
    rows = np.broadcast_to(np.zeros(1, np.uint8), (1 << 20, 64))
    with pytest.raises(BundleFormatError, match="more than 268435456 bytes"):
        Embedding(rows, np.broadcast_to(np.float16(1), (1 << 20,)))


def test_packed_rows_are_read_low_half_first() -> None:
    packed = np.array([[0x81, 0xF8], [0x00, 0x9A]], np.uint8)
    table = Embedding.from_bytes(npz(nibbles=packed, scale=np.array([1.0, 0.5], np.float16)))
    assert (table.size, table.width) == (2, 4)
    np.testing.assert_array_equal(table.lookup([0, 1], 3), [[-7, 0, 0, 7], [-4, -4, 1, 0.5], [0, 0, 0, 0]])


def _tables(size: int, places: int) -> bytes:
    rows = np.zeros((size, 16), np.int8)
    return npz(rows=rows, scale=np.ones(size, np.float32), positions=np.zeros((places, 16), np.float32))


@pytest.mark.parametrize(
    ("embedding", "frame", "wrong"),
    [
        (_tables(11, 16), (), None),
        (_tables(13, 16), (11, 12), None),
        (_tables(10, 16), (), "has no row for"),
        (_tables(11, 16), (1, 11), "has no row for"),
        (_tables(11, 15), (), "positions for fewer tokens"),
    ],
)
def test_every_id_and_place_has_a_row(
    tmp_path: Path, embedding: bytes, frame: tuple[int, ...], wrong: str | None
) -> None:
    """The tiny vocabulary has 11 pieces, its largest bucket 16; told at the start, not to the first asker."""
    manifest, files = tiny_files()
    files["embedding.npz"] = embedding
    changed = replace(manifest, embedding=member("embedding.npz", embedding), frame=frame)
    write_bundle(tmp_path / "x.bundle", changed, files)
    unpacked = unpack(tmp_path / "x.bundle", Trust(None, allow_unsigned=True), tmp_path / "store")
    if wrong is None:
        Weights.load(unpacked)
        return
    with pytest.raises(BundleFormatError, match=wrong):
        Weights.load(unpacked)


def test_a_bundle_without_slots_is_loaded(tmp_path: Path) -> None:
    manifest, files = tiny_files()
    heads = []
    for head in manifest.heads:
        with np.load(io.BytesIO(files[head.file.name])) as file:
            kept = {name: file[name] for name in INTENT_NAMES}
        out = io.BytesIO()
        np.savez(out, **kept)
        files[head.file.name] = out.getvalue()
        heads.append(replace(head, file=member(head.file.name, out.getvalue())))
    write_bundle(tmp_path / "x.bundle", replace(manifest, heads=tuple(heads), slots=()), files)
    unpacked = unpack(tmp_path / "x.bundle", Trust(None, allow_unsigned=True), tmp_path / "store")
    assert all(head.tag_count == 0 for head in Weights.load(unpacked).heads)


@pytest.mark.parametrize("before", [(16, 3), (16, 3, 1), (40, 5, 2)])
def test_what_was_read_before_says_nothing_of_this_text(before: tuple[int, ...]) -> None:
    """The buffers are kept: a long text, then a short one, then one in between must not see the long one's rows."""
    head = ExitHead(arrays(), 1.0)
    random = np.random.default_rng(3)
    kept = Reader(head.width)
    for n in before:
        kept.read(random.normal(size=(n, head.width)).astype(np.float32), n)
    for n in (3, 6, 9):
        rows = random.normal(size=(16, head.width)).astype(np.float32)
        said = kept.read(rows, n)
        again = head.scores_of(said, head.answer(said)[1])
        np.testing.assert_allclose(again, head.tag_logits(rows, n), rtol=1e-4, atol=1e-5)
