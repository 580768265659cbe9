"""A least-recently-used mapping bounded by entries and by bytes. Not thread-safe: its owner locks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """Keeps what was used last; what leaves is handed to `dropped`.

    An entry larger than the whole byte bound is not kept, unless `keep_newest`: then the newest entry
    stays whatever its size, because its user is about to run it.
    """

    __slots__ = ("_bytes", "_dropped", "_entries", "_keep_newest", "_max_bytes", "_max_entries")

    def __init__(
        self,
        max_entries: int,
        max_bytes: int,
        dropped: Callable[[V], None] | None = None,
        *,
        keep_newest: bool = False,
    ) -> None:
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._dropped = dropped
        self._keep_newest = keep_newest
        self._bytes = 0

    def __len__(self) -> int:
        """Entries held."""
        return len(self._entries)

    @property
    def held_bytes(self) -> int:
        """Bytes held, as their owners stated them."""
        return self._bytes

    def get(self, key: K) -> V | None:
        """The entry, now the most recently used, or None."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, size_bytes: int) -> None:
        """Hold an entry; older ones leave until the bounds hold."""
        self.drop(key)
        self._entries[key] = (value, size_bytes)
        self._bytes += size_bytes
        while self._entries and (len(self._entries) > self._max_entries or self._bytes > self._max_bytes):
            if self._keep_newest and len(self._entries) == 1:
                break
            self.drop(next(iter(self._entries)))

    def drop(self, key: K) -> None:
        """Let one entry go, if it is there."""
        found = self._entries.pop(key, None)
        if found is not None:
            self._bytes -= found[1]
            if self._dropped is not None:
                self._dropped(found[0])

    def clear(self) -> None:
        """Let all go."""
        for key in list(self._entries):
            self.drop(key)
