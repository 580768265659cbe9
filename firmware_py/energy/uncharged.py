"""Work of this node that no run record tells of: re-tests, runs that failed.

Nobody is charged for it, yet the rail shows it. A meter window that it touches says nothing: not of the idle draw,
nor of what the runs beside it cost.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from firmware_py.energy.integrate import Span

_KEEP = 4096  # more than fail in the few seconds until their window is settled
_LEAST_S = 1e-3  # what is shorter drowns in the idle draw's own scatter, and must not void a window each time


class UnchargedWork:
    """Spans of such work, past and going on. Thread-safe."""

    def __init__(self) -> None:
        self._past: deque[Span] = deque(maxlen=_KEEP)
        self._going_on: dict[object, float] = {}  # when each began; a run that may yet be charged is one, too
        self._lock = threading.Lock()

    @contextmanager
    def during(self, now_s: Callable[[], float]) -> Iterator[None]:
        """What runs inside is such work, from its begin on; `now_s` is the monotonic clock."""
        work = self.begin(now_s())
        try:
            yield
        finally:
            self.end(work, now_s())

    def begin(self, begin_s: float) -> object:
        """Work began that nobody is charged for, or that may turn out so; `end` takes what this returns."""
        work = object()
        with self._lock:
            self._going_on[work] = begin_s
        return work

    def end(self, work: object, end_s: float | None) -> None:
        """It ended at a monotonic second; None: it is charged after all."""
        with self._lock:
            begin_s = self._going_on.pop(work)
            if end_s is not None and end_s - begin_s >= _LEAST_S:
                self._past.append(Span(begin_s, end_s))

    def touches(self, span: Span) -> bool:
        """Whether any of it ran within a span of the past."""
        with self._lock:
            return any(begin_s < span.end_s for begin_s in self._going_on.values()) or any(
                work.begin_s < span.end_s and work.end_s > span.begin_s for work in self._past
            )
