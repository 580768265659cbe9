"""Joined runs: spread over seeds, pairs on the same rows, missing runs by their command, bounds that are unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conversion.check.cascade import Truth
from conversion.check.rows import RowFile, SystemRows, save_rows
from conversion.study.bounds import Timed, bounds_of
from conversion.study.former import STATIC, name_of
from conversion.study.joined import ABLATION, RULES, Sources, join
from conversion.study.markdown import to_markdown

ROWS = 400
OWN, FOREIGN = "1" * 64, "2" * 64
PART: dict[str, Any] = {
    "sha256": OWN,
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
    tradeoff_of(models, OWN)
    return Sources("hwu64", (0, 1, 2), lambda _: build, models, measured)


def tradeoff_of(models: Path, sha256: str) -> None:
    """Whose the trade-off's rows are."""
    (models / "hwu64.tradeoff.json").write_text(json.dumps({"bundle": {"sha256": sha256}}))


def timed_of(sources: Sources, sha256: str, *notes: str, host: str = "", **more: bool) -> None:
    """A speed benchmark of a bundle, on the reference host or another one."""
    rows_ = [
        {"config": "balanced", "extra": {"times_faster_than_fp32": 20.0, "times_faster_than_int8": 8.0}},
        {"config": "full", "extra": {"times_faster_than_fp32": 12.0, "times_faster_than_int8": 6.0}},
        {"config": "risk-1", "extra": {"times_faster_than_fp32": 30.0, "times_faster_than_int8": 13.0}},
    ]
    folder = sources.measurements / host
    folder.mkdir(parents=True, exist_ok=True)
    document = {"bundle_sha256": sha256, "rows": rows_, "notes": notes, **more}
    (folder / "model-hwu64.json").write_text(json.dumps(document))


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
    page = to_markdown(join(sources))
    assert "no difference shown; **not within: 100% more compute** |" in page
    assert (
        page.count("not within") == 1
    )  # the first computes 1000 against 2000, and a rule has no student to stay within
    third = pairs["cascade within the compute of static-3", "static-3"]
    assert third["not_run"] == ["ciuic model variant hwu64 static-3"]
    assert pairs["balanced", "linear svm"]["accuracy"]["better"]
    assert pairs["balanced", "teacher fp32"]["accuracy"]["value"] == pytest.approx(0.935 - 0.94)


def test_a_pair_is_of_every_seed_that_answered_the_rows_and_says_which(sources: Sources) -> None:
    """Seeds 0 and 1 have 93 and 94 %: their mean, row by row, is held against the other side."""
    document = join(sources)
    pairs = {(one["first"], one["second"]): one for one in document["comparisons"]}
    found = pairs["balanced", "linear svm"]
    assert found["seeds"] == [[0, 1], [0]]
    assert found["accuracy"]["value"] == pytest.approx(0.035)
    assert pairs["risk-1", "full"]["seeds"] == [[0, 1], [0, 1]]
    assert pairs["cascade within the compute of static-1", "static-1"]["seeds"] == [[0], [0]]
    page = to_markdown(document)
    assert "| balanced | linear svm | 0, 1 / 0 | +3.50 (" in page
    assert "| risk-1 | full | 0, 1 | " in page
    for one in document["comparisons"]:
        one.pop("seeds", None)
    assert "| balanced | linear svm | 0 | " in to_markdown(document)  # of before several were paired
    # Of a home model each seed has rows of its own: the others say nothing of these.
    save_rows(sources.builds(0) / "rows-dyn8-1.npz", rows(dict.fromkeys(RULES, 0.94), sha256="b" * 64))
    pairs = {(one["first"], one["second"]): one for one in join(sources)["comparisons"]}
    assert pairs["balanced", "linear svm"]["seeds"] == [[0], [0]]
    assert pairs["balanced", "linear svm"]["accuracy"]["value"] == pytest.approx(0.03)


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


def test_what_quantising_costs_is_told_from_what_seeds_differ_by(sources: Sources) -> None:
    """Seed 0 has 93 % in int8, the mean of seeds 93.5: float32 of seed 0 is held against the former."""
    checks = {one["name"]: one for one in join(sources)["checks"]}
    unknown = checks["int8 below float32, the same student"]
    assert (unknown["value"], unknown["ok"]) == (None, False)
    assert unknown["command"] == "ciuic model variant hwu64 as-shipped"
    save_rows(sources.builds(0) / "variants" / "as-shipped-0.npz", rows({"exit-3": 0.9325}))
    checks = {one["name"]: one for one in join(sources)["checks"]}
    assert checks["int8 below float32, the same student"]["value"] == pytest.approx(0.0025)
    assert checks["int8 below float32, the same student"]["ok"]


