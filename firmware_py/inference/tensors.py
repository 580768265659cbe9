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
NORM_EPSILON = np.float32(1e-12)  # BERT's
_MAX_TABLE_BYTES = 256 * 1024 * 1024  # as float32: five times MiniLM's 30,522 rows of 384
_TABLE_TYPES = {"rows": np.dtype(np.int8), "nibbles": np.dtype(np.uint8)}
ROPE_BASE = 10_000.0  # Su et al. 2021, RoFormer, section 3.3


class Embedding:
    """The token table: 8-bit or 4-bit rows with one scale each; an encoder's also has positions and a norm.

    A row becomes float the first time that its token is seen, in a table whose untouched pages take no
    memory: the words of one household are few. `width` is d, the size of one row; `size` counts the rows,
    `places` the positions, None where every place has the same rows.
    """

    __slots__ = (
        "_floats",
        "_norm",
        "_packed",
        "_positions",
        "_rows",
        "_scale",
        "_seen",
        "places",
        "size",
        "width",
    )

    def __init__(
        self, rows: Array, scale: Array, positions: Array | None = None, norm: Array | None = None
    ) -> None:
        """Take rows and scale float16 or float32 [V].

        Args:
            rows: of the table, int8 [V, d], or uint8 [V, d/2]: two columns a byte, the even one in its low half, each + 8.
            scale: a row's numbers are its integers times this.
            positions: float [P, d], added to the row at each place; None where attention knows places itself.
            norm: float [2, d], gain and shift of the LayerNorm over each row behind that; None for no norm.

        Raises:
            BundleFormatError: another type or form.
        """
        if rows.dtype not in (np.int8, np.uint8) or rows.ndim != 2 or scale.shape != rows.shape[:1]:
            msg = "the embedding table is not 8-bit or 4-bit rows with one scale each"
            raise BundleFormatError(msg)
        self._packed = rows.dtype == np.uint8
        size, width = len(rows), rows.shape[1] * (2 if self._packed else 1)
        if 4 * size * width > _MAX_TABLE_BYTES:
            msg = f"the embedding table would take more than {_MAX_TABLE_BYTES} bytes"
            raise BundleFormatError(msg)
        self._rows = np.ascontiguousarray(rows)
        self._scale = np.ascontiguousarray(scale, dtype=np.float32)[:, None]
        wrong = positions is not None and (positions.ndim != 2 or positions.shape[1] != width)
        if wrong or (norm is not None and norm.shape != (2, width)):
            msg = "the embedding's positions or norm are of another width than its rows"
            raise BundleFormatError(msg)
        self._positions = None if positions is None else np.ascontiguousarray(positions, dtype=np.float32)
        self._norm = None if norm is None else np.ascontiguousarray(norm, dtype=np.float32)
        self.size, self.width = int(size), int(width)
        self.places = None if positions is None else len(positions)
        self._floats = np.zeros(
            (size + 1, width), np.float32
        )  # the last one stays zero: what is behind a text
        self._seen = bytearray(size)

    @classmethod
    def from_bytes(cls, npz: bytes) -> Embedding:
        """Read the `.npz` member with `rows` or `nibbles`, `scale`, perhaps `positions` and `norm`.

        Raises:
            BundleFormatError: the bytes are no such file.
        """
        arrays = load_arrays(npz)
        name = "nibbles" if "nibbles" in arrays else "rows"
        one = {name, "scale"} <= arrays.keys() and not _TABLE_TYPES.keys() <= arrays.keys()
        if not one or arrays[name].dtype != _TABLE_TYPES[name]:
            msg = "the embedding file lacks scale, or either rows of int8 or nibbles of uint8"
            raise BundleFormatError(msg)
        return cls(arrays[name], arrays["scale"], arrays.get("positions"), arrays.get("norm"))

    def lookup(self, ids: Sequence[int], bucket: int) -> Array:
        """Rows float32 [bucket, d]; the rows behind the last token are zero."""
        seen = self._seen
        for token in ids:
            if not seen[token]:  # two threads may both do this: to the same end
                row = _unpacked(self._rows[token]) if self._packed else self._rows[token]
                np.multiply(row, self._scale[token], out=self._floats[token])
                seen[token] = 1
        count = len(ids)
        out: Array = self._floats.take(np.array((*ids, *(len(seen),) * (bucket - count)), np.intp), 0)
        if self._positions is None and self._norm is None:
            return out
        kept = out[:count]
        if self._positions is not None:
            kept += self._positions[:count]
        if self._norm is not None:
            kept -= kept.mean(1, keepdims=True)
            kept /= np.sqrt(np.square(kept).mean(1, keepdims=True) + NORM_EPSILON)
            kept *= self._norm[0]
            kept += self._norm[1]
        return out


def _unpacked(row: Array) -> Array:
    """Whole numbers int8 [d] of a packed row uint8 [d/2]."""
    out = np.empty(2 * len(row), np.int8)
    out[::2], out[1::2] = row & 15, row >> 4
    return out - np.int8(8)


@functools.lru_cache(maxsize=512)
def bias(n: int, bucket: int, past: int = 0, *, causal: bool = True) -> Array:
    """Attention bias float32 [T, P+T], T = bucket, P = past: 0 where row t may look, else -100.

    A row sees all of the past and the real tokens up to itself, or all real tokens where attention is
    not causal; n of the T rows are real.
    """
    row = np.arange(bucket)[:, None]
    column = np.arange(past + bucket)[None, :] - past
    seen = (column <= row) & (column < n) if causal else (column < n) & (row >= 0)
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
