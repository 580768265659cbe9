"""How much of this machine other programs used while something was timed.

The load average cannot say it: it remembers a minute, and counts what is timed itself. Linux counts each processor's
busy time (proc_stat(5)) and this process's own (times(2)); what is left is the others'.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

QUIET_CORES = 0.2  # others may use so much: daemons do
_BUSY = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal


class Neighbours:
    """Begin with the work that is timed; `cores` when it and its children are done."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        """Start counting."""
        self._stat = stat
        self._from_s = time.monotonic()
        self._others_s = self._others()

    def cores(self) -> float | None:
        """Cores that others kept busy since then, on average; None where the system does not count.

        A child that still runs, or was not waited for, is one of the others.
        """
        now = self._others()
        if now is None or self._others_s is None:
            return None
        return max(0.0, (now - self._others_s) / max(time.monotonic() - self._from_s, 1e-9))

    def _others(self) -> float | None:
        """Busy seconds of all processors without this process and the children that it waited for."""
        try:
            _, *counted = self._stat.read_text("ascii").partition("\n")[0].split()
            busy_s = sum(int(counted[place]) for place in _BUSY) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return None
        own = os.times()
        return busy_s - own.user - own.system - own.children_user - own.children_system


def is_quiet(cores: float | None) -> bool:
    """Whether figures taken beside so much of others' work are worth publishing; not where nobody knows."""
    return cores is not None and cores <= QUIET_CORES


def told(cores: float | None) -> str:
    """`others used 0.03 cores meanwhile`."""
    return "what others used is not known" if cores is None else f"others used {cores:.2f} cores meanwhile"
