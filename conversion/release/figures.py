"""What the report split and the extra sides say of what ships: its part of the report, and row by row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from conversion.check import cascade, figures
from conversion.check.answers import LatticeAnswers, Prefix
from conversion.check.calibrate import DEFAULT, calibration_error
from conversion.check.compute import GROUPS
from conversion.check.judge import Judge
from conversion.check.rows import RowFile, SystemRows, save_rows
from conversion.data.task import TaskData
from conversion.release.ways import Ways, accuracy


def figures_of(
    data: TaskData,
    report: cascade.Lattice,
    sides: Mapping[str, LatticeAnswers],
    judged: tuple[Judge, Ways],
) -> dict[str, Any]:
    """The shipped rules, every exit and width, calibration; the default rule on extra sides and each language.

    Args:
        data: the model's.
        report: its report split, judged.
        sides: what was answered there and on the extra sides.
        judged: by whom, and the ways that were chosen.
    """
    judge, ways = judged
    full, offered = ways.full, ways.by_rule()
    exits = [full[:n] for n in range(len(full) + 1)]
    out: dict[str, Any] = {
        "rules": {name: figures.describe(report, way) for name, way in offered.items()},
        "accuracy_by_exit": [accuracy(report, one) if one in report.right else None for one in exits],
        "accuracy_by_width": {str(w): accuracy(report, (w,) * len(full)) for w in range(GROUPS, 0, -1)},
        "calibration_error": [_error(sides["report"], judge, report, one) for one in exits],
        "extras": {
            name: figures.describe(judge.lattice(rows, sides[name]), offered[DEFAULT])
            for name, rows in data.extras.items()
        },
    }
    if len(data.languages) > 1:
        tongues = np.array([row.lang for row in data.report])
        out["languages"] = {
            language: figures.describe(report.part(np.flatnonzero(tongues == language)), offered[DEFAULT])
            for language in sorted(set(tongues.tolist()))
        }
    return out


def save_report_rows(path: Path, sha256: str, report: cascade.Lattice, ways: Ways) -> None:
    """Row by row what the shipped rules did, for paired comparisons; `sha256` is the report split's."""
    systems = {}
    for name, way in ways.by_rule().items():
        said = cascade.run(report, way)
        systems[name] = SystemRows(said.right, said.macs, said.exits, said.slots)
    save_rows(path, RowFile(sha256, report.truth, systems))


def _error(said: LatticeAnswers, judge: Judge, report: cascade.Lattice, prefix: Prefix) -> float | None:
    """Expected calibration error of one exit over the in-scope rows; None where the exit is not asked."""
    if prefix not in said.logits:
        return None
    known = report.truth.inside
    return calibration_error(
        said.logits[prefix][known], report.truth.target[known], judge.temperatures[prefix]
    )
