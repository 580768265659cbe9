"""Which delegates may be used: out after a failure, a longer pause each time, back after a passed test.

Pure but for its clock. Each change of state is logged once, with its reason.
"""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import dataclass

from firmware_py.contracts.clock import Clock

_log = logging.getLogger(__name__)

FIRST_BACK_OFF_S = 5.0
MAX_BACK_OFF_S = 300.0


@dataclass(slots=True)
class _Outage:
    retest_s: float
    back_off_s: float


class DelegateHealth:
    """State of every delegate of a board; all are in until they fail. Thread-safe."""

    __slots__ = ("_clock", "_first_s", "_lock", "_max_s", "_out")

    def __init__(
        self, clock: Clock, first_back_off_s: float = FIRST_BACK_OFF_S, max_back_off_s: float = MAX_BACK_OFF_S
    ) -> None:
        self._clock = clock
        self._first_s = first_back_off_s
        self._max_s = max_back_off_s
        self._out: dict[str, _Outage] = {}
        self._lock = threading.Lock()

    def usable(self, delegate: str) -> bool:
        """Whether requests may go there."""
        return delegate not in self._out

    def failed(self, delegate: str, reason: str) -> None:
        """Take a delegate out, or leave it out for twice as long as before; one that is barred stays it."""
        with self._lock:
            before = self._out.get(delegate)
            if before is not None and before.back_off_s == math.inf:
                return
            back_off_s = self._first_s if before is None else min(2.0 * before.back_off_s, self._max_s)
            self._out[delegate] = _Outage(self._clock.now_s() + back_off_s, back_off_s)
        if before is None:
            _log.warning("delegate %s is out: %s", delegate, reason)

    def bar(self, delegate: str, reason: str) -> None:
        """Take a delegate out for as long as this process lives."""
        with self._lock:
            self._out[delegate] = _Outage(math.inf, math.inf)
        _log.error("delegate %s stays out: %s", delegate, reason)

    def retest_due(self) -> tuple[str, ...]:
        """Delegates whose pause is over: run the golden rows on them, then say `passed` or `failed`."""
        if not self._out:
            return ()
        now_s = self._clock.now_s()
        with self._lock:
            return tuple(name for name, outage in self._out.items() if outage.retest_s <= now_s)

    def passed(self, delegate: str) -> None:
        """Let a delegate in again."""
        with self._lock:
            before = self._out.pop(delegate, None)
        if before is not None:
            _log.warning("delegate %s is back", delegate)