@pytest.mark.parametrize("name", ["clinc150", "home-en", "banking77"])
def test_what_quantising_costs_is_asked_of_every_model(name: str, tmp_path: Path) -> None:
    document = join(Sources(name, (0,), lambda _: tmp_path / "none", tmp_path, tmp_path))
    assert document["ablation"] == []
    row = "| int8 below float32, the same student | – | <= | 0.30% | "
    assert f"{row}not measured: `ciuic model variant {name} as-shipped` |" in to_markdown(document)


def test_a_build_is_held_to_its_times_by_the_seed_that_took_longest(sources: Sources) -> None:
    names = ("build: sum of its steps, slowest seed", "build: graphs and release, slowest seed")
    checks = {one["name"]: one for one in join(sources)["checks"]}
    for name in names:
        assert checks[name]["value"] is None
        assert checks[name]["command"] == "ciuic model build hwu64"
    for seed, student in ((0, 1000.0), (1, 3200.0)):
        path = sources.builds(0) / f"report-dyn8-{seed}.json"
        report = json.loads(path.read_text())
        report["seconds"] = {"student": student, "graphs": 300.0, "release": 290.0}
        path.write_text(json.dumps(report))
    document = join(sources)
    checks = {one["name"]: one for one in document["checks"]}
    assert [(checks[name]["value"], checks[name]["ok"]) for name in names] == [(3790.0, False), (590.0, True)]
    assert "| build: sum of its steps, slowest seed | 3,790 s | <= | 3,600 s | **not met** |" in to_markdown(
        document
    )


def test_the_zeroth_exit_is_held_to_the_calibration_bound_where_a_rule_asks_it() -> None:
    for zeroth, worst in (({}, 0.012), ({"risk-1": 0.84}, 0.05)):
        checks = bounds_of("banking77", {}, [PART | {"zeroth_rules": zeroth}], Timed())
        assert {one["name"]: one["value"] for one in checks}[
            "calibration error, worst exit and seed"
        ] == worst


def test_the_promise_needs_all_three(sources: Sources) -> None:
    promise = join(sources)["promise"]
    assert promise["size"] == pytest.approx(4 / 90 - 1)
    assert promise["accuracy_loss"] == pytest.approx(1 - 0.935 / 0.94)
    assert promise["latency"] is None
    assert not promise["kept"]
    timed_of(sources, OWN, "BUSY MACHINE: not for publication.")
    assert join(sources)["promise"]["latency"] is None
    timed_of(sources, OWN, quiet=False)
    assert join(sources)["promise"]["latency"] is None
    timed_of(sources, OWN, quiet=True)
    document = join(sources)
    assert document["promise"]["latency"] == pytest.approx(-0.95)
    assert document["promise"]["kept"]
    checks = {one["name"]: one for one in document["checks"]}
    assert checks["full: times as fast as the teacher int8"]["ok"]


def test_the_speed_of_another_bundle_is_shown_as_such_and_judges_nothing(sources: Sources) -> None:
    timed_of(sources, FOREIGN)
    document = join(sources)
    promise = document["promise"]
    assert promise["latency"] is None
    assert not promise["kept"]
    assert promise["latency_earlier"] == {"value": pytest.approx(-0.95), "bundle_sha256": FOREIGN}
    checks = {one["name"]: one for one in document["checks"]}
    for rule, value in (("full", 6.0), ("risk-1", 13.0)):
        check = checks[f"{rule}: times as fast as the teacher int8"]
        assert (check["value"], check["ok"]) == (None, False)
        assert check["earlier"] == {"value": value, "bundle_sha256": FOREIGN}
    page = to_markdown(document)
    command = "not measured: `ciuic bench model --bundle models/hwu64.bundle`"
    assert f"mean latency {command}; −95.0% of an earlier bundle (222222222222…), accuracy loss" in page
    assert "**not shown yet**" in page
    row = "| risk-1: times as fast as the teacher int8 | 13 x of an earlier bundle (222222222222…) | >= | 12 x |"
    assert f"{row} {command} |" in page
    timed_of(sources, OWN)
    page = to_markdown(join(sources))
    assert "earlier bundle" not in page
    assert "| 13 x (`model-hwu64.json`) | >= | 12 x | met |" in page


