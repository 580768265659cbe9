"""DynamicPriorityQueue: bounded, the most urgent first, nobody starves, what gives way hears why.

Time is cut into epochs of `ageing_s`. An entry's level is its priority minus the epoch it came in, so
that every epoch of waiting lifts it above newcomers by one priority; order is level, then earliest
deadline, then arrival. The level never changes while waiting, therefore heaps suffice: push and pop
take O(log n). An entry of priority p is overtaken only by entries that come within (9 - p + 1) epochs
of it.

A full queue looks at all of its entries, O(n): the lowest level gives way, there the entry of whoever has most
waiting, of those the latest deadline. Entries of an asker with more than its share of the places have no age in this:
a flood of one asker costs that asker its own requests, not those of the quiet ones. Not thread-safe: who owns the
queue locks.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import (
    CiuicError,
    DeadlinePassedError,
    QueueFullError,
    ShedError,
)
from firmware_py.contracts.records import record

T = TypeVar("T")

DEFAULT_BOUND = 64
DEFAULT_AGEING_S = 0.5


@record(frozen=True, slots=True)
class Dropped(Generic[T]):
    """What left the queue without being run, and the error that its asker gets."""

    item: T
    error: CiuicError


@record(frozen=True, slots=True)
class Claim:
    """What an entry's place goes by: priority 0 to 9, monotonic deadline; `kind` and `asker` are counted by."""

    priority: int
    due_s: float
    kind: str = ""
    asker: str = ""


@record(frozen=True, slots=True)
class _Entry(Generic[T]):
    item: T
    claim: Claim
    level: int
    seq: int


class DynamicPriorityQueue(Generic[T]):
    """Holds at most `bound` entries."""

    __slots__ = (
        "_ageing_s",
        "_askers",
        "_by_due",
        "_clock",
        "_entries",
        "_first",
        "_levels",
        "_seq",
        "bound",
    )

    def __init__(self, clock: Clock, bound: int = DEFAULT_BOUND, ageing_s: float = DEFAULT_AGEING_S) -> None:
        self._clock = clock
        self._ageing_s = ageing_s
        self.bound = bound
        self._seq = 0
        self._entries: dict[int, _Entry[T]] = {}
        self._levels: Counter[tuple[int, str]] = Counter()
        self._askers: Counter[str] = Counter()
        # Two views on the same entries; what is gone from `_entries` is skipped when it surfaces.
        self._first: list[tuple[int, float, int]] = []
        self._by_due: list[tuple[float, int]] = []

    def __len__(self) -> int:
        """Entries waiting."""
        return len(self._entries)

    def push(self, item: T, claim: Claim, retry_after_s: float) -> tuple[int | None, list[Dropped[T]]]:
        """Let an entry in and return its ticket with what had to leave.

        The ticket is None when the entry itself is refused: past its deadline, or what gives way in
        a full queue. `retry_after_s` is what the shed are told.
        """
        if claim.due_s <= self._clock.now_s():
            return None, [Dropped(item, _passed())]
        dropped = self.expired() if len(self._entries) >= self.bound else []
        self._seq += 1
        entry = _Entry(item, claim, claim.priority - self._epoch(), self._seq)
        if len(self._entries) >= self.bound:
            gone = self._gives_way(entry)
            if gone is entry:
                msg = f"the queue holds {self.bound} requests, none of them less urgent"
                return None, [*dropped, Dropped(item, QueueFullError(msg, retry_after_s=retry_after_s))]
            self._remove(gone)
            msg = f"a more urgent request or a quieter asker's took the place in the queue of {self.bound}"
            dropped.append(Dropped(gone.item, ShedError(msg, retry_after_s=retry_after_s)))
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
            if entry.claim.due_s > now_s:
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
        self._askers.clear()
        self._compact()
        return dropped

    def ahead(self, priority: int) -> dict[str, int]:
        """Entries of each kind that a newcomer of this priority would wait for, at most."""
        level = priority - self._epoch()
        found: dict[str, int] = {}
        for (other, kind), count in self._levels.items():
            if other >= level:
                found[kind] = found.get(kind, 0) + count
        return found

    def _epoch(self) -> int:
        return int(self._clock.now_s() / self._ageing_s)

    def _gives_way(self, new: _Entry[T]) -> _Entry[T]:
        """Which of the entries and the new one there is no place for."""
        epoch, waiting = self._epoch(), self._askers + Counter((new.claim.asker,))
        share = (self.bound + 1) / len(waiting)

        def standing(entry: _Entry[T]) -> tuple[int, int, float, int]:
            count = waiting[entry.claim.asker]
            level = entry.level if count <= share else entry.claim.priority - epoch
            return level, -count, -entry.claim.due_s, -entry.seq

        return min((*self._entries.values(), new), key=standing)

    def _add(self, entry: _Entry[T]) -> None:
        self._entries[entry.seq] = entry
        self._levels[entry.level, entry.claim.kind] += 1
        self._askers[entry.claim.asker] += 1
        heapq.heappush(self._first, (-entry.level, entry.claim.due_s, entry.seq))
        heapq.heappush(self._by_due, (entry.claim.due_s, entry.seq))

    def _remove(self, entry: _Entry[T]) -> None:
        del self._entries[entry.seq]
        counted = entry.level, entry.claim.kind
        self._levels[counted] -= 1
        if not self._levels[counted]:
            del self._levels[counted]
        self._askers[entry.claim.asker] -= 1
        if not self._askers[entry.claim.asker]:
            del self._askers[entry.claim.asker]
        # The heaps keep at most 4 dead for each living entry: amortised O(1) a removal.
        if len(self._first) + len(self._by_due) > 8 * len(self._entries) + 64:
            self._compact()

    def _compact(self) -> None:
        entries = self._entries.values()
        self._first = [(-entry.level, entry.claim.due_s, entry.seq) for entry in entries]
        self._by_due = [(entry.claim.due_s, entry.seq) for entry in entries]
        heapq.heapify(self._first)
        heapq.heapify(self._by_due)


def _passed() -> CiuicError:
    return DeadlinePassedError("the deadline was over while the request waited")
