"""Which broker of the list is next, and when: the first one after a loss, the next one where a link did not hold.

A full round of the list is followed by a pause.

Pure: seconds are arguments, jitter comes from the random source that is handed in.
"""

from __future__ import annotations

import random

from mqtt_bridge.transport.address import BrokerAddress

FIRST_BACKOFF_S = 0.02
MOST_BACKOFF_S = 2.0
STABLE_S = 1.0  # a link that held this long is followed by the next one at once
_MOST_FAILURES = 16  # more would overflow the power long after the bound


class Preference:
    """The state of reconnecting over a list of brokers in their order of preference."""

    __slots__ = ("_at", "_brokers", "_failures", "_random", "_up_s", "retry_s")

    def __init__(self, brokers: tuple[BrokerAddress, ...], source: random.Random) -> None:
        self._brokers = brokers
        self._random = source
        self._at = 0
        self._failures = 0
        self._up_s = 0.0
        self.retry_s = 0.0  # the monotonic second of the next attempt

    @property
    def broker(self) -> BrokerAddress:
        """Which one is in use, or is tried next."""
        return self._brokers[self._at]

    @property
    def at(self) -> int:
        """Its place in the list; 0 is preferred most."""
        return self._at

    def go_to(self, at: int) -> None:
        """Take the broker at this place next, at once."""
        self._at = at
        self.retry_s = 0.0

    def failed(self, now_s: float) -> bool:
        """It did not answer; True after a full round of the list, which is followed by a pause."""
        self._at = (self._at + 1) % len(self._brokers)
        if self._at:
            return False
        self.back_off(now_s)
        return True

    def held_s(self, now_s: float) -> float:
        """How long the confirmed link has lasted."""
        return now_s - self._up_s

    def up(self, now_s: float) -> None:
        """The link is confirmed."""
        self._up_s = now_s

    def lost(self, now_s: float, *, taken: bool = False) -> bool:
        """A confirmed link is gone; True if it had held, so that the first broker is next, at once.

        One that had not is as good as no answer. `taken` by another client: then the first is next after a pause, for
        on another broker there would be two of one id.
        """
        if now_s - self._up_s >= STABLE_S:
            self._failures = 0
            self.go_to(0)
            return True
        if taken:
            self._at = 0
            self.back_off(now_s)
        else:
            self.failed(now_s)
        return False

    def rest(self, now_s: float, pause_s: float) -> None:
        """Pause for so long before the next attempt."""
        self.retry_s = now_s + pause_s

    def back_off(self, now_s: float) -> None:
        """Pause before the next attempt, twice as long each time up to a bound."""
        backoff_s = min(MOST_BACKOFF_S, FIRST_BACKOFF_S * 2**self._failures)
        self._failures = min(self._failures + 1, _MOST_FAILURES)
        self.retry_s = now_s + backoff_s * self._random.uniform(0.5, 1.0)
