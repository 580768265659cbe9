"""The operators of a TFLite file, read straight from its flatbuffer.

Only what a delegate asks before it takes an operator: its name, and type, shape, constness and number of
scales of what it reads and writes. Field numbers are those of the TFLite schema, version 3; names of
operators stand in `operators/builtin.txt`, one a line, in the order of the schema's `BuiltinOperator`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import prod

from firmware_py.contracts.errors import BundleFormatError

# Schema's TensorType, as far as graphs of ours have it.
TYPES = {
    0: "float32",
    1: "float16",
    2: "int32",
    3: "uint8",
    4: "int64",
    6: "bool",
    7: "int16",
    9: "int8",
    17: "int4",
}
_MAX_ITEMS = 100_000


@dataclass(frozen=True, slots=True)
class Tensor:
    """What an operator reads or writes; `scales` is 0 without quantisation, 1 per tensor, more per channel.

    `index` tells it from the file's others. `symmetric`: no zero point but 0.
    """

    index: int
    dtype: str
    shape: tuple[int, ...]
    constant: bool
    scales: int
    symmetric: bool

    @property
    def rows(self) -> int:
        """How many vectors of the last axis it holds."""
        return prod(self.shape[:-1])


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator in execution order."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read_operators(data: bytes) -> list[Operator]:
    """The operators of a file's only subgraph.

    Raises:
        BundleFormatError: the bytes are no TFLite file.
    """
    try:
        return _read(data)
    except (struct.error, IndexError, KeyError, UnicodeDecodeError) as error:
        msg = "a graph is not a TFLite file"
        raise BundleFormatError(msg) from error


def _read(data: bytes) -> list[Operator]:
    if data[4:8] != b"TFL3":
        msg = "a graph is not a TFLite file"
        raise BundleFormatError(msg)
    model = _Table(data, struct.unpack_from("<I", data, 0)[0])
    codes = [_name(code) for code in model.tables(1)]
    graph = model.tables(2)[0]
    filled = [bool(buffer.length(0)) or bool(buffer.number(1, "<Q")) for buffer in model.tables(4)]
    tensors = [_tensor(index, one, filled) for index, one in enumerate(graph.tables(0))]
    return [
        Operator(
            codes[one.number(0, "<I")],
            tuple(tensors[place] for place in one.numbers(1) if place >= 0),
            tuple(tensors[place] for place in one.numbers(2) if place >= 0),
        )
        for one in graph.tables(3)
    ]


def _tensor(index: int, table: _Table, filled: list[bool]) -> Tensor:
    quantised = table.table(4)
    dtype = table.number(1, "<b")
    return Tensor(
        index,
        dtype=TYPES.get(dtype, str(dtype)),
        shape=tuple(table.numbers(0)),
        constant=filled[table.number(2, "<I")],
        scales=0 if quantised is None else quantised.length(2),
        symmetric=quantised is None or not any(quantised.numbers(3, "q")),
    )


def _name(code: _Table) -> str:
    # Codes above 127 did not fit the old field.
    return _names()[max(code.number(0, "<b"), code.number(3, "<i"))]


@cache
def _names() -> tuple[str, ...]:
    text = (files(__package__) / "operators" / "builtin.txt").read_text("utf-8")
    return tuple(text.split())


class _Table:
    """A flatbuffer table: fields by number, absent ones zero or empty."""

    __slots__ = ("_data", "_fields", "_place")

    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place
        virtual = place - int(struct.unpack_from("<i", data, place)[0])
        (size,) = struct.unpack_from("<H", data, virtual)
        self._fields = struct.unpack_from(f"<{(size - 4) // 2}H", data, virtual + 4)

    def number(self, field: int, form: str) -> int:
        """A scalar."""
        place = self._field(field)
        return 0 if place is None else int(struct.unpack_from(form, self._data, place)[0])

    def length(self, field: int) -> int:
        """Of a vector."""
        place = self._vector(field)
        return 0 if place is None else int(struct.unpack_from("<I", self._data, place)[0])

    def numbers(self, field: int, form: str = "i") -> list[int]:
        """A vector of int32, or of int64 with form `q`."""
        place, count = self._vector(field), self._count(field)
        return [] if place is None else list(struct.unpack_from(f"<{count}{form}", self._data, place + 4))

    def table(self, field: int) -> _Table | None:
        """A table."""
        place = self._field(field)
        return None if place is None else _Table(self._data, self._follow(place))

    def tables(self, field: int) -> list[_Table]:
        """A vector of tables."""
        place, count = self._vector(field), self._count(field)
        if place is None:
            return []
        return [_Table(self._data, self._follow(place + 4 + 4 * number)) for number in range(count)]

    def _count(self, field: int) -> int:
        count = self.length(field)
        if count > _MAX_ITEMS:
            raise IndexError(count)
        return count

    def _field(self, field: int) -> int | None:
        offset = self._fields[field] if field < len(self._fields) else 0
        return self._place + offset if offset else None

    def _vector(self, field: int) -> int | None:
        place = self._field(field)
        return None if place is None else self._follow(place)

    def _follow(self, place: int) -> int:
        return place + int(struct.unpack_from("<I", self._data, place)[0])
