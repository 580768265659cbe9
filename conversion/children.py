"""Children that end with the process that started them, even where nothing is left to end them.

A build that is killed (out of memory, `kill -9`) runs no clean-up. Its workers would wait for work for ever
and its converters finish for nobody. On Linux the kernel kills a child at the end of the thread that started it
(`prctl`, PR_SET_PDEATHSIG); the mark survives `exec`, so a program that is not ours is started through this file:
`python children.py PARENT_PID PROGRAM ARGUMENTS...`. Standard library only. On other systems nothing is done.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_SET_PARENT_DEATH_SIGNAL = 1  # <linux/prctl.h>


def tied(command: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The command in a form that ends with this process, or with the thread that starts it if that ends first."""
    started = [os.fspath(part) for part in command]
    # Without site-packages the detour costs some 10 ms.
    return [sys.executable, "-E", "-S", str(Path(__file__).resolve()), str(os.getpid()), *started]


def tie_worker() -> None:
    """Tie a worker of a process pool to the process that made the pool: an `initializer`, or the first line of one."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        _tie(parent.pid)


def _tie(parent: int) -> None:
    """Let the kernel kill this process when its parent ends; end at once where that has happened already."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str]) -> None:
    """Become the program; `arguments`: the parent's process number, then the command."""
    _tie(int(arguments[0]))
    os.execvp(arguments[1], list(arguments[1:]))  # noqa: S606 - a list, no shell


if __name__ == "__main__":
    main(sys.argv[1:])
