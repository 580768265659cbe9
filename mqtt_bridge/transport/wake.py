"""Wakes a thread that sleeps in poll(2): a pipe whose reading end it polls."""

from __future__ import annotations

import contextlib
import os
import threading


class WakePipe:
    """Anybody may wake and close at the same time: the number of a closed pipe soon is somebody else's file."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._open = True

    def fileno(self) -> int:
        """What to poll for reading."""
        return self._read

    def wake(self) -> None:
        """Let the poll return; nothing happens once it is closed."""
        with self._lock, contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
            if self._open:
                os.write(self._write, b"\0")

    def clear(self) -> None:
        """Let the next poll sleep again; only on the thread that polls."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)

    def close(self) -> None:
        """Give both ends back; a second call does nothing."""
        with self._lock:
            if self._open:
                self._open = False
                os.close(self._read)
                os.close(self._write)
