"""When nothing more comes for filters that were left: pure decisions about UNSUBSCRIBE and what arrives meanwhile.

What was left may still be on its way, and a broker sends more as we acknowledge: a filter is ended once more until
nothing of theirs came before the confirmation. Everything on one connection is in order. A broker that does not confirm
what has ended before (iotcore; MQTT 5, 3.10.4, asks for it) has a while, which must be silent.
"""

from __future__ import annotations

import math

SILENCE_S = 0.5


class Ending:
    """Ended filters of one link: packet ids of UNSUBSCRIBEs without a confirmation, and how many messages came of what was left."""

    def __init__(self) -> None:
        """Nothing was ended, nothing came."""
        self._unconfirmed: set[int] = set()
        self._came = 0
        self.begin()

    def begin(self) -> None:
        """Forget what was asked in an earlier round."""
        self._asked_at, self._asked_s = -1, math.inf
        self._again: int | None = None

    def sent(self, mid: int) -> None:
        """An UNSUBSCRIBE went out."""
        self._unconfirmed.add(mid)

    def confirmed(self, mid: int) -> None:
        """Its UNSUBACK came."""
        self._unconfirmed.discard(mid)

    def came(self) -> None:
        """A message of a filter that was left has been handled."""
        self._came += 1

    def link_ended(self) -> None:
        """What a connection did not confirm, the next one will not."""
        self._unconfirmed.clear()

    def ask_again(self, mid: int, now_s: float) -> None:
        """A filter that had been left was ended once more, with this packet id."""
        self.sent(mid)
        self._asked_at, self._asked_s, self._again = self._came, now_s, mid

    def heard(self, now_s: float, *, silent: bool) -> None:
        """So late it is; `silent`: nothing lies unread. Silence confirms, after a while, what had ended before."""
        if silent and self._again is not None and now_s > self._asked_s + SILENCE_S:
            self._unconfirmed.discard(self._again)

    def waits(self) -> bool:
        """Whether a confirmation is still to come."""
        return bool(self._unconfirmed)

    @property
    def over(self) -> bool:
        """Whether nothing came since a filter was ended once more."""
        return self._asked_at == self._came
