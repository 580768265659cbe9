"""The processes that `ciuic bench request` measures: a node as a user starts it, the echo, `ciuic --help`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from firmware_py import keeper
from firmware_py.contracts.errors import ToolMissingError

_TICKS_HZ = os.sysconf("SC_CLK_TCK")
_STOP_S = 10.0


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """How to start the node under test."""

    url: str
    mesh: str
    bundle: Path
    options: tuple[str, ...] = ()

    def command(self, name: str) -> list[str]:
        """The command line."""
        words = [sys.executable, "-m", "ciuic", "node", "run", "--id", name, "--simulate"]
        words += ["--model", str(self.bundle), "--broker", self.url, "--mesh", self.mesh, "--state", "-"]
        return [*words, *self.options]


@contextmanager
def running(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A child process for the length of a block; it ends politely, or is killed."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_ready(process: subprocess.Popen[str], word: str) -> None:
    """Read what the process says until a line begins with `word`; the runtime prints lines of its own.

    Raises:
        ToolMissingError: it ended without it; its own error stands above on standard error.
    """
    for line in process.stdout or ():
        if line.startswith(word):
            return
    msg = f"a process of the benchmark ended at once (status {process.wait(_STOP_S)})"
    raise ToolMissingError(msg, hint="Its own message is above.")


def help_s() -> float:
    """Seconds of one `ciuic --help` from the start of its process to its end.

    Raises:
        ToolMissingError: it failed; its own error stands above on standard error.
    """
    begin_s = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "ciuic", "--help"], stdout=subprocess.DEVNULL, check=False)
    spent_s = time.perf_counter() - begin_s
    if done.returncode != 0:
        msg = f"`ciuic --help` ended with status {done.returncode}"
        raise ToolMissingError(msg, hint="Its own message is above.")
    return spent_s


def resident_bytes(pid: int) -> int:
    """Resident memory of a node (VmRSS of proc(5)), and what its keeper has for itself alone (smaps_rollup)."""
    node = _kept(pid)
    own = _kilobytes(f"/proc/{pid}/smaps_rollup", "Private_") if node != pid else 0
    return (own + _kilobytes(f"/proc/{node}/status", "VmRSS:")) * 1024


def cpu_s(pid: int) -> float:
    """Processor seconds used by a node, its keeper and the children that they have waited for (proc(5), stat)."""
    ticks = 0
    for one in {pid, _kept(pid)}:
        stat = Path(f"/proc/{one}/stat").read_text(encoding="utf-8", errors="replace")
        ticks += sum(int(field) for field in stat.rpartition(")")[2].split()[11:15])
    return ticks / _TICKS_HZ


def _kept(pid: int) -> int:
    """The process that a keeper keeps; the process itself where it is no keeper."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    if keeper.__file__.encode() not in words:
        return pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()[0])


def _kilobytes(path: str, start: str) -> int:
    lines = Path(path).read_text(encoding="ascii", errors="replace").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(start))
