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

WITHIN = "cascade within the compute of"


@dataclass(frozen=True, slots=True)
class Run:
    """One run's row file with the command that makes it; None: it was not run, or (`why`) not of this bundle.

    `seed` is that of its training; what has none counts as 0.
    """

    file: RowFile | None
    command: str
    why: str = ""
    seed: int = 0

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
    first_name: str, first: Sequence[tuple[Run, str]], second_name: str, second: Sequence[tuple[Run, str]]
) -> dict[str, Any]:
    """Paired bootstrap of the in-scope rows: each side's mean over its runs, row by row; `seeds` says whose.

    Runs of other rows than the first side's first one are left out. Rows are drawn, seeds are not: the interval holds
    for these runs. `not_run` names the commands where a side is missing or of other rows.
    """
    out: dict[str, Any] = {"first": first_name, "second": second_name}
    ours, theirs = _there(first), _there(second)
    if not ours or not theirs:
        missing = [run for side, there in ((first, ours), (second, theirs)) if not there for run, _ in side]
        why = next((run.why for run in missing if run.why), "")
        commands: dict[str, Any] = {"not_run": [run.command for run in missing]}
        return out | commands | ({"why": why} if why else {})
    file = ours[0].file
    ours, theirs = ([one for one in side if one.file.sha256 == file.sha256] for side in (ours, theirs))
    if not theirs:
        return out | {"not_run": [second[0][0].command], "why": "measured on other rows"}
    known = np.flatnonzero(file.truth.inside)
    draw = Resample(file.truth.weight[known], file.truth.group[known])
    found: Difference = share_difference(_mean(ours, "right")[known], _mean(theirs, "right")[known], draw)
    out["accuracy"] = found.to_dict()
    if _all(ours, "slots") and _all(theirs, "slots"):
        counts = [_mean(side, "slots")[known] for side in (ours, theirs)]
        out["slot_f1"] = f1_difference(counts[0], counts[1], draw).to_dict()
    if _all(ours, "macs") and _all(theirs, "macs"):
        spent = [_mean(side, "macs")[known] for side in (ours, theirs)]
        out["compute"] = [round(weighted(macs, draw.weight)) for macs in spent]
    return out | {"seeds": [[one.seed for one in side] for side in (ours, theirs)]}


@dataclass(frozen=True, slots=True)
class _Said:
    """What one run said row by row."""

    file: RowFile
    system: SystemRows
    seed: int


def _there(side: Sequence[tuple[Run, str]]) -> list[_Said]:
    return [
        _Said(run.file, system, run.seed)
        for run, key in side
        if run.file is not None and (system := run.system(key)) is not None
    ]


def _all(side: Sequence[_Said], what: str) -> bool:
    return all(getattr(one.system, what) is not None for one in side)


def _mean(side: Sequence[_Said], what: str) -> Array:
    """Of each row over the runs."""
    out: Array = np.mean([getattr(one.system, what) for one in side], axis=0)
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
