"""A child process that another thread may end: nobody who stops a node waits for a test that hangs.

It ends with this process, too, however that ends (`children`).
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence

from firmware_py.children import tied
from firmware_py.contracts.errors import GoldenTestError


class Child:
    """Runs one child at a time; once ended, none."""

    __slots__ = ("_ended", "_lock", "_process")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._ended = False

    def run(self, command: Sequence[str], said: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Start a child, say something to it and wait; it is dead when this returns or raises.

        Raises:
            GoldenTestError: `end` was called before.
            TimeoutExpired: it took longer.
            OSError: no process could be had.
        """
        pipe = subprocess.PIPE
        with self._lock:
            if self._ended:
                msg = "no self-test begins while the node stops"
                raise GoldenTestError(msg)
            process = subprocess.Popen(tied(command), stdin=pipe, stdout=pipe, stderr=pipe, text=True)
            self._process = process
        with process:
            try:
                output, errors = process.communicate(said, timeout_s)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def end(self) -> None:
        """Kill the child, if there is one, and let no other begin."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()
