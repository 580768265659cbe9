"""One run's rows, and two systems side by side on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conversion.check.cascade import Array, slot_f1, weighted
from conversion.check.rows import RowFile, SystemRows
from conversion.study.bootstrap import Difference, Resample, f1_difference, share_difference
from conversion.study.told import spread


@dataclass(frozen=True, slots=True)
class Run:
    """One run's row file with the command that makes it; None: it was not run, or (`why`) not of this bundle."""

    file: RowFile | None
    command: str
    why: str = ""

    def system(self, name: str) -> SystemRows | None:
        """A system of it."""
        return None if self.file is None else self.file.systems.get(name)


def row_of(name: str, runs: Sequence[tuple[Run, str]]) -> dict[str, Any]:
    """Mean and standard deviation over the runs that are there; commands of those that are not."""
    known = [(run.file, system) for run, key in runs if run.file is not None and (system := run.system(key))]
    row: dict[str, Any] = {"system": name, "runs": len(known)}
    if known:
        row["accuracy"] = spread([accuracy(file, system) for file, system in known])
        slots = [_slot_f1(file, counts) for file, system in known if (counts := system.slots) is not None]
        row["slot_f1"] = spread(slots) if slots else None
        macs = [_inside(file, spent) for file, system in known if (spent := system.macs) is not None]
        row["macs"] = spread(macs) if macs else None
    if missing := [run.command for run, key in runs if run.system(key) is None]:
        row["not_run"] = missing
    return row


def compare(
    first_name: str, first: tuple[Run, str], second_name: str, second: tuple[Run, str]
) -> dict[str, Any]:
    """Paired bootstrap of the in-scope rows; `not_run` names the commands where a side is missing or of other rows."""
    out: dict[str, Any] = {"first": first_name, "second": second_name}
    ours, theirs = first[0].system(first[1]), second[0].system(second[1])
    file, other = first[0].file, second[0].file
    if ours is None or theirs is None or file is None or other is None:
        pairs = ((first[0], ours), (second[0], theirs))
        why = next((run.why for run, system in pairs if system is None and run.why), "")
        missing: dict[str, Any] = {"not_run": [run.command for run, system in pairs if system is None]}
        return out | missing | ({"why": why} if why else {})
    if file.sha256 != other.sha256:
        return out | {"not_run": [second[0].command], "why": "measured on other rows"}
    known = np.flatnonzero(file.truth.inside)
    draw = Resample(file.truth.weight[known], file.truth.group[known])
    found: Difference = share_difference(ours.right[known], theirs.right[known], draw)
    out["accuracy"] = found.to_dict()
    if ours.slots is not None and theirs.slots is not None:
        out["slot_f1"] = f1_difference(ours.slots[known], theirs.slots[known], draw).to_dict()
    if ours.macs is not None and theirs.macs is not None:
        out["compute"] = [round(weighted(macs[known], draw.weight)) for macs in (ours.macs, theirs.macs)]
    return out


def accuracy(file: RowFile, system: SystemRows) -> float:
    """In-scope accuracy, rows by their weight."""
    return _inside(file, system.right)


def _inside(file: RowFile, values: Array) -> float:
    """Weighted mean over the in-scope rows."""
    known = file.truth.inside
    return weighted(values[known], file.truth.weight[known])


def _slot_f1(file: RowFile, counts: Array) -> float:
    known = file.truth.inside
    return slot_f1(counts[known], file.truth.weight[known])