def test_where_the_reference_host_has_not_timed_this_bundle_another_host_may_have(sources: Sources) -> None:
    timed_of(sources, FOREIGN)
    timed_of(sources, OWN, "BUSY MACHINE: not for publication.", host="loud")
    assert join(sources)["promise"]["latency"] is None
    timed_of(sources, OWN, host="older")
    document = join(sources)
    assert document["promise"]["latency"] == pytest.approx(-0.95)
    assert "| 13 x (`older/model-hwu64.json`) | >= | 12 x | met |" in to_markdown(document)


def test_without_a_report_no_speed_is_this_bundle_s(sources: Sources) -> None:
    timed_of(sources, OWN)
    (sources.builds(0) / "report-dyn8-0.json").unlink()
    document = join(sources)
    assert document["promise"]["latency"] is None
    assert document["promise"]["latency_earlier"]["bundle_sha256"] == OWN


def test_ways_through_another_bundle_are_not_compared(sources: Sources) -> None:
    tradeoff_of(sources.models, FOREIGN)
    pairs = {(one["first"], one["second"]): one for one in join(sources)["comparisons"]}
    found = pairs["cascade within the compute of static-1", "static-1"]
    assert "accuracy" not in found
    assert found["not_run"] == ["ciuic model tradeoff models/hwu64.bundle"]
    assert "measured of another bundle: not run: `ciuic model tradeoff" in to_markdown(join(sources))


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
    checks = {one["name"]: one for one in bounds_of("home-en", {}, [part, None], Timed())}
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


def variant_of(sources: Sources, name: str, systems: dict[str, float], **settings: Any) -> None:
    """As `ciuic model variant` leaves one."""
    folder = sources.builds(0) / "variants"
    save_rows(folder / f"{name}-0.npz", rows(systems))
    facts = {"settings": settings, "widths": {"1": {"accuracy": 0.695}}, "exits": {"3": {"accuracy": 0.9}}}
    (folder / f"{name}-0.json").write_text(json.dumps(facts))


def test_each_variant_changes_one_thing() -> None:
    """The gates are fixed wherever the order is not learned: they would stand for groups that are not sorted by them."""
    from conversion.variant_table import VARIANTS

    for name in ("groups-random", "groups-magnitude"):
        assert set(VARIANTS[name]) - {"learned_gates"} == {"order"}
    assert VARIANTS["no-sandwich"] == {"sandwich": False}


def test_what_was_measured_under_a_name_that_says_something_else_today_goes_by_what_it_is(
    sources: Sources,
) -> None:
    full = {"exit-3": 0.93, "width-3": 0.92, "width-2": 0.91, "width-1": 0.90}
    variant_of(sources, "as-shipped", full)
    variant_of(sources, "groups-magnitude", {"exit-3": 0.9}, order="magnitude", sandwich=False)
    document = join(sources)
    row = {one["system"]: one for one in document["ablation"]}
    assert row["groups-magnitude, no sandwich"]["by_width"] == {"1": 0.695}
    assert row["groups-magnitude"] == {
        "system": "groups-magnitude", "runs": 0, "not_run": ["ciuic model variant hwu64 groups-magnitude"],
    }  # fmt: skip
    assert row["no-sandwich"]["runs"] == 0
    pairs = {one["second"]: one for one in document["comparisons"] if one["first"] == "as-shipped"}
    assert "accuracy" in pairs["groups-magnitude, no sandwich"]
    assert "accuracy" not in pairs["groups-magnitude"]
    variant_of(sources, "groups-magnitude", full, order="magnitude", sandwich=True)
    document = join(sources)
    assert "groups-magnitude, no sandwich" not in {one["system"] for one in document["ablation"]}


@pytest.mark.parametrize(
    ("name", "settings", "shipped", "told"),
    [
        ("no-kl", {"punctuated": 0.15}, {}, "no-kl"),  # nothing is known of what ships
        ("no-kl", {"punctuated": 0.15}, {"seed": 0}, None),  # it is older than the variant
        ("no-kl", {"seed": 0}, {"seed": 0}, "no-kl"),
        ("no-kl", {"seed": 0}, {"punctuated": 0.15}, "no-kl, no marks"),
        ("no-marks", {"punctuated": 0.0}, {"punctuated": 0.15}, "no-marks"),
        ("static-1", {"seed": 0}, {"punctuated": 0.15}, None),
        ("no-kl", {"layers": 2}, {"layers": 2}, "no-kl"),
        ("no-kl", {"layers": 2}, {"layers": 1}, None),  # two things differ
        ("no-kl", {"layers": 2}, {}, "no-kl"),
    ],
)
def test_a_file_is_named_by_what_its_student_was_shown(
    name: str, settings: dict[str, Any], shipped: dict[str, Any], told: str | None
) -> None:
    assert name_of(name, settings, shipped) == told


