"""The heads of one exit: small arrays, run in numpy over the kept hidden rows.

The trunk is causal, the heads look both ways: the intent head pools all rows, the tag head sees a
window around each row and the pool. `conversion/nets/heads.py` is the same arithmetic in torch; a
test holds the two together.

    n  = RMSNorm(h[:n])                                              [n, d]
    p  = (mean(n), max(n), n[last])                                  [3d]
    intent = relu(p @ intent_w1 + intent_b1) @ intent_w2 + intent_b2 [C]
    u  = sum over k in -1 … 3 of n[t + k] @ tag_w1[k]  +  max(n[t:]) @ tag_w1[5]  +  p @ tag_pool + tag_b1   [n, m]
    v  = relu(u), zero beyond both ends
    w  = v + relu(sum over k in -1, 0, 1 of v[t + k] @ tag_mix[k] + tag_bm)   [n, m]: words hear what their neighbours are
    tags   = argmax(w @ tag_w2 + tag_b2)                             [n]

Computed are four products: one of the pool for both heads (a one beside the pool meets the biases), one for
the labels, and where an exit answers or is asked how sure its slots are, one of all windows, one of what they said, and one for the tags.
"""

from __future__ import annotations

import io
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_py.contracts.errors import BundleFormatError
from firmware_py.inference.rows import BLOCKS, WINDOW, Read, Reader

__all__ = ["BLOCKS", "INTENT_NAMES", "NAMES", "TAG_NAMES", "WINDOW", "ExitHead", "load_arrays"]

Array = npt.NDArray[Any]

