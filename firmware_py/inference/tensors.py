"""What a stage graph is fed: embedded rows, the attention bias and the position tables.

Made on the host so that graphs hold neither ids nor masks. Bias and tables are cached and
read-only; they depend only on lengths, never on the text.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_py.contracts.errors import BundleFormatError
from firmware_py.inference.heads import load_arrays

Array = npt.NDArray[Any]

BLOCKED = np.float32(-100.0)  # exact to 5e-7 in this family of graphs, where -20 leaked
ROPE_BASE = 10_000.0  # Su et al. 2021, RoFormer, section 3.3


class Embedding:
    """The token table: int8 rows with one scale each."""

    __slots__ = ("_rows", "_scale")

    def __init__(self, rows: Array, scale: Array) -> None:
        """Take rows int8 [V, d] and scale float32 [V].

        Raises:
            BundleFormatError: another type or form.
        """
        if rows.dtype != np.int8 or rows.ndim != 2 or scale.shape != rows.shape[:1]:
            msg = "the embedding table is not int8 rows with one scale each"
            raise BundleFormatError(msg)
        self._rows = np.ascontiguousarray(rows)
        self._scale = np.ascontiguousarray(scale, dtype=np.float32)[:, None]

    @classmethod
    def from_bytes(cls, npz: bytes) -> Embedding:
        """Read the `.npz` member with `rows` and `scale`.

        Raises:
            BundleFormatError: the bytes are no such file.
        """
        arrays = load_arrays(npz)
        if not {"rows", "scale"} <= arrays.keys():
            msg = "the embedding file lacks rows or scale"
            raise BundleFormatError(msg)
        return cls(arrays["rows"], arrays["scale"])

    @property
    def width(self) -> int:
        """d, the size of one row."""
        return int(self._rows.shape[1])

    def lookup(self, ids: Sequence[int], bucket: int) -> Array:
        """Rows float32 [bucket, d]; the rows behind the last token are zero."""
        out = np.zeros((bucket, self._rows.shape[1]), np.float32)
        index = np.asarray(ids, dtype=np.intp)
        np.multiply(self._rows.take(index, 0), self._scale.take(index, 0), out=out[: len(index)])
        return out


@functools.lru_cache(maxsize=512)
def bias(n: int, bucket: int, past: int = 0) -> Array:
    """Attention bias float32 [T, P+T], T = bucket, P = past: 0 where row t may look, else -100.

    A row sees all of the past and the real tokens up to itself; n of the T rows are real.
    """
    row = np.arange(bucket)[:, None]
    column = np.arange(past + bucket)[None, :] - past
    seen = (column <= row) & (column < n)
    table = np.where(seen, np.float32(0.0), BLOCKED)
    table.flags.writeable = False
    return table


@functools.lru_cache(maxsize=128)
def position_tables(bucket: int, dims: int, past: int = 0) -> tuple[Array, Array]:
    """Rotary tables cos, sin float32 [T, dims] for positions past … past + T - 1.

    Both halves of a row hold the same angles; the sign of the swapped half is in the graph's weights.
    """
    frequency = ROPE_BASE ** (-np.arange(dims // 2, dtype=np.float64) * 2.0 / dims)
    angle = (past + np.arange(bucket, dtype=np.float64))[:, None] * frequency[None, :]
    angle = np.concatenate([angle, angle], axis=1)
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    cos.flags.writeable = sin.flags.writeable = False
    return cos, sin
