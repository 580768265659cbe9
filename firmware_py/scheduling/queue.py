"""DynamicPriorityQueue: bounded, the most urgent first, nobody starves, what gives way hears why.

Time is cut into epochs of `ageing_s`. An entry's level is its priority minus the epoch it came in, so
that every epoch of waiting lifts it above newcomers by one priority; order is level, then earliest
deadline, then arrival. The level never changes while waiting, therefore heaps suffice: push and pop
take O(log n). An entry of priority p is overtaken only by entries that come within (9 - p + 1) epochs
of it. Not thread-safe: its owner locks.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import (
    CiuicError,
    DeadlinePassedError,
    QueueFullError,
    ShedError,
)

T = TypeVar("T")

DEFAULT_BOUND = 64
DEFAULT_AGEING_S = 0.5


@dataclass(frozen=True, slots=True)
class Dropped(Generic[T]):
    """What left the queue without being run, and the error that its asker gets."""

    item: T
    error: CiuicError


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    item: T
    level: int
    due_s: float
    seq: int
    kind: str


class DynamicPriorityQueue(Generic[T]):
    """Holds at most `bound` entries."""

    __slots__ = ("_ageing_s", "_by_due", "_clock", "_entries", "_first", "_last", "_levels", "_seq", "bound")

    def __init__(self, clock: Clock, bound: int = DEFAULT_BOUND, ageing_s: float = DEFAULT_AGEING_S) -> None:
        self._clock = clock
        self._ageing_s = ageing_s
        self.bound = bound
        self._seq = 0
        self._entries: dict[int, _Entry[T]] = {}
        self._levels: Counter[tuple[int, str]] = Counter()
        # Three views on the same entries; what is gone from `_entries` is skipped when it surfaces.
        self._first: list[tuple[int, float, int]] = []
        self._last: list[tuple[int, float, int]] = []
        self._by_due: list[tuple[float, int]] = []

    def __len__(self) -> int:
        """Entries waiting."""
        return len(self._entries)

    def push(
        self, item: T, priority: int, due_s: float, retry_after_s: float, kind: str = ""
    ) -> tuple[int | None, list[Dropped[T]]]:
        """Let an entry in and return its ticket with what had to leave.

        The ticket is None when the entry itself is refused: past its deadline, or the least urgent of
        a full queue. `retry_after_s` is what the shed are told; entries are counted by `kind`.
        """
        if due_s <= self._clock.now_s():
            return None, [Dropped(item, _passed())]
        dropped = self.expired() if len(self._entries) >= self.bound else []
        self._seq += 1
        entry = _Entry(item, priority - int(self._clock.now_s() / self._ageing_s), due_s, self._seq, kind)
        if len(self._entries) >= self.bound:
            least = self._least_urgent()
            if least is None or (-least.level, least.due_s) <= (-entry.level, entry.due_s):
                msg = f"the queue holds {self.bound} requests, none of them less urgent"
                return None, [*dropped, Dropped(item, QueueFullError(msg, retry_after_s=retry_after_s))]
            self._remove(least)
            msg = f"a more urgent request took the place in the queue of {self.bound}"
            dropped.append(Dropped(least.item, ShedError(msg, retry_after_s=retry_after_s)))
        self._add(entry)
        return entry.seq, dropped

    def pop(self) -> tuple[T | None, list[Dropped[T]]]:
        """Take the most urgent entry that still has time, with those found past their deadline."""
        dropped: list[Dropped[T]] = []
        now_s = self._clock.now_s()
        while self._first:
            entry = self._entries.get(heapq.heappop(self._first)[2])
            if entry is None:
                continue
            self._remove(entry)
            if entry.due_s > now_s:
                return entry.item, dropped
            dropped.append(Dropped(entry.item, _passed()))
        return None, dropped

    def expired(self) -> list[Dropped[T]]:
        """Remove every entry past its deadline."""
        dropped = []
        now_s = self._clock.now_s()
        while self._by_due and self._by_due[0][0] <= now_s:
            entry = self._entries.get(heapq.heappop(self._by_due)[1])
            if entry is not None:
                self._remove(entry)
                dropped.append(Dropped(entry.item, _passed()))
        return dropped

    def cancel(self, ticket: int) -> T | None:
        """Take an entry out for its asker; None when it is no longer waiting, whatever became of it."""
        entry = self._entries.get(ticket)
        if entry is None:
            return None
        self._remove(entry)
        return entry.item

    def drain(self, error: Callable[[], CiuicError]) -> list[Dropped[T]]:
        """Empty the queue; every entry gets an error of its own."""
        dropped = [Dropped(entry.item, error()) for entry in self._entries.values()]
        self._entries.clear()
        self._levels.clear()
        self._compact()
        return dropped

    def ahead(self, priority: int) -> dict[str, int]:
        """Entries of each kind that a newcomer of this priority would wait for, at most."""
        level = priority - int(self._clock.now_s() / self._ageing_s)
        found: dict[str, int] = {}
        for (other, kind), count in self._levels.items():
            if other >= level:
                found[kind] = found.get(kind, 0) + count
        return found

    def _add(self, entry: _Entry[T]) -> None:
        self._entries[entry.seq] = entry
        self._levels[entry.level, entry.kind] += 1
        heapq.heappush(self._first, (-entry.level, entry.due_s, entry.seq))
        heapq.heappush(self._last, (entry.level, -entry.due_s, -entry.seq))
        heapq.heappush(self._by_due, (entry.due_s, entry.seq))

    def _remove(self, entry: _Entry[T]) -> None:
        del self._entries[entry.seq]
        counted = entry.level, entry.kind
        self._levels[counted] -= 1
        if not self._levels[counted]:
            del self._levels[counted]
        # The heaps keep at most 4 dead for each living entry: amortised O(1) a removal.
        if len(self._last) + len(self._by_due) > 8 * len(self._entries) + 64:
            self._compact()

    def _least_urgent(self) -> _Entry[T] | None:
        while self._last:
            entry = self._entries.get(-self._last[0][2])
            if entry is not None:
                return entry
            heapq.heappop(self._last)
        return None

    def _compact(self) -> None:
        entries = self._entries.values()
        self._first = [(-entry.level, entry.due_s, entry.seq) for entry in entries]
        self._last = [(entry.level, -entry.due_s, -entry.seq) for entry in entries]
        self._by_due = [(entry.due_s, entry.seq) for entry in entries]
        heapq.heapify(self._first)
        heapq.heapify(self._last)
        heapq.heapify(self._by_due)


def _passed() -> CiuicError:
    return DeadlinePassedError("the deadline was over while the request waited")
