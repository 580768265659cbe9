"""Keeps a node running: one that dies of a native crash is started again.

A graph, a delegate or a driver can end the process that runs it, and no `except` sees that. So `ciuic node run`
becomes two processes: this one, which only waits, and the node. It is run by its path in an isolated interpreter
(`python -I -S keeper.py …`) and imports the standard library's smallest parts alone: some 4 MB of its own.

What the node was answering stands in memory that both hold (`black_box`), so that the next process refuses the text
that ended the last one instead of ending of it, too.
"""

from __future__ import annotations

import os
import signal
import sys
import time

KEPT = "CIUIC_KEPT"  # tells the node: the keeper's process id, and the descriptor of the shared memory
BARE_FLAG = "--no-keeper"
# Of the shared memory, and of its beginning that says what is running.
MEMORY_BYTES, RUNNING_BYTES = 1024, 256

NAME_TAKEN = (
    3  # a node's exit status where another has its name: that one serves, so the next start would end alike
)

_GIVE_UP, _WINDOW_S = 10, 60.0  # crashes within so long: the next start would end the same way
_LAST_PAUSE_S, _LOOK_S = 5.0, 0.05
# How often a child is looked at that did not say that it ended, and how often it was dead until nobody waits.
_CHECK_S, _DEAD_LOOKS = 1.0, 3
_PASSED_ON = (signal.SIGTERM, signal.SIGINT)
# What a process does to itself. Any other signal (the kernel out of memory, an operator) is no fault of the text at hand.
_CRASHES = (
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGILL,
    signal.SIGFPE,
    signal.SIGABRT,
    signal.SIGTRAP,
    signal.SIGSYS,
    signal.SIGALRM,  # it hung: `hang_watch`
)


def keep_this() -> None:
    """Become the keeper of a process with this one's command line; returns in that process, and where none is wanted.

    Nothing is kept without Linux, under `--no-keeper`, and where the command is a call inside another program.
    """
    command = [sys.executable, *sys.orig_argv[1:]]
    outer = sys.orig_argv[1 - len(sys.argv) :] == sys.argv[1:]
    if KEPT in os.environ or BARE_FLAG in command or not outer or not sys.platform.startswith("linux"):
        return
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-I", "-S", os.path.abspath(__file__), *command])  # noqa: S606, PTH100 - our own command; pathlib costs 1 MB


def end_with_keeper() -> None:
    """Where this process is kept: die as soon as the keeper does, so that killing the one kills the node."""
    keeper, _, _ = os.environ.get(KEPT, "").partition(":")
    if not keeper.isdecimal():
        return
    from firmware_py.children import end_with  # here: the keeper itself finds no package of ours

    end_with(int(keeper))


class Keeper:
    """One child at a time, until it ends by itself or we are told to stop."""

    def __init__(self, command: list[str], first_pause_s: float = 0.1) -> None:
        """`first_pause_s`: after the first crash; twice as long after each further one, up to 5 s."""
        self._command = command
        self._first_pause_s = first_pause_s
        memory = os.memfd_create("ciuic-running", 0)  # open in every child, whatever became of the last
        os.ftruncate(memory, MEMORY_BYTES)
        self._memory = memory
        self._environment = os.environ | {KEPT: f"{os.getpid()}:{memory}"}
        self._child = 0
        self._stopping = False
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))  # waited for
        for number in _PASSED_ON:
            signal.signal(number, self._pass_on)

    def run(self) -> int:
        """The exit status to leave with."""
        crashes: list[float] = []
        while not self._stopping:
            code = self._live()
            # After a crash an error at the start may pass: a bundle that is being copied, a disk that is full.
            ended = code in (0, NAME_TAKEN) or (code > 0 and not crashes)
            if ended or self._stopping:
                return code if code >= 0 else 128 - code
            if -code not in _CRASHES:
                os.pwrite(self._memory, bytes(RUNNING_BYTES), 0)
            now_s = time.monotonic()
            crashes = [at_s for at_s in crashes if now_s - at_s < _WINDOW_S] + [now_s]
            if len(crashes) >= _GIVE_UP:
                _say(f"the node ended {_GIVE_UP} times in {_WINDOW_S:.0f} s; giving up")
                return max(code, 1)
            pause_s = min(_LAST_PAUSE_S, self._first_pause_s * 2 ** (len(crashes) - 1))
            _say(f"the node {_end(code)}; starting it again in {pause_s:g} s")
            self._rest(pause_s)
        return 0

    def _rest(self, pause_s: float) -> None:
        """Sleep that a signal to stop ends; Python's own goes on after a signal."""
        for _ in range(round(pause_s / _LOOK_S)):
            if self._stopping:
                return
            time.sleep(_LOOK_S)

    def _live(self) -> int:
        """One life of the child: its exit status, or minus the signal that ended it."""
        # A signal that comes before the child's number is known would not reach it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
        try:
            if self._stopping:
                return 0
            self._child = os.posix_spawn(self._command[0], self._command, self._environment, setsigmask=())
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        code = self._wait(self._child)
        self._child = 0
        return code

    @staticmethod
    def _wait(child: int) -> int:
        """Its exit status when it ended, or that of one that hung where only threads are left that nobody can kill.

        A driver may hold a thread in the kernel for good: the process is dead, and waitpid(2) would wait for that thread.
        """
        dead_looks = 0
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            if dead_looks >= _DEAD_LOOKS:
                _say("a thread of the dead node is held by its driver; going on without it")
                return -signal.SIGALRM
            if signal.sigtimedwait((signal.SIGCHLD,), _CHECK_S) is None:
                dead_looks = dead_looks + 1 if _is_zombie(child) else 0

    def _pass_on(self, number: int, _frame: object) -> None:
        self._stopping = True
        try:
            if self._child:
                os.kill(self._child, number)
        except ProcessLookupError:
            pass  # it has just ended


def _is_zombie(child: int) -> bool:
    try:
        with open(f"/proc/{child}/stat", "rb") as file:  # noqa: PTH123 - pathlib costs 1 MB
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return False


def _end(code: int) -> str:
    if code >= 0:
        return f"did not start (exit status {code})"
    try:
        return f"died of {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f"died of signal {-code}"


def _say(line: str) -> None:
    try:  # noqa: SIM105 - contextlib costs memory
        os.write(2, f"{line}\n".encode())
    except OSError:
        pass  # the log's reader is gone, or its disk full: no reason to leave the node down


if __name__ == "__main__":
    sys.exit(Keeper(sys.argv[1:]).run())
