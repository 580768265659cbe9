"""Time as an argument: monotonic seconds for durations, UTC for stamps that leave the process."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where a part reads the time from."""

    def now_s(self) -> float:
        """Monotonic seconds; only differences mean anything."""

    def utc(self) -> datetime:
        """Timezone-aware wall time, for stamps on the wire and in files."""

    def sleep(self, duration_s: float) -> None:
        """Wait; a virtual clock just moves on."""


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    # Monotonic seconds of this machine (one epoch for all processes on Linux); read some ten times a request.
    now_s = staticmethod(time.monotonic)

    def utc(self) -> datetime:
        """Wall time in UTC."""
        return datetime.now(UTC)

    def sleep(self, duration_s: float) -> None:
        """Block the calling thread."""
        if duration_s > 0:
            time.sleep(duration_s)


class VirtualClock:
    """A clock that moves only when told: simulations and tests run in no time."""

    __slots__ = ("_now_s", "_start")

    def __init__(self, now_s: float = 0.0, start: datetime | None = None) -> None:
        self._now_s = now_s
        self._start = start or datetime(2026, 1, 1, tzinfo=UTC)

    def now_s(self) -> float:
        """Virtual seconds so far."""
        return self._now_s

    def utc(self) -> datetime:
        """The start date plus the virtual seconds."""
        return self._start + timedelta(seconds=self._now_s)

    def sleep(self, duration_s: float) -> None:
        """Move on at once."""
        self.advance(max(0.0, duration_s))

    def advance(self, duration_s: float) -> None:
        """Move the clock forward.

        Raises:
            ValueError: the duration is negative.
        """
        if duration_s < 0:
            msg = f"a clock does not run backwards ({duration_s} s)"
            raise ValueError(msg)
        self._now_s += duration_s
