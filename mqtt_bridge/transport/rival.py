"""Whether another client uses this link's id: a broker keeps one link an id, so both take it from each other for ever.

One of them has to give way. Who was there first sees a link end that had lasted, comes back at once and takes it
again; who came second sees only young links end, so it is the first to have seen enough. Only what a broker says
counts (reason code 0x8E of MQTT 5): a link that ends without a word may have ended for any reason.

Pure: seconds are arguments.
"""

from __future__ import annotations

YOUNG_S = 5.0
_ENOUGH = 2  # how many young links must have been taken
_FIRST_PAUSE_S, _MOST_PAUSE_S = 5.0, 60.0


class Rival:
    """What the ends of an id's links say."""

    __slots__ = ("_taken", "fresh")

    def __init__(self) -> None:
        self.fresh = True  # no link has lasted yet
        self._taken = 0  # young links, since one lasted

    def ended(self, held_s: float, *, taken: bool) -> float | None:
        """A link ended after `held_s` seconds; `taken`: the broker says that another client has the id now.

        Returns the seconds to wait, longer each time up to a minute, where it is time to give way; else null.
        """
        if held_s >= YOUNG_S:
            self.fresh = False
            self._taken = 0
        elif taken:
            self._taken += 1
            if self._taken >= _ENOUGH:
                return min(_MOST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._taken - _ENOUGH, 4))
        return None
