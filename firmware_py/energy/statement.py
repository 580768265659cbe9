"""What was metered beside what was charged, for one who listens: each reconciled window is told once."""

from __future__ import annotations

import math
from collections.abc import Sequence

from firmware_py.contracts.node_state import Reconciled
from firmware_py.energy.ledger import Ledger, Line
from firmware_py.energy.watch import EnergyWatch


def sum_up(lines: Sequence[Line], after_s: float) -> Reconciled:
    """Sums over the windows that end after a monotonic second, and the totals of all; `lines` are oldest first.

    Half-widths are added, as gain, shunt and idle draw are common to neighbouring windows.
    """
    new = [line for line in lines if line.span.end_s > after_s]
    return Reconciled(
        windows=len(new),
        window_s=math.fsum(line.span.length_s for line in new),
        runs=math.fsum(line.runs for line in new),
        metered_j=math.fsum(line.metered_j for line in new),
        u95_j=math.fsum(line.u95_j for line in new),
        charged_j=math.fsum(line.charged_j for line in new),
        total_metered_j=lines[-1].total_metered_j if lines else 0.0,
        total_charged_j=lines[-1].total_charged_j if lines else 0.0,
    )


class Statements:
    """Reads a ledger for one listener, on one thread."""

    def __init__(self, ledger: Ledger, watch: EnergyWatch) -> None:
        self._ledger = ledger
        self._watch = watch
        self._windows = 0
        self._until_s = -math.inf

    def take(self) -> Reconciled | None:
        """What was reconciled since the last call; None while the meter does not read."""
        windows = self._watch.windows
        if windows == self._windows:
            return None
        self._windows = windows
        lines = self._ledger.lines()
        told = sum_up(lines, self._until_s)
        if lines:
            self._until_s = lines[-1].span.end_s
        return told
