"""Lets delegates in again: first proved in a child, which may die of one, then checked where requests run.

A child's test takes seconds, or its whole time limit where a driver hangs. It runs on a thread of its own, so no
worker waits for it; a worker does the check, which is of some rows. One of each at a time: a node needs its delegate
once, not once a slot.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from firmware_py.backends.health import DelegateHealth
from firmware_py.contracts.errors import CiuicError
from firmware_py.inference.child import Child

_STOP_S = 2.0  # a child in a hung driver may not die at once; its thread is a daemon


class Retests:
    """A board's; `step` is called by idle workers, `close` when they have stopped.

    `prove` tests a delegate in the given child and raises if it fails. A delegate that passed is not proved again
    in this process's life.
    """

    __slots__ = ("_checking", "_child", "_health", "_prove", "_proved", "_thread")

    def __init__(self, health: DelegateHealth, prove: Callable[[str, Child], None]) -> None:
        self._health = health
        self._prove = prove
        self._child = Child()
        self._proved: set[str] = set()
        self._thread: threading.Thread | None = None
        self._checking = threading.Lock()

    @property
    def proving(self) -> bool:
        """Whether a child is being waited for."""
        return self._thread is not None and self._thread.is_alive()

    def step(self, check: Callable[[str], None]) -> None:
        """Take every delegate whose pause is over one step further; never waits for a child.

        `check` runs the golden rows on a delegate of the caller's slot and raises if they fail.
        """
        if not self._health.retest_due() or not self._checking.acquire(blocking=False):
            return
        try:
            for delegate in self._health.retest_due():  # asked again: another worker may just have passed it
                if delegate in self._proved:
                    if self._passes(delegate, check):
                        self._health.passed(delegate)
                elif not self.proving:
                    self._passes(delegate, self._start)
        finally:
            self._checking.release()

    def close(self) -> None:
        """End the child and its thread; a second call does nothing."""
        self._child.end()
        if self._thread is not None:
            self._thread.join(_STOP_S)

    def _start(self, delegate: str) -> None:
        thread = threading.Thread(
            target=self._prove_apart, args=(delegate,), name="delegate-test", daemon=True
        )
        thread.start()
        self._thread = thread

    def _prove_apart(self, delegate: str) -> None:
        if self._passes(delegate, lambda name: self._prove(name, self._child)):
            self._proved.add(delegate)

    def _passes(self, delegate: str, test: Callable[[str], None]) -> bool:
        """Whether a test ends well; whatever it raises makes the pause longer, or it would be run at every tick."""
        try:
            test(delegate)
        except CiuicError as error:
            self._health.failed(delegate, error.message)
        except Exception as error:  # noqa: BLE001 - see above; its own words may quote anything
            self._health.failed(delegate, type(error).__name__)
        else:
            return True
        return False