INTENT_NAMES = ("intent_w1", "intent_b1", "intent_w2", "intent_b2")
TAG_NAMES = ("tag_w1", "tag_pool", "tag_b1", "tag_mix", "tag_bm", "tag_w2", "tag_b2")
NAMES = INTENT_NAMES + TAG_NAMES
_NEWER = ("tag_mix", "tag_bm")
_ZERO = np.zeros((), np.float32)
MAX_ARRAYS_BYTES = (
    64 * 2**20
)  # as the archive's own bound; BERT's table, one of the largest, has 12 MB in int8
# What zipfile, zlib and numpy's header parser were seen to raise on bytes that are no such file.
_UNREADABLE = (
    OSError, ValueError, EOFError, KeyError, TypeError, SyntaxError, RuntimeError, OverflowError, MemoryError,
    struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
# OpenBLAS wakes a second thread from m n k > 2^18 on, which costs ten times such a product; a node lets it have one only.
_MOST_PRODUCTS = 2**62 if os.environ.get("OPENBLAS_NUM_THREADS") == "1" else 2**18
_TILE = 4  # rows and columns that its kernels compute at once


class ExitHead:
    """Intent head and, where the bundle has slots, slot-tag head of one exit; `temperature` is the intent's.

    `width` is d, the size of the hidden rows that it reads; `labels` is C; `tag_count` is how many tags
    it tells apart, 0 without a tag head. Shared by threads: it is only read.
    """

    __slots__ = ("_first", "_inner", "_second", "_tag_first", "_tag_mix", "_tag_second", "labels", "tag_count", "temperature", "width")  # fmt: skip

    def __init__(self, arrays: Mapping[str, Array], temperature: float) -> None:
        """Take the arrays of one exit, those of the tag head all or none.

        `tag_w1` is [6, d, m], the rest as in the module's formula. Each is float, or int8 beside a float
        `<name>_scale` that broadcasts against it (symmetric: the weight is their product). Bundles of the first
        version have a `tag_w1` [5, d, m] and no `tag_mix`: their heads are this one with zeros there.

        Raises:
            BundleFormatError: an array is missing or does not fit the others.
        """
        names = NAMES if any(name in arrays for name in TAG_NAMES) else INTENT_NAMES
        try:
            older = _is_older(arrays)
            found = {name: _weights(arrays, name) for name in names if not (older and name in _NEWER)}
            found |= _as_now(found) if older else {}
            shapes = _shapes(found)
        except (KeyError, ValueError, TypeError) as error:
            msg = "a head's arrays are incomplete or of another form"
            raise BundleFormatError(msg) from error
        if any(found[name].shape != shape for name, shape in shapes.items()):
            msg = "a head's arrays do not fit each other"
            raise BundleFormatError(msg)
        self.temperature = temperature
        self.width = len(found["intent_w1"]) // 3
        self.labels = len(found["intent_b2"])
        self.tag_count = len(found["tag_b2"]) if "tag_b2" in found else 0
        pooled = [_of_pool(found["intent_w1"], found["intent_b1"])]
        self._inner = pooled[0].shape[1]
        self._second = np.vstack((found["intent_w2"], found["intent_b2"]))
        self._tag_first = self._tag_mix = self._tag_second = self._second[:0]
        if self.tag_count:
            m = len(found["tag_b1"])
            beyond = -(m + 1) % _TILE  # columns of zeros behind the one that meets the biases
            pooled.append(np.pad(_of_pool(found["tag_pool"], found["tag_b1"]), ((0, 0), (0, beyond))))
            windows = found["tag_w1"].reshape(BLOCKS * self.width, -1) * np.float32(self.width**0.5)
            self._tag_first = np.ascontiguousarray(np.pad(windows, ((0, 0), (0, 1 + beyond))))
            second = np.vstack((found["tag_w2"], found["tag_b2"]))
            self._tag_second = np.ascontiguousarray(np.pad(second, ((0, beyond), (0, 0))))
            mix = np.pad(found["tag_mix"], ((0, 0), (0, 1 + beyond), (0, 1 + beyond)))
            mix[1, m, :m] = found["tag_bm"]  # the row's own one meets the bias
            self._tag_mix = np.ascontiguousarray(mix.reshape(-1, mix.shape[-1]))
        self._first = np.ascontiguousarray(np.hstack(pooled))

    @classmethod
    def from_bytes(cls, npz: bytes, temperature: float) -> ExitHead:
        """Read one exit's `.npz` member (float16, float32 or int8 arrays with their scales).

        Raises:
            BundleFormatError: the bytes are no such file.
        """
        return cls(load_arrays(npz), temperature)

    def intent(self, h: Array, n: int) -> Array:
        """Logits float32 [C] from the hidden rows h float32 [T, d], of which n are real tokens."""
        return self.answer(Reader(self.width, n).read(h, n))[0]

    def tags(self, h: Array, n: int) -> Array:
        """Tags int [n] of the n real tokens; all outside without a tag head."""
        if not self.tag_count:
            return np.zeros(n, np.intp)
        tags: Array = self.tag_logits(h, n).argmax(1)
        return tags

    def tag_logits(self, h: Array, n: int) -> Array:
        """Tag scores float32 [n, tags]; only with a tag head."""
        said = Reader(self.width, n).read(h, n)
        return self.scores_of(said, self.answer(said)[1])

    def answer(self, said: Read) -> tuple[Array, Array]:
        """Logits as `intent`, and what the pool says to the tag head, for `scores_of`."""
        hidden = said.pool.dot(self._first)
        inner = hidden[: self._inner]
        np.maximum(inner, _ZERO, out=inner)
        return inner.dot(self._second), hidden[self._inner :]

    def scores_of(self, said: Read, pooled: Array) -> Array:
        """Tag scores as `tag_logits`, from the same rows that this head's `answer` had, and with what it said."""
        room = said.room(len(pooled))
        hidden, mixed = room.hidden, room.mixed
        _product(said.wide(), self._tag_first, hidden)
        np.add(hidden, pooled, out=hidden)
        np.maximum(hidden, _ZERO, out=hidden)
        if room.behind is not None:
            room.behind.fill(0.0)
        _product(room.beside, self._tag_mix, mixed)
        np.maximum(mixed, _ZERO, out=mixed)
        np.add(mixed, hidden, out=mixed)
        logits: Array = mixed.dot(self._tag_second)
        return logits[: said.n]


def _product(rows: Array, matrix: Array, out: Array) -> None:
    """rows @ matrix, in parts that OpenBLAS computes on this thread: whole tiles where one part is not enough."""
    step = max(1, _MOST_PRODUCTS // matrix.size)
    if _TILE < step < len(rows):
        step -= step % _TILE
    for at in range(0, len(rows), step):
        np.dot(rows[at : at + step], matrix, out=out[at : at + step])


def load_arrays(npz: bytes) -> dict[str, Array]:
    """Arrays of numbers of an `.npz` member, no pickles, 64 MiB at most.

    Raises:
        BundleFormatError: the bytes are no such file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(npz)) as archive:
            _check_sizes(archive.infolist())
        with np.load(io.BytesIO(npz), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except _UNREADABLE as error:
        msg = "a member is not an array file"
        raise BundleFormatError(msg) from error
    # What is no array comes back as bytes.
    if not all(isinstance(array, np.ndarray) and array.dtype.kind in "fiu" for array in arrays.values()):
        msg = "an array file holds something else than arrays of numbers"
        raise BundleFormatError(msg)
    return arrays


def _check_sizes(infos: Sequence[zipfile.ZipInfo]) -> None:
    """Before anything allocates: 200 KB of deflated zeros unpack to 200 MB.

    Raises:
        BundleFormatError: it unpacks to more than any bundle needs, or is packed as numpy never does.
    """
    # Readers stop at the size that stands here, so that it may be believed.
    if sum(info.file_size for info in infos) > MAX_ARRAYS_BYTES:
        msg = f"an array file unpacks to more than {MAX_ARRAYS_BYTES} bytes"
        raise BundleFormatError(msg)
    if any(info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED} for info in infos):
        msg = "an array file is neither stored nor deflated"
        raise BundleFormatError(msg)


def _is_older(arrays: Mapping[str, Array]) -> bool:
    """Whether a tag head is of the first version's form."""
    return (
        "tag_w1" in arrays
        and len(arrays["tag_w1"]) == len(WINDOW)
        and not any(name in arrays for name in _NEWER)
    )


def _as_now(found: Mapping[str, Array]) -> dict[str, Array]:
    """What the first version's tag head lacks, as zeros: it sees no further and hears no neighbour."""
    m = len(found["tag_b1"])
    return {
        "tag_w1": np.pad(found["tag_w1"], ((0, 1), (0, 0), (0, 0))),
        "tag_mix": np.zeros((3, m, m), np.float32),
        "tag_bm": np.zeros(m, np.float32),
    }


def _weights(arrays: Mapping[str, Array], name: str) -> Array:
    """One array as float32, dequantised where it is int8.

    Raises:
        KeyError: it is absent, or its scale is.
        ValueError: the scale would give it another shape.
    """
    stored = arrays[name]
    if stored.dtype == np.int8:
        scale = np.asarray(arrays[f"{name}_scale"], dtype=np.float32)
        if np.broadcast_shapes(stored.shape, scale.shape) != stored.shape:
            raise ValueError(name)
        return np.ascontiguousarray(stored * scale, dtype=np.float32)
    return np.ascontiguousarray(stored, dtype=np.float32)


def _shapes(found: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    """What each array's shape must be, given the pooled size and the biases."""
    (q,), (labels,) = (found[name].shape for name in ("intent_b1", "intent_b2"))
    pooled = found["intent_w1"].shape[0]
    shapes: dict[str, tuple[int, ...]] = {
        "intent_w1": (pooled - pooled % 3, q), "intent_b1": (q,), "intent_w2": (q, labels), "intent_b2": (labels,),
    }  # fmt: skip
    if "tag_b2" in found:
        (m,), (tags,) = (found[name].shape for name in ("tag_b1", "tag_b2"))
        shapes |= {
            "tag_w1": (BLOCKS, pooled // 3, m), "tag_pool": (pooled, m), "tag_b1": (m,),
            "tag_mix": (3, m, m), "tag_bm": (m,), "tag_w2": (m, tags), "tag_b2": (tags,),
        }  # fmt: skip
    return shapes


def _of_pool(weights: Array, bias: Array) -> Array:
    """[3d, k] and [k] as one [3d + 1, k + 1] over `Read.pool`, with a column that carries the one on."""
    mean, most, last = np.split(weights * np.float32((len(weights) // 3) ** 0.5), 3)
    joined = np.vstack((mean, last, most, bias))
    joined = np.pad(joined, ((0, 0), (0, 1)))
    joined[-1, -1] = 1.0
    return joined
