"""SIGTERM and SIGINT as something to wait for."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

NUMBERS = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """A signal that is to end the process came within `StopSignals.at_once`."""


class StopSignals:
    """Waits for the first signal that is to end a process; opened on the main thread.

    Not an event or a queue: the kernel may hand a second signal to another thread than the one that waits, and one
    that comes just before the wait begins interrupts nothing. Python's handler then runs when the main thread next
    does anything, which is never. The byte that Python's C handler writes into a pipe, on whichever thread, is not lost.
    """

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._write, False)
        self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._came = self._at_once = False
        self._handlers = {number: signal.signal(number, self._hear) for number in NUMBERS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hand the signals back."""
        for number, handler in self._handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not Python's own
        signal.set_wakeup_fd(self._before)
        os.close(self._write)
        os.close(self._read)

    def end(self) -> None:
        """Let the wait end as SIGTERM would; from any thread, while it is open."""
        os.write(self._write, bytes([signal.SIGTERM]))

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """A signal ends the block in the middle, for what may last: a start that waits. Later ones end no clean-up.

        For what gives back what it took whenever it is interrupted, and waits in short sleeps: a system call that began
        a moment after the signal would go on. `wait` hears of the signal all the same.

        Raises:
            Stopped: a signal came, or had come before.
        """
        self._at_once = True
        try:
            if self._came:
                raise Stopped
            yield
        finally:
            self._at_once = False

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True
        if self._at_once:
            self._at_once = False
            raise Stopped

    def wait(self, timeout_s: float | None = None) -> int | None:
        """The signal's number, at once if it came before; null when none came for about `timeout_s` seconds."""
        poller = select.poll()
        poller.register(self._read, select.POLLIN)
        while poller.poll(None if timeout_s is None else timeout_s * 1e3):
            number = os.read(self._read, 1)[0]
            if number in NUMBERS:  # the pipe hears of every signal that has a handler
                return number
        return None
