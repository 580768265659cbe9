"""A progress bar on standard error for what takes longer than two seconds."""

from __future__ import annotations

import sys
import threading
from typing import Self, TextIO

from firmware_py.contracts.clock import Clock, SystemClock

PATIENCE_S = 2.0
_REDRAW_S = 0.1
_WIDTH = 30


class Waiting:
    """Says once, after two seconds, what is being waited for: work that cannot tell how far it is."""

    def __init__(self, what: str, out: TextIO | None = None, patience_s: float = PATIENCE_S) -> None:
        self._out = out or sys.stderr
        self._timer = threading.Timer(patience_s, lambda: self._out.write(f"{what} …\n"))
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._timer.cancel()


class Progress:
    """Call it with the count done so far; on a terminal it draws a bar, elsewhere a line each tenth."""

    def __init__(self, what: str, total: int, clock: Clock | None = None, out: TextIO | None = None) -> None:
        self._what = what
        self._total = max(1, total)
        self._clock = clock or SystemClock()
        self._out = out or sys.stderr
        self._begin_s = self._clock.now_s()
        self._drawn_s = self._begin_s
        self._tenth = 0

    def __call__(self, done: int) -> None:
        """Draw, at most ten times a second."""
        now_s = self._clock.now_s()
        if now_s - self._begin_s < PATIENCE_S or now_s - self._drawn_s < _REDRAW_S:
            return
        self._drawn_s = now_s
        share = min(1.0, done / self._total)
        left_s = (now_s - self._begin_s) * (1.0 / share - 1.0) if share else 0.0
        if self._out.isatty():
            bar = "#" * round(share * _WIDTH)
            self._out.write(f"\r{self._what} [{bar:<{_WIDTH}}] {share:4.0%}, {left_s:.0f} s left ")
        elif int(share * 10) > self._tenth:
            self._tenth = int(share * 10)
            self._out.write(f"{self._what}: {share:.0%}, {left_s:.0f} s left\n")
        self._out.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        """Leave a clean line."""
        if self._drawn_s > self._begin_s and self._out.isatty():
            self._out.write("\r" + " " * 79 + "\r")
            self._out.flush()
