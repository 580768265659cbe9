"""SIGTERM and SIGINT as something to wait for."""

from __future__ import annotations

import os
import select
import signal
from types import TracebackType
from typing import Self

NUMBERS = (signal.SIGTERM, signal.SIGINT)


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
        self._handlers = {number: signal.signal(number, lambda *_: None) for number in NUMBERS}
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

    def wait(self, timeout_s: float | None = None) -> int | None:
        """The signal's number, at once if it came before; null when none came for about `timeout_s` seconds."""
        poller = select.poll()
        poller.register(self._read, select.POLLIN)
        while poller.poll(None if timeout_s is None else timeout_s * 1e3):
            number = os.read(self._read, 1)[0]
            if number in NUMBERS:  # the pipe hears of every signal that has a handler
                return number
        return None
