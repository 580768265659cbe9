"""The heads of one exit: small arrays, run in numpy over the kept hidden rows.

The trunk is causal, the heads look both ways: the intent head pools all rows, the tag head sees a
window around each row and the pool. `conversion/nets/heads.py` is the same arithmetic in torch; a
test holds the two together.

    n  = RMSNorm(h[:n])                                              [n, d]
    p  = (mean(n), max(n), n[last])                                  [3d]
    intent = relu(p @ intent_w1 + intent_b1) @ intent_w2 + intent_b2 [C]
    u  = sum over k in -1 … 3 of n[t + k] @ tag_w1[k]  +  p @ tag_pool + tag_b1   [n, m]
    tags   = argmax(relu(u) @ tag_w2 + tag_b2)                       [n]
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from firmware_py.contracts.errors import BundleFormatError

Array = npt.NDArray[Any]

EPSILON = np.float32(1e-5)  # of the RMSNorm, as in the trunk
WINDOW = (-1, 0, 1, 2, 3)  # rows beside its own that a tag sees; more to the right, where the trunk is blind
_HERE = WINDOW.index(0)
INTENT_NAMES = ("intent_w1", "intent_b1", "intent_w2", "intent_b2")
TAG_NAMES = ("tag_w1", "tag_pool", "tag_b1", "tag_w2", "tag_b2")
NAMES = INTENT_NAMES + TAG_NAMES


class Read(NamedTuple):
    """What heads read of hidden rows: the normed rows [n, d] and their pool [3d]."""

    rows: Array
    pool: Array


def read(h: Array, n: int) -> Read:
    """Norm and pool the n real rows of h float32 [T, d]; both heads of an exit start from it."""
    rows = _norm(h[:n])
    return Read(rows, _pool(rows))


class ExitHead:
    """Intent head and, where the bundle has slots, slot-tag head of one exit; `temperature` is the intent's."""

    __slots__ = ("_arrays", "temperature")

    def __init__(self, arrays: Mapping[str, Array], temperature: float) -> None:
        """Take the arrays of one exit, those of the tag head all or none.

        `tag_w1` is [5, d, m], the rest as in the module's formula. Each is float, or int8 beside a float
        `<name>_scale` that broadcasts against it (symmetric: the weight is their product).

        Raises:
            BundleFormatError: an array is missing or does not fit the others.
        """
        names = NAMES if any(name in arrays for name in TAG_NAMES) else INTENT_NAMES
        try:
            found = {name: _weights(arrays, name) for name in names}
            shapes = _shapes(found)
        except (KeyError, ValueError, TypeError) as error:
            msg = "a head's arrays are incomplete or of another form"
            raise BundleFormatError(msg) from error
        if any(found[name].shape != shape for name, shape in shapes.items()):
            msg = "a head's arrays do not fit each other"
            raise BundleFormatError(msg)
        self._arrays = found
        self.temperature = temperature

    @classmethod
    def from_bytes(cls, npz: bytes, temperature: float) -> ExitHead:
        """Read one exit's `.npz` member (float16, float32 or int8 arrays with their scales).

        Raises:
            BundleFormatError: the bytes are no such file.
        """
        return cls(load_arrays(npz), temperature)

    @property
    def width(self) -> int:
        """d, the size of the hidden rows that it reads."""
        return len(self._arrays["intent_w1"]) // 3

    @property
    def labels(self) -> int:
        """C, how many labels it tells apart."""
        return len(self._arrays["intent_b2"])

    @property
    def tag_count(self) -> int:
        """How many BIO tags it tells apart; 0 without a tag head."""
        return len(self._arrays["tag_b2"]) if "tag_b2" in self._arrays else 0

    def intent(self, h: Array, n: int) -> Array:
        """Logits float32 [C] from the hidden rows h float32 [T, d], of which n are real tokens."""
        return self.intent_of(read(h, n))

    def tags(self, h: Array, n: int) -> Array:
        """BIO tags int [n] of the n real tokens; all outside without a tag head."""
        return self.tags_of(read(h, n))

    def tag_logits(self, h: Array, n: int) -> Array:
        """Tag scores float32 [n, tags]; only with a tag head."""
        return self._tag_logits(read(h, n))

    def intent_of(self, said: Read) -> Array:
        """Logits as `intent`, from rows that were read before."""
        a = self._arrays
        hidden = said.pool @ a["intent_w1"]
        hidden += a["intent_b1"]
        np.maximum(hidden, 0.0, out=hidden)
        logits: Array = hidden @ a["intent_w2"]
        logits += a["intent_b2"]
        return logits

    def tags_of(self, said: Read) -> Array:
        """Tags as `tags`, from rows that were read before."""
        if "tag_b2" not in self._arrays:
            return np.zeros(len(said.rows), np.intp)
        tags: Array = self._tag_logits(said).argmax(axis=1)
        return tags

    def _tag_logits(self, said: Read) -> Array:
        a, rows = self._arrays, said.rows
        n = len(rows)
        hidden = rows @ a["tag_w1"][_HERE]
        hidden += said.pool @ a["tag_pool"] + a["tag_b1"]
        # One product per shift: a single wide one passes OpenBLAS's threading bound (m n k > 2^18),
        # and waking a second thread costs ten times the product.
        for k, shift in enumerate(WINDOW):
            if shift < 0:
                hidden[-shift:] += rows[:shift] @ a["tag_w1"][k]
            elif 0 < shift < n:
                hidden[:-shift] += rows[shift:] @ a["tag_w1"][k]
        np.maximum(hidden, 0.0, out=hidden)
        logits: Array = hidden @ a["tag_w2"]
        logits += a["tag_b2"]
        return logits


def load_arrays(npz: bytes) -> dict[str, Array]:
    """Arrays of an `.npz` member, no pickles.

    Raises:
        BundleFormatError: the bytes are no such file.
    """
    try:
        with np.load(io.BytesIO(npz), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        msg = "a member is not an array file"
        raise BundleFormatError(msg) from error


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
            "tag_w1": (len(WINDOW), pooled // 3, m), "tag_pool": (pooled, m), "tag_b1": (m,),
            "tag_w2": (m, tags), "tag_b2": (tags,),
        }  # fmt: skip
    return shapes


def _norm(rows: Array) -> Array:
    """RMSNorm without gain: rows / sqrt(mean(rows^2) + eps), float32 [n, d]."""
    mean_square = np.einsum("td,td->t", rows, rows) * np.float32(1.0 / rows.shape[1])
    normed: Array = rows / np.sqrt(mean_square + EPSILON)[:, None]
    return normed


def _pool(rows: Array) -> Array:
    """Mean, maximum and last row, float32 [3d]."""
    mean = np.add.reduce(rows, axis=0)
    mean *= np.float32(1.0 / len(rows))
    return np.concatenate((mean, np.maximum.reduce(rows, axis=0), rows[-1]))
