"""When a link to a later broker of its list goes back to an earlier one.

Pure: seconds are arguments. An earlier broker must have answered twice in a row; a move that did not get there, or
whose link did not hold, doubles the time before the next look.
"""

from __future__ import annotations

LOOK_S = 20.0
HELD_S = 60.0  # a link that ended sooner after a move says that its broker flaps
_MOST_DOUBLINGS = 5  # 640 s with the usual period


class WayBack:
    """The state of going back; places are those of the list, 0 is preferred most."""

    __slots__ = ("_arrived_s", "_failures", "_found", "_target", "look_s")

    def __init__(self, look_s: float = LOOK_S) -> None:
        """Look every `look_s` seconds; 0: never."""
        self.look_s = look_s
        self._failures = 0
        self._found: int | None = None  # who answered last
        self._target: int | None = None  # where a move leads that has not arrived
        self._arrived_s: float | None = None  # when the last move did

    def settled(self, at: int, now_s: float) -> float | None:
        """The link is confirmed at this place; seconds until the first look, null where none is wanted."""
        if self._target is not None and at != self._target:
            self._failed()
        elif self._target is not None:
            self._arrived_s = now_s
        self._target = self._found = None
        return self._wait_s() if at and self.look_s else None

    def seen(self, found: int | None) -> bool:
        """An earlier broker answered, or none did; True when the link is to move there."""
        before, self._found = self._found, found
        return found is not None and found == before

    def moving(self, to: int) -> None:
        """The link leaves for this place."""
        self._target, self._arrived_s = to, None

    def stayed(self) -> float:
        """What was under way did not end, so the link stayed; seconds until the next look."""
        self._failed()
        self._found = None
        return self._wait_s()

    def ended(self, now_s: float) -> None:
        """A confirmed link broke."""
        if self._arrived_s is None:
            return
        if now_s - self._arrived_s < HELD_S:
            self._failed()
        else:
            self._failures = 0
        self._arrived_s = None

    def _failed(self) -> None:
        self._failures = min(self._failures + 1, _MOST_DOUBLINGS)

    def _wait_s(self) -> float:
        return self.look_s * 2.0**self._failures
