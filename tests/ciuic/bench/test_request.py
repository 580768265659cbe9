"""What `ciuic bench request` makes of its figures; that it measures them is tests/interop's."""

from __future__ import annotations

import sys

import pytest

from ciuic.bench.request_figures import QOS, Figures, Trips
from ciuic.bench.request_peers import help_s
from ciuic.bench.request_report import report, table
from firmware_py.contracts.errors import ToolMissingError


def figures(helps_s: list[float]) -> Figures:
    """Everything well within its bounds but, perhaps, the help."""
    made = Figures(starts_s=[0.5], cold_start_s=0.9, helps_s=helps_s, resident_bytes=1, idle_share=0.001)
    for qos in QOS:
        made.trips[True, qos] = Trips([1e-3], [0.5e-3], [0.5e-3], [0.4e-3], [1])
    return made


def test_the_help_is_bound_by_the_median_of_its_runs() -> None:
    """Two runs of nine that were held up by something else say nothing of the command."""
    good = report(figures([0.09] * 7 + [0.4] * 2), 1, -1)
    assert [check.name for check in good.checks if not check.ok] == []
    assert "\nciuic --help" in table(good)
    slow = report(figures([0.09] * 4 + [0.151] * 5), 1, -1)
    (missed,) = (check for check in slow.checks if not check.ok)
    assert (missed.name, missed.value, missed.bound) == ("ciuic --help, median of 9 runs", 0.151, 0.150)


def test_a_help_that_fails_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert help_s() > 0.0
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ToolMissingError, match="status 1"):
        help_s()
