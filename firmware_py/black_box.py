"""What a node was answering when its process crashed: kept in memory that its keeper holds.

slot 0 … 15     digest of the text in that slot, 0 while it rests; the keeper clears them after a death that was no crash
suspect 0 … 46  digests of texts that were being answered when a process crashed, a ring
the last entry  how many suspects there were so far
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from typing import TYPE_CHECKING

from firmware_py.contracts.errors import GraphError
from firmware_py.keeper import KEPT, MEMORY_BYTES, RUNNING_BYTES

if TYPE_CHECKING:
    from typing import Self

_ENTRY = struct.Struct("<Q")
SLOTS = RUNNING_BYTES // _ENTRY.size
_SUSPECTS = MEMORY_BYTES // _ENTRY.size - SLOTS - 1
_COUNT = SLOTS + _SUSPECTS


class BlackBox:
    """Digests of running texts, in `MEMORY_BYTES` bytes that outlive this process."""

    def __init__(self, memory: mmap | bytearray) -> None:
        """Take over: what ran when the last process crashed is a suspect from now on."""
        self._memory = memory
        for slot in range(SLOTS):
            left = self._read(slot)
            if left:
                seen = self._read(_COUNT)
                self._write(SLOTS + seen % _SUSPECTS, left)
                self._write(_COUNT, seen + 1)
                self._write(slot, 0)
        self.suspects = frozenset(self._read(SLOTS + place) for place in range(_SUSPECTS)) - {0}

    @classmethod
    def adopt(cls) -> Self | None:
        """The box that the keeper handed down; None where nothing keeps this process."""
        _, _, descriptor = os.environ.get(KEPT, "").partition(":")
        return cls(mmap(int(descriptor), MEMORY_BYTES)) if descriptor.isdecimal() else None

    @contextmanager
    def running(self, slot: int, task: str, text: str) -> Iterator[None]:
        """Note the text while its task's graphs run.

        Raises:
            GraphError: it was being answered when a process of this node died.
        """
        digest = _digest(f"{task}\0{text}")
        if digest in self.suspects:
            msg = "the node's process died when it answered this text before"
            raise GraphError(
                msg, hint="Say it in other words. The node's log has the crash; please report it."
            )
        self._write(slot % SLOTS, digest)
        try:
            yield
        finally:
            self._write(slot % SLOTS, 0)

    def _read(self, place: int) -> int:
        value: int = _ENTRY.unpack_from(self._memory, place * _ENTRY.size)[0]
        return value

    def _write(self, place: int, value: int) -> None:
        _ENTRY.pack_into(self._memory, place * _ENTRY.size, value)


def _digest(text: str) -> int:
    """Never 0, which means rest."""
    made = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_ENTRY.size).digest()
    return int.from_bytes(made, "little") or 1
