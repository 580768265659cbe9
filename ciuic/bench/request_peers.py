"""The processes that `ciuic bench request` measures: a node as a user starts it, and the echo."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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


def resident_bytes(pid: int) -> int:
    """Resident memory (VmRSS of proc(5))."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_s(pid: int) -> float:
    """Processor seconds used by a process and the children it has waited for (proc(5), stat)."""
    fields = (
        Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    )
    return sum(int(field) for field in fields[11:15]) / _TICKS_HZ
