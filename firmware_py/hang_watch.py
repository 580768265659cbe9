"""Ends this process when a delegate's library keeps one of its threads; its keeper starts another one.

Nobody can call a thread back out of a driver that hangs, and the slot that sent it there answers nothing any more.
So a thread looks each second whether a call into a library is late, says in the black box which one, and ends the
process. A library that hangs with Python's lock in its hands stops that thread, too. For it there is an alarm of the
kernel (setitimer(2)) that the thread puts off at each look, further than the longest call may last.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from collections.abc import Callable

from firmware_py.backends.guarded import LOAD_S
from firmware_py.black_box import BlackBox

_LOOK_S = 1.0
# A library may compile for LOAD_S with Python's lock in its hands, and nobody looks meanwhile.
_ALARM_S = LOAD_S + 5.0


class _Call:
    """One slot's calls into one delegate's library: a `Witness`."""

    __slots__ = ("_box", "_delegate", "_now_s", "due_s", "slot")

    def __init__(self, box: BlackBox, slot: int, delegate: str, now_s: Callable[[], float]) -> None:
        self._box = box
        self._delegate = delegate
        self._now_s = now_s
        self.slot = slot
        self.due_s: float | None = None  # when the call that goes on should be over

    def enter(self, most_s: float) -> None:
        """Note it in the box, and until when it may last."""
        self._box.enter(self.slot, self._delegate)
        self.due_s = self._now_s() + most_s

    def leave(self) -> None:
        """Note that it came back."""
        self.due_s = None
        self._box.leave(self.slot)


class HangWatch:
    """One process's; `witness` before `start`. The alarm is the process's only one (SIGALRM)."""

    def __init__(self, box: BlackBox, now_s: Callable[[], float]) -> None:
        """`now_s` is the monotonic clock."""
        self._box = box
        self._now_s = now_s
        self._calls: list[_Call] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._look, name="hang-watch", daemon=True)

    def witness(self, slot: int, delegate: str) -> _Call:
        """Who is to hear of a slot's calls into a delegate's library."""
        call = _Call(self._box, slot, delegate, self._now_s)
        self._calls.append(call)
        return call

    def start(self) -> None:
        """Begin to watch, unless there is nothing to: no witness was asked for."""
        if self._calls:
            # Where it hung goes to the log before the end.
            faulthandler.register(signal.SIGALRM, 2, chain=True)
            self._thread.start()

    def close(self) -> None:
        """Switch the alarm off; a second call does nothing."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def late(self) -> int | None:
        """The slot whose call into a library should be over, None while there is none."""
        now_s = self._now_s()
        for call in self._calls:
            due_s = call.due_s
            if due_s is not None and due_s < now_s:
                return call.slot
        return None

    def _look(self) -> None:
        while True:
            signal.setitimer(signal.ITIMER_REAL, _ALARM_S)
            slot = self.late()
            if slot is not None:
                self._box.only(slot)
                os.kill(os.getpid(), signal.SIGALRM)
            if self._closing.wait(_LOOK_S):
                return
