"""Joined runs: spread over seeds, pairs on the same rows, missing runs by their command, bounds that are unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conversion.check.cascade import Truth
from conversion.check.rows import RowFile, SystemRows, save_rows
from conversion.study.bounds import bounds_of
from conversion.study.joined import ABLATION, RULES, STATIC, Sources, join
from conversion.study.markdown import to_markdown

ROWS = 400
PART: dict[str, Any] = {
    "sizes": {"core": 1_000_000, "bundle": 4_000_000, "unpacked": 9_000_000},
    "rules": {
        "balanced": {"harm": 0.0, "compute_ratio": 0.4, "out_of_scope": None},
        "risk-1": {"harm": 0.004, "compute_ratio": 0.38},
        "risk-2": {"harm": 0.03, "compute_ratio": 0.36},
    },
    "calibration_error": [0.05, 0.01, 0.012, 0.011],
}


def rows(systems: dict[str, float], sha256: str = "a" * 64, seed: int = 0) -> RowFile:
    """Each system right on the share of rows given: the same hard rows are missed by all."""
    hard = np.random.default_rng(seed).permutation(ROWS)
    truth = Truth(np.zeros(ROWS, int), np.ones(ROWS), np.arange(ROWS))
    return RowFile(
        sha256,
        truth,
        {
            name: SystemRows(hard < share * ROWS, np.full(ROWS, 1000 * n))
            for n, (name, share) in enumerate(systems.items(), 1)
        },
    )


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    build, models, measured = tmp_path / "hwu64-0", tmp_path / "models", tmp_path / "measurements"
    for seed, share in ((0, 0.93), (1, 0.94)):
        report = {"recipes": {"dyn8": PART}, "data": {"splits": {"report": "a" * 64}}}
        build.mkdir(exist_ok=True)
        (build / f"report-dyn8-{seed}.json").write_text(json.dumps(report))
        save_rows(build / f"rows-dyn8-{seed}.npz", rows(dict.fromkeys(RULES, share)))
    save_rows(build / "variants" / "static-1-0.npz", rows({"exit-0": 0.7, "exit-1": 0.90}))
    save_rows(build / "variants" / "static-2-0.npz", rows({"exit-2": 0.92}))
    save_rows(build / "baselines.npz", rows({"teacher fp32": 0.94, "teacher int8": 0.93, "linear svm": 0.90}))
    (build / "baselines.json").write_text(json.dumps({"bytes": {"fp32": 90_000_000, "int8": 23_000_000}}))
    save_rows(
        models / "hwu64.tradeoff.rows.npz", rows({"static-1": 0.92, "static-2": 0.92, "static-3": 0.94})
    )
    return Sources("hwu64", (0, 1, 2), lambda _: build, models, measured)


def test_a_row_has_mean_and_spread_of_the_runs_that_are_there_and_names_the_others(sources: Sources) -> None:
    document = join(sources)
    row = next(one for one in document["rows"] if one["system"] == "dyn8 balanced")
    assert row["runs"] == 2
    assert row["accuracy"]["mean"] == pytest.approx(0.935)
    assert row["accuracy"]["sd"] == pytest.approx(0.00707, abs=1e-5)
    assert row["not_run"] == ["ciuic model build hwu64 --seed 2"]
    static = next(one for one in document["rows"] if one["system"] == "static-3 (float32)")
    assert static == {
        "system": "static-3 (float32)", "runs": 0, "not_run": ["ciuic model variant hwu64 static-3"],
    }  # fmt: skip


def test_the_cascade_is_paired_with_each_static_student_and_the_best_is_marked(sources: Sources) -> None:
    pairs = {(one["first"], one["second"]): one for one in join(sources)["comparisons"]}
    first = pairs["cascade within the compute of static-1", "static-1"]
    assert first["accuracy"]["better"]
    assert first["accuracy"]["value"] == pytest.approx(0.02)
    assert not first["best_static"]
    second = pairs["cascade within the compute of static-2", "static-2"]
    assert second["best_static"]
    assert not second["accuracy"]["better"]
    assert second["compute"] == [2000, 1000]
    third = pairs["cascade within the compute of static-3", "static-3"]
    assert third["not_run"] == ["ciuic model variant hwu64 static-3"]
    assert pairs["balanced", "linear svm"]["accuracy"]["better"]
    assert pairs["balanced", "teacher fp32"]["accuracy"]["value"] == pytest.approx(-0.01)


def test_systems_on_other_rows_are_not_compared(sources: Sources) -> None:
    save_rows(sources.builds(0) / "baselines.npz", rows({"linear svm": 0.9}, sha256="b" * 64))
    pairs = {(one["first"], one["second"]): one for one in join(sources)["comparisons"]}
    found = pairs["balanced", "linear svm"]
    assert "accuracy" not in found
    assert found["why"] == "measured on other rows"


def test_bounds_say_met_not_met_and_not_measured(sources: Sources) -> None:
    checks = {one["name"]: one for one in join(sources)["checks"]}
    assert checks["in-scope accuracy, balanced"]["ok"]
    assert checks["over the linear SVM"]["value"] == pytest.approx(0.035)
    assert not checks["risk-2: realised harm, worst seed"]["ok"]
    assert checks["risk-1: compute"]["ok"]
    assert checks["installed: the bundle file"]["ok"]
    assert checks["full: times as fast as the teacher int8"]["value"] is None
    assert not checks["full: times as fast as the teacher int8"]["ok"]


def test_the_zeroth_exit_is_held_to_the_calibration_bound_where_a_rule_asks_it() -> None:
    for zeroth, worst in (({}, 0.012), ({"risk-1": 0.84}, 0.05)):
        checks = bounds_of("banking77", {}, [PART | {"zeroth_rules": zeroth}], None)
        assert {one["name"]: one["value"] for one in checks}[
            "calibration error, worst exit and seed"
        ] == worst


def test_the_promise_needs_all_three(sources: Sources) -> None:
    promise = join(sources)["promise"]
    assert promise["size"] == pytest.approx(4 / 90 - 1)
    assert promise["accuracy_loss"] == pytest.approx(1 - 0.935 / 0.94)
    assert promise["latency"] is None
    assert not promise["kept"]
    sources.measurements.mkdir()
    speed = {"rows": [
        {"config": "balanced", "extra": {"times_faster_than_fp32": 20.0, "times_faster_than_int8": 8.0}},
        {"config": "full", "extra": {"times_faster_than_fp32": 12.0, "times_faster_than_int8": 6.0}},
    ]}  # fmt: skip
    path = sources.measurements / "model-hwu64.json"
    path.write_text(json.dumps({**speed, "notes": ["BUSY MACHINE: not for publication."]}))
    assert join(sources)["promise"]["latency"] is None
    path.write_text(json.dumps({**speed, "notes": []}))
    document = join(sources)
    assert document["promise"]["latency"] == pytest.approx(-0.95)
    assert document["promise"]["kept"]
    checks = {one["name"]: one for one in document["checks"]}
    assert checks["full: times as fast as the teacher int8"]["ok"]


def test_the_page_names_every_row_and_every_missing_command(sources: Sources) -> None:
    page = to_markdown(join(sources))
    for text in (
        "| dyn8 balanced | 2 (not run: `ciuic model build hwu64 --seed 2`) | 93.50% ± 0.71% |",
        "| static-3 (float32) | 0 | not run: `ciuic model variant hwu64 static-3` |",
        "(the best static)", "**not met**", "not measured", "installed size −95.6%", "**not shown yet**",
        "`ciuic model variant hwu64 groups-random`",
    ):  # fmt: skip
        assert text in page


def test_a_home_model_is_held_to_templates_names_and_free_text() -> None:
    part = PART | {
        "rules": {
            **PART["rules"],
            "balanced": {"accuracy": 0.985, "macro_f1": 0.94, "slot_f1": 0.96, "harm": 0.0},
        },
        "extras": {"free_text": {"accuracy": 0.8, "slot_f1": None}},
    }
    checks = {one["name"]: one for one in bounds_of("home-en", {}, [part, None], None)}
    assert checks["unseen templates: accuracy"]["ok"]
    assert not checks["unseen templates: macro_f1"]["ok"]
    assert checks["free text: accuracy"]["value"] == 0.8
    assert checks["unseen names: slot_f1"]["value"] is None


def test_nothing_run_is_a_page_of_commands(tmp_path: Path) -> None:
    document = join(Sources("clinc150", (0,), lambda _: tmp_path / "none", tmp_path, tmp_path))
    assert all(row["runs"] == 0 for row in document["rows"])
    assert not any(one["ok"] for one in document["checks"])
    assert "`ciuic model build clinc150`" in to_markdown(document)


def test_the_expected_students_are_those_that_can_be_trained() -> None:
    from conversion.variant_table import VARIANTS

    assert {*STATIC, *ABLATION} == set(VARIANTS)
