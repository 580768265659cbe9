"""What heads read of hidden rows, into buffers that are kept per length.

Between two requests a board does other work, and each numpy call then costs microseconds before it
computes anything: arrays are made once, views of them too, and what two calls can do in one is one.

    r  = h[:n] / sqrt(sum(h²) + d eps)        [n, d]   a row of RMSNorm over sqrt(d), which the weights carry
    pool = (mean(r), r[last], max(r), 1)      [3d + 1] the one meets the bias in the weights
    wide = r[t - 1], r[t] … r[t + 3],         [n, 6d]  rows beside each row, zeros beyond both ends,
           max of r[t], r[t + 1] …                     and what is still to come, where the trunk is blind
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

EPSILON = 1e-5  # of the RMSNorm, as in the trunk
WINDOW = (-1, 0, 1, 2, 3)  # rows beside its own that a tag sees; more to the right, where the trunk is blind
BLOCKS = len(WINDOW) + 1
_BEFORE, _BEHIND = -WINDOW[0], WINDOW[-1]
_FLOAT = np.dtype(np.float32)


class Room:
    """Where a tag head writes of rows of one length: `hidden` and `mixed` float32 [padded, size].

    `beside` is each hidden row with its two neighbours, [padded, 3 size]: a view, with zeros beyond both ends.
    `behind` is the hidden row that is none where `padded` is one more than the length: to be made zero.
    """

    __slots__ = ("behind", "beside", "hidden", "mixed")

    def __init__(self, n: int, padded: int, size: int) -> None:
        rows = np.zeros((padded + 2, size), _FLOAT)
        self.hidden = rows[1:-1]
        self.behind = rows[n + 1] if n < padded else None
        step = _FLOAT.itemsize
        self.beside = np.ndarray((padded, 3 * size), _FLOAT, rows, strides=(size * step, step))
        self.mixed = np.zeros((padded, size), _FLOAT)


class Read:
    """What was read last of rows of one length; valid until the same reader reads again.

    `pool` float32 [3d + 1]; `wide()` float32 [padded, 6d]. `n` rows were real tokens, `padded` is n or, where
    that is odd, one more: OpenBLAS takes longer for 7 rows than for 8. What stands in the row behind n means nothing.
    """

    __slots__ = ("_backward", "_behind", "_beside", "_column", "_ends", "_mix", "_most", "_onward", "_rooms", "_rows", "_sizes", "_square", "_squares", "_wide", "_windows", "n", "padded", "pool")  # fmt: skip

    def __init__(self, n: int, buffers: _Buffers) -> None:
        size = buffers.width
        self.n = n
        self.padded = n + n % 2
        self._rows = buffers.rows[_BEFORE : _BEFORE + n]
        self._behind = buffers.rows[_BEFORE + n : _BEFORE + n + _BEHIND]
        self._sizes = buffers.sizes[:n]
        self._column = self._sizes[:, None]
        self._squares = buffers.squares[:n]  # the last column is the epsilon
        self._square = self._squares[:, :size]
        self._mix = np.zeros((2, n), _FLOAT)  # one product makes the mean and fetches the last row
        self._mix[0] = 1.0 / n
        self._mix[1, -1] = 1.0
        self.pool = buffers.pool
        self._ends = buffers.pool[: 2 * size].reshape(2, size)
        self._most = buffers.pool[2 * size : 3 * size]
        step = _FLOAT.itemsize * size
        beside = len(WINDOW) * size
        self._windows = np.ndarray((n, beside), _FLOAT, buffers.rows, strides=(step, _FLOAT.itemsize))
        self._wide = buffers.wide[: self.padded * BLOCKS * size].reshape(self.padded, BLOCKS * size)
        self._beside, self._onward = self._wide[:n, :beside], self._wide[:n][::-1, beside:]
        self._backward = self._rows[::-1]
        self._rooms: dict[int, Room] = {}

    def take(self, h: Array, ones: Array, longest: int) -> None:
        """Norm and pool the first n rows of h; `longest` is the largest n that was read into these buffers."""
        rows, sizes = self._rows, self._sizes
        kept = h[: self.n]
        np.multiply(kept, kept, out=self._square)
        self._squares.dot(ones, sizes)
        np.sqrt(sizes, out=sizes)
        np.divide(kept, self._column, out=rows)
        if longest > self.n:  # a longer text left its rows there, whatever was read since
            self._behind.fill(0.0)
        self._mix.dot(rows, self._ends)
        np.maximum.reduce(rows, axis=0, out=self._most)

    def wide(self) -> Array:
        """Each row with its neighbours."""
        np.copyto(self._beside, self._windows)
        np.maximum.accumulate(self._backward, axis=0, out=self._onward)
        return self._wide

    def room(self, size: int) -> Room:
        """Room for a tag head of so many columns; the same at every call."""
        found = self._rooms.get(size)
        if found is None:
            found = self._rooms[size] = Room(self.n, self.padded, size)
        return found


class _Buffers:
    """Room for so many rows."""

    __slots__ = ("pool", "rows", "sizes", "squares", "wide", "width")

    def __init__(self, room: int, width: int) -> None:
        self.width = width
        self.rows = np.zeros((_BEFORE + room + _BEHIND, width), _FLOAT)
        self.sizes = np.zeros(room, _FLOAT)
        self.squares = np.full((room, width + 1), width * EPSILON, _FLOAT)
        self.pool = np.ones(3 * width + 1, _FLOAT)
        self.wide = np.zeros((room + 1) * BLOCKS * width, _FLOAT)


class Reader:
    """Reads rows of one width, one thread at a time; holds buffers for the longest text so far."""

    __slots__ = ("_buffers", "_longest", "_ones", "_reads", "_room", "width")

    def __init__(self, width: int, room: int = 16) -> None:
        self.width = width
        self._room = room
        self._longest = 0  # text that left its rows in the buffers
        self._ones = np.ones(width + 1, _FLOAT)
        self._buffers = _Buffers(room, width)
        self._reads: dict[int, Read] = {}

    def read(self, h: Array, n: int) -> Read:
        """Norm and pool the n real rows of h float32 [T, d]; both heads of an exit start from it."""
        said = self._reads.get(n) or self._make(n)
        said.take(h, self._ones, self._longest)
        self._longest = max(self._longest, n)
        return said

    def _make(self, n: int) -> Read:
        if n > self._room:
            self._room = max(n, 2 * self._room)
            self._buffers = _Buffers(self._room, self.width)
            self._longest = 0
            self._reads.clear()
        said = self._reads[n] = Read(n, self._buffers)
        return said
