"""What a home model's own build reports tell of systems that are not ours, mean and spread over seeds.

Each seed of a home model has rows of its own, so there are no files to compare row by row; every build measured the
systems beside its student, on the same rows.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

SYSTEMS = {"linear svm": "linear_svm", "hassil, with every template in hand": "hassil"}
TEACHER = "teacher, the better of its runs"


def told_rows(reports: Sequence[Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    """A row per system that some report knows; figures of in-scope rows, equal weight per template."""
    known = [report for report in reports if report is not None]
    teachers = [
        float(report["teachers"][0]["report"]) for report in known if "report" in report["teachers"][0]
    ]
    rows = [{"system": TEACHER, "runs": len(teachers), "accuracy": spread(teachers)}] if teachers else []
    for system, key in SYSTEMS.items():
        found = [report["baselines"][key] for report in known if key in report.get("baselines", {})]
        if found:
            figures = {
                figure: spread([float(one[figure]) for one in found]) for figure in ("accuracy", "macro_f1")
            }
            rows.append({"system": system, "runs": len(found), **figures})
    return rows


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation (null of one value) and the values."""
    return {
        "mean": round(statistics.fmean(values), 6),
        "sd": round(statistics.stdev(values), 6) if len(values) > 1 else None,
        "by_run": [round(value, 6) for value in values],
    }
