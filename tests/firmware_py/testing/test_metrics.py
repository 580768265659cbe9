"""Scores by their definitions, on rows small enough to count by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_py.testing.metrics import Scored, auroc, macro_f1, quantile, slot_f1, summarise

NONE: frozenset[tuple[int, int, str]] = frozenset()
ROW = Scored("on", "on", None, NONE, 1, ("on", "on"), 0.1, 0.010)
METERED: dict[str, Any] = {"method": "predicted", "source": "ina219"}


def test_the_summary_counts_by_hand() -> None:
    """Two of four in-scope rows right (one wrong, one rejected), one of two strangers caught."""
    kitchen = frozenset({(0, 7, "area")})
    rows = [
        replace(ROW, slots=kitchen, predicted_slots=kitchen, energy_j=0.002, u95_j=0.0004, **METERED),
        replace(ROW, intent="off", predicted="off", exit=2, exit_labels=("on", "off"), run_s=0.020),
        replace(ROW, intent="off", predicted="on", slots=kitchen, exit=2),
        replace(ROW, predicted="oos", exit_labels=("oos", "on"), score=0.8),
        replace(ROW, intent="oos", predicted="oos", score=0.9, energy_j=0.004, u95_j=0.0006, **METERED),
        replace(ROW, intent="oos", predicted="on", score=0.2, run_s=0.100),
    ]
    assert summarise(rows, exits=2) == {
        "n": 4,
        "accuracy": 0.5,
        # on: truth 2, said 2, right 1 -> 0.5; off: truth 2, said 1, right 1 -> 2/3
        "macro_f1": pytest.approx((0.5 + 2 / 3) / 2),
        "accuracy_by_exit": [0.25, 0.75],
        "exit_share": [0.5, 0.5],
        "zeroth": None,
        "calibration": [],
        "mean_depth": pytest.approx(8 / 6),
        "slot_f1": pytest.approx(2 / 3),
        # pairs that the stranger wins: 0.9 over all four, 0.2 over three of them
        "out_of_scope": {"n": 2, "auroc": 7 / 8, "recall": 0.5, "in_scope_accuracy": 0.5},
        "latency_s": {"p50": 0.010, "p99": 0.100, "mean": pytest.approx(0.160 / 6)},
        "energy_j": {
            "mean": pytest.approx(0.003),
            "u95": pytest.approx(0.0005),
            "source": "ina219",
            "methods": {"predicted": 2},
            "sources": {"ina219": 2},
            "simulated": False,
            "n": 2,
        },
    }


def test_a_mean_of_joules_is_no_better_known_than_its_worst_row() -> None:
    """Whichever row came last; rows without joules do not count."""
    guessed = replace(ROW, energy_j=0.002, u95_j=0.001, method="estimated")
    metered = replace(ROW, energy_j=0.004, u95_j=0.001, **METERED)
    for rows in ([guessed] * 9 + [metered, ROW], [metered] + [guessed] * 9):
        energy = summarise(rows, exits=2)["energy_j"]
        assert (energy["source"], energy["n"]) == ("estimated", 10)
        assert energy["methods"] == {"estimated": 9, "predicted": 1}
        assert energy["sources"] == {"none": 9, "ina219": 1}
    assert summarise([ROW, metered, ROW], exits=2)["energy_j"]["source"] == "ina219"


def test_exit_0_has_a_line_of_its_own() -> None:
    rows = [
        replace(ROW, exit=0, zeroth_label="on"),
        replace(ROW, intent="off", zeroth_label="on"),
        replace(ROW, intent="oos", exit=0, zeroth_label="oos"),
    ]
    summary = summarise(rows, exits=2)
    assert summary["zeroth"] == {"accuracy": 0.5, "exit_share": 0.5}
    assert (summary["exit_share"], summary["mean_depth"]) == ([0.5, 0.0], pytest.approx(1 / 3))


def test_calibration_is_of_the_rows_that_ran_exit_by_exit() -> None:
    """Exit 0: 0.9 and right, 0.9 and wrong; exit 1: 0.6 and right, 0.9 and right, one row was not run."""
    rows = [
        replace(ROW, zeroth_label="on", zeroth_confidence=0.9, exit_labels=("on",), exit_confidences=(0.6,)),
        replace(ROW, zeroth_label="off", zeroth_confidence=0.9, exit_labels=("on",), exit_confidences=(0.9,)),
        replace(ROW, zeroth_label="oos", exit_labels=("oos",)),
        replace(ROW, intent="oos", zeroth_label="on", zeroth_confidence=0.9, exit_confidences=(0.9,)),
    ]
    found = summarise(rows, exits=1)["calibration"]
    assert [one["exit"] for one in found] == [0, 1]
    assert [one["error"] for one in found] == [pytest.approx(0.4), pytest.approx(0.25)]


def test_what_the_rows_do_not_say_is_null() -> None:
    summary = summarise([ROW], exits=2)
    assert (summary["slot_f1"], summary["out_of_scope"], summary["energy_j"]) == (None, None, None)
    only_strangers = summarise([replace(ROW, intent="oos")], exits=2)
    assert (only_strangers["n"], only_strangers["accuracy"], only_strangers["macro_f1"]) == (0, None, None)
    assert only_strangers["out_of_scope"]["auroc"] is None


def test_macro_f1_is_over_the_labels_of_the_truth() -> None:
    """A label that only the model says costs its victims, not itself."""
    assert macro_f1([("a", "a"), ("b", "c")]) == 0.5


def test_slots_count_as_exact_spans() -> None:
    truth = frozenset({(0, 3, "area"), (5, 9, "name")})
    assert slot_f1([(truth, truth)]) == 1.0
    assert slot_f1([(truth, frozenset({(0, 3, "name"), (5, 9, "name")}))]) == 0.5
    assert slot_f1([(NONE, NONE)]) is None


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=15), st.lists(st.integers(0, 5), min_size=1, max_size=15)
)
def test_auroc_is_the_share_of_pairs(positive: list[int], negative: list[int]) -> None:
    wins = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
    found = auroc([float(p) for p in positive], [float(n) for n in negative])
    assert found == pytest.approx(wins / (len(positive) * len(negative)))


def test_quantiles_are_values_that_occurred() -> None:
    values = [float(value) for value in range(1, 101)]
    assert (quantile(values, 0.5), quantile(values, 0.99), quantile([3.0], 0.99)) == (50.0, 99.0, 3.0)
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)
