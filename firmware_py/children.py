"""Children that end with the process that started them, however that ends.

One that is killed (out of memory, `kill -9`) runs no clean-up: what it started would wait for work for ever, or finish
for nobody. On Linux the kernel kills a child whose parent ends (prctl(2), PR_SET_PDEATHSIG); on other systems nothing
is done. The mark survives `exec`, not `fork`: what a child starts in turn is tied by that child.

To the kernel, the parent is the *thread* that started the child. So start one on a thread that waits for its end, or on
the main thread; one that is started on a thread which only starts it dies with that thread.

Three ways: a program's command is `tied`, which runs it through this file (`python children.py PARENT_PID PROGRAM
ARGUMENTS...`); a process of ours calls `end_with` first of all, which spares an interpreter's start; so does a pool's
worker `tie_worker`. Standard library only.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

_SET_PARENT_DEATH_SIGNAL = 1  # <linux/prctl.h>


def tied(command: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The command in a form that ends with this process, or with the thread that starts it if that ends first.

    Its process number is the program's. A program that cannot be run is no OSError of who starts it, but said on
    standard error, with exit status 1.
    """
    started = [os.fspath(part) for part in command]
    # Without site-packages the detour costs some 10 ms.
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid()), *started]  # noqa: PTH100 - pathlib takes longer to load than the rest


def tie_worker() -> None:
    """Tie a worker of a process pool to the process that made the pool: an `initializer`, or the first line of one.

    Not for a pool of the start method `forkserver`, whose workers have another parent.
    """
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        end_with(parent.pid)


def end_with(parent: int) -> None:
    """Let the kernel kill this process when its parent, of this number, ends; end at once where that has happened."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str]) -> None:
    """Become the program; `arguments`: the parent's process number, then the command."""
    end_with(int(arguments[0]))
    os.execvp(arguments[1], list(arguments[1:]))  # noqa: S606 - a list, no shell


if __name__ == "__main__":
    main(sys.argv[1:])
