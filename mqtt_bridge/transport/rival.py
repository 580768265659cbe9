"""Whether another client uses this link's id: a broker keeps one link an id, so both take it from each other for ever.

One of them has to give way. Who was there first sees a link end that had lasted, comes back at once and takes it
again; who came second sees only young links end, so it is the first to have seen enough. MQTT 5 brokers may say that
a link was taken (reason code 0x8E; mosquitto 2.0.11 and iotcore do not); else only ends right after the start speak for it, and it takes more of them.

Pure: seconds are arguments.
"""

from __future__ import annotations

YOUNG_S = 5.0
_AT_ONCE_S = 1.0
_TOLD, _SUSPECTED = 2, 5  # how many ends in a row are enough
_FIRST_PAUSE_S, _MOST_PAUSE_S = 5.0, 60.0


class Rival:
    """What the ends of an id's links say."""

    __slots__ = ("_pauses", "_suspected", "_told", "fresh")

    def __init__(self) -> None:
        self.fresh = True  # no link has lasted yet
        self._told = self._suspected = self._pauses = 0

    def ended(self, held_s: float, *, told: bool) -> float | None:
        """A confirmed link ended after `held_s` seconds; `told`: the broker says that another client has the id now.

        Returns the seconds to wait, longer each time up to a minute, where it is time to give way; else null.
        """
        young, at_once = held_s < YOUNG_S, held_s < _AT_ONCE_S
        self._told = self._told + 1 if told and young else 0
        self._suspected = self._suspected + 1 if at_once else 0
        if not young:
            self.fresh = False
            self._pauses = 0
        if not at_once and not (told and young):
            return None
        if self._told < _TOLD and self._suspected < _SUSPECTED and not self._pauses:
            return None
        pause_s = min(_MOST_PAUSE_S, _FIRST_PAUSE_S * 2.0**self._pauses)
        self._pauses = min(self._pauses + 1, 4)
        return pause_s