def test_students_of_the_lesson_before_are_compared_with_one_of_theirs(sources: Sources) -> None:
    """What ships is shown marks at ends; of a file without that setting the student was not."""
    report = sources.builds(0) / "report-dyn8-0.json"
    report.write_text(json.dumps(json.loads(report.read_text()) | {"settings": {"punctuated": 0.15}}))
    variant_of(sources, "as-shipped", {"exit-3": 0.93}, punctuated=0.15)
    variant_of(sources, "no-marks", {"exit-3": 0.90}, seed=0)
    variant_of(sources, "no-kl", {"exit-3": 0.88}, seed=0)
    variant_of(sources, "no-cosine", {"exit-3": 0.92}, punctuated=0.15)
    variant_of(sources, "static-1", {"exit-1": 0.99}, seed=0)
    document = join(sources)
    pairs = {(one["first"], one["second"]): one for one in document["comparisons"]}
    assert pairs["no-marks", "no-kl, no marks"]["accuracy"]["value"] == pytest.approx(0.02, abs=1e-3)
    assert pairs["as-shipped", "no-cosine"]["accuracy"]["value"] == pytest.approx(0.01, abs=1e-3)
    assert pairs["as-shipped", "no-marks"]["accuracy"]["value"] == pytest.approx(0.03, abs=1e-3)
    assert "accuracy" not in pairs["as-shipped", "no-kl"]
    ablation = {one["system"]: one for one in document["ablation"]}
    assert ablation["no-kl"]["not_run"] == ["ciuic model variant hwu64 no-kl"]
    assert ablation["no-kl, no marks"]["runs"] == 1
    # A static student of another lesson shows nothing of exits.
    assert {one["system"]: one for one in document["rows"]}["static-1 (float32)"]["runs"] == 0


def test_every_width_is_paired_where_its_rows_were_kept(sources: Sources) -> None:
    variant_of(sources, "as-shipped", {"exit-3": 0.93, "width-3": 0.92, "width-2": 0.92, "width-1": 0.90})
    variant_of(sources, "no-kl", {"exit-3": 0.93, "width-3": 0.92, "width-2": 0.90, "width-1": 0.70})
    variant_of(sources, "no-cosine", {"exit-3": 0.93})
    document = join(sources)
    pairs = {one["second"]: one for one in document["comparisons"] if one["first"] == "as-shipped"}
    widths = pairs["no-kl"]["widths"]
    assert [widths[width]["accuracy"]["value"] for width in ("3", "2", "1")] == pytest.approx(
        [0.0, 0.02, 0.2]
    )
    assert not pairs["no-kl"]["accuracy"]["better"]
    assert widths["1"]["accuracy"]["better"]
    assert pairs["no-cosine"]["widths"]["1"]["not_run"] == ["ciuic model variant hwu64 no-cosine"]
    page = to_markdown(document)
    assert "| first | second | width 3 of 4, points |" in page
    assert "+20.00 (" in page
    for one in document["comparisons"]:
        one.pop("widths", None)
    assert "width 3 of 4" not in to_markdown(document)  # of before widths were paired


def test_another_recipe_stands_beside_the_one_that_ships(sources: Sources) -> None:
    """On the same rows; what its accelerator would take is the compiler's word, and none is said where it did not run."""
    build = sources.builds(0)
    said: dict[str, dict[str, Any]] = {
        "ethosu": {"compiled": True, "share": 0.966, "compiler": "vela 5", "estimated_s": 0.0038},
        "edgetpu": {"compiled": False, "why": "not compiled: the program is not on PATH"},
    }
    for recipe, accelerator in said.items():
        part = {
            "rules": {"balanced": {"accuracy": 0.9}},
            "sizes": {"bundle": 2_000_000},
            "accelerator": accelerator,
        }
        (build / f"report-{recipe}-0.json").write_text(json.dumps({"recipes": {recipe: part}}))
    save_rows(build / "rows-ethosu-0.npz", rows({"balanced": 0.9}))
    document = join(sources)
    assert [row["recipe"] for row in document["recipes"]] == ["ethosu", "edgetpu"]
    assert document["recipes"][0]["against"]["accuracy"]["value"] == pytest.approx(-0.03, abs=0.005)
    page = to_markdown(document)
    assert "| ethosu | dyt | 90.00% | -3.00 (" in page
    assert "96.6% by vela 5, 3.8 ms estimated" in page
    edgetpu = next(line for line in page.splitlines() if line.startswith("| edgetpu"))
    assert "`ciuic model build hwu64 --recipe edgetpu`" in edgetpu
    assert "not on PATH" in edgetpu
