"""Timers of one thread: a heap of jobs by monotonic second. Not thread-safe; its thread owns it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

Job = Callable[[], None]


class Timer:
    """One pending job; `cancel` may come from any thread."""

    __slots__ = ("_job",)

    def __init__(self, job: Job) -> None:
        self._job: Job | None = job

    @property
    def cancelled(self) -> bool:
        """Whether it will not run, or has."""
        return self._job is None

    def cancel(self) -> None:
        """Do not run it, and let go of what it holds; a second call does nothing."""
        self._job = None

    def run(self) -> None:
        """Run the job, unless it was cancelled meanwhile."""
        job, self._job = self._job, None
        if job is not None:
            job()


class Timers:
    """Jobs to run at or after their second."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()

    def add(self, due_s: float, timer: Timer) -> None:
        """Run the timer's job at monotonic second `due_s`."""
        heapq.heappush(self._heap, (due_s, next(self._count), timer))

    def wait_s(self, now_s: float, most_s: float) -> float:
        """Seconds until the first job, between 0 and `most_s`."""
        self._drop_cancelled()
        return min(most_s, max(0.0, self._heap[0][0] - now_s)) if self._heap else most_s

    def due(self, now_s: float) -> list[Job]:
        """Take the jobs whose second has come, in order."""
        jobs: list[Job] = []
        while self._heap and self._heap[0][0] <= now_s:
            timer = heapq.heappop(self._heap)[2]
            if not timer.cancelled:
                jobs.append(timer.run)
        return jobs

    def _drop_cancelled(self) -> None:
        while self._heap and self._heap[0][2].cancelled:
            heapq.heappop(self._heap)
