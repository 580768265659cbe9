"""What a node was doing when its process crashed: kept in memory that its keeper holds.

text 0 … 15      digest of the text in that slot, 0 while it rests
library 0 … 15   digest of the delegate whose library that slot is in, 0 outside of any
                 the keeper clears both after a death that was no crash
blamed 0 … 15    digests of delegates in whose library a process crashed or hung, a ring
suspect 0 … 77   digests of texts that were being answered when a process crashed, a ring
the last two     how many of these there were so far

A process that dies while a slot is in a delegate's library dies by the library's fault, not by a text's: then each delegate
whose library was in use is blamed once, and no text. Nor is a text where the files that its graphs were mapped from
turn out to be damaged: then `acquit` takes its blame back.
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
_PLACES = MEMORY_BYTES // _ENTRY.size
SLOTS = RUNNING_BYTES // _ENTRY.size // 2
_BLAMED_COUNT, _SUSPECT_COUNT = _PLACES - 2, _PLACES - 1
_TEXTS, _LIBRARIES = range(SLOTS), range(SLOTS, 2 * SLOTS)
_BLAMED = range(2 * SLOTS, 3 * SLOTS)
_SUSPECTS = range(3 * SLOTS, _BLAMED_COUNT)


class BlackBox:
    """Digests of running texts and of delegates, in `MEMORY_BYTES` bytes that outlive this process."""

    def __init__(self, memory: mmap | bytearray) -> None:
        """Take over: what ran when the last process crashed is a suspect from now on."""
        self._memory = memory
        texts, libraries = ({*map(self._read, places)} - {0} for places in (_TEXTS, _LIBRARIES))
        for library in sorted(libraries):
            self._append(library, _BLAMED, _BLAMED_COUNT)
        new = sorted(texts) if not libraries else []
        for text in new:
            self._append(text, _SUSPECTS, _SUSPECT_COUNT)
        self._new = len(new)
        for place in (*_TEXTS, *_LIBRARIES):
            self._write(place, 0)
        self.suspects = self._all_suspects()
        self._blamed = [self._read(place) for place in _BLAMED]

    @classmethod
    def adopt(cls) -> Self | None:
        """The box that the keeper handed down; None where nothing keeps this process."""
        _, _, descriptor = os.environ.get(KEPT, "").partition(":")
        return cls(mmap(int(descriptor), MEMORY_BYTES)) if descriptor.isdecimal() else None

    def acquit(self) -> None:
        """What ran at the last crash is no suspect: the process ran other files than this one does.

        A file that is cut short under who has mapped it ends that process (SIGBUS), whatever it was at. Not known by
        the signal: the handler that writes the stack into the log may end of another one.
        """
        seen = self._read(_SUSPECT_COUNT)
        for number in range(seen - self._new, seen):
            self._write(_SUSPECTS[number % len(_SUSPECTS)], 0)
        self._write(_SUSPECT_COUNT, seen - self._new)
        self._new = 0
        self.suspects = self._all_suspects()

    @contextmanager
    def running(self, slot: int, task: str, text: str) -> Iterator[None]:
        """Note the text while its task's graphs run.

        Raises:
            GraphError: it was being answered when a process of this node died.
        """
        digest = _of(task, text)
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

    def suspected(self, task: str, text: str) -> bool:
        """Whether `running` would refuse it."""
        return _of(task, text) in self.suspects

    def enter(self, slot: int, delegate: str) -> None:
        """A slot's thread goes into a delegate's library; not into two at once."""
        self._write(SLOTS + slot % SLOTS, _digest(delegate))

    def leave(self, slot: int) -> None:
        """It came back."""
        self._write(SLOTS + slot % SLOTS, 0)

    def only(self, slot: int) -> None:
        """This slot's library is what ends the process now: nothing else that runs is to blame."""
        kept = self._read(SLOTS + slot % SLOTS)
        for place in (*_TEXTS, *_LIBRARIES):
            self._write(place, 0)
        self._write(SLOTS + slot % SLOTS, kept)

    def crashes(self, delegate: str) -> int:
        """How often a process of this node crashed or hung in a delegate's library, as far as is remembered."""
        return self._blamed.count(_digest(delegate))

    def _all_suspects(self) -> frozenset[int]:
        return frozenset(map(self._read, _SUSPECTS)) - {0}

    def _append(self, digest: int, ring: range, count: int) -> None:
        seen = self._read(count)
        self._write(ring[seen % len(ring)], digest)
        self._write(count, seen + 1)

    def _read(self, place: int) -> int:
        value: int = _ENTRY.unpack_from(self._memory, place * _ENTRY.size)[0]
        return value

    def _write(self, place: int, value: int) -> None:
        _ENTRY.pack_into(self._memory, place * _ENTRY.size, value)


def _of(task: str, text: str) -> int:
    return _digest(f"{task}\0{text}")


def _digest(text: str) -> int:
    """Never 0, which means rest."""
    made = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_ENTRY.size).digest()
    return int.from_bytes(made, "little") or 1
