"""The committed trade-offs: each page is its document's, made again without measuring; fronts are of their own axes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conversion.study.command import read_document
from conversion.study.fronts import computation, front, ways
from conversion.study.page import risk_rows, to_html
from conversion.study.pictures import pictures, write_pictures

ROOT = Path(__file__).resolve().parents[3]
MEASURED = ROOT / "docs" / "measurements"
FORMER = "banking77-2026-11-22"  # of an earlier bundle, and without calibration
NAMES = ("banking77", FORMER, "clinc150", "hwu64")
AGE = '<p class="warn">Of an earlier bundle'


def document(name: str) -> dict[str, Any]:
    return read_document(MEASURED / f"{name}.tradeoff.json")


def without_age(page: str) -> list[str]:
    """Whether a bundle is of today changes with every build; nothing else of the page does."""
    return [line for line in page.splitlines() if not line.startswith(AGE)]


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_page_is_what_its_document_says(name: str) -> None:
    page = (MEASURED / f"{name}.tradeoff.html").read_text("utf-8")
    assert without_age(page) == without_age(to_html(document(name)))


def test_the_pictures_in_the_explanation_are_what_their_document_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "explanation-exits-width-calibration.md").read_text("utf-8")
    made = write_pictures(document("banking77"), tmp_path, "banking77")
    assert "banking77.energy.svg" in {path.name for path in made}
    for path in made:
        assert (ROOT / "docs" / "pictures" / path.name).read_text("utf-8") == path.read_text("utf-8")
    for name in ("banking77.latency.svg", "banking77.energy.svg", "hwu64.calibration.svg"):
        assert f"(pictures/{name})" in page
    for name in NAMES:
        assert f"(measurements/{name}.tradeoff.html)" in page


@pytest.mark.parametrize("name", NAMES)
def test_every_computation_is_in_a_picture_once(name: str) -> None:
    found = document(name)
    keys = [computation(w.row["widths"], w.row["thresholds"], w.row["zeroth"]) for w in ways(found)]
    assert len(keys) == len(set(keys))
    rows = [row for group in ("rows", "equal_compute", "points") for row in found[group]]
    assert sum(len(way.members) for way in ways(found)) == len(rows)
    exits = {way.label.split(" = ")[0] for way in ways(found) if way.kind == "exit"}
    assert exits == {"exit 0", "exit 1", "exit 2", "exit 3"}
    for picture in pictures(found):
        if picture.stem == "calibration":  # of exits, not of computations
            continue
        assert picture.drawing.count("<title>") == len(keys) + 1  # the picture's own


def test_a_cascade_that_is_one_exit_is_shown_as_that_exit() -> None:
    """Where the cascade within one stage's compute is `t0`, the first exit answers everything."""
    found = document("hwu64")
    point = next(row for row in found["points"] if row["name"] == "exit-1")
    same = {"name": "static-1", "configuration": "w4-4-4 t0", "thresholds": [0.0, 0.0, 0.0]}
    found["equal_compute"] = [
        {**point, **same} if row["name"] == "static-1" else row for row in found["equal_compute"]
    ]
    (way,) = [way for way in ways(found) if way.label.startswith("exit 1")]
    assert ("equal_compute", "static-1") in [(group, row["name"]) for group, row in way.members]
    page = to_html(found)
    assert "<td>static-1</td><td>w4-4-4 exit-1</td>" in page
    assert "w4-4-4 t0<" not in page


def test_a_front_is_of_its_own_axes() -> None:
    """What is best for its compute is beaten in seconds: the first ratio's way on banking77."""
    said = {picture.stem: picture.caption.split(". ")[0] for picture in pictures(document(FORMER))}
    assert list(said) == ["latency", "energy", "compute"]
    assert "ratio 0.1" in said["compute"]
    assert "ratio 0.1" not in said["latency"]
    assert "ratio 0.1" not in said["energy"]
    for caption in said.values():
        assert "exit 0" in caption
        assert "balanced" not in caption


@pytest.mark.parametrize("name", NAMES)
def test_no_point_beats_one_on_the_front_in_latency(name: str) -> None:
    class Spent:
        def __init__(self, row: Any) -> None:
            self.x = row["latency_s"]["ai-edge-litert"]["mean"]
            self.y = row["report"]["accuracy"]

    spent = [Spent(way.row) for way in ways(document(name))]
    best = front(spent)
    assert 2 <= len(best) < len(spent)
    assert not any(other.x < one.x and other.y >= one.y for one in best for other in spent)


@pytest.mark.parametrize("name", NAMES)
def test_the_risk_rules_of_the_bundle_come_first_with_what_they_rest_on(name: str) -> None:
    listed = risk_rows(document(name))
    assert [one["configuration"] for one in listed][:2] == ["w4-4-4 risk-1", "w4-4-4 risk-2"]
    for one in listed[:2]:
        assert one["shipped"]
        assert one["holds"]
        assert one["rows"] > 500
        assert one["realised"] <= one["epsilon"]


def test_a_rule_whose_record_is_missing_has_that_of_the_same_computation_or_none() -> None:
    found = document(FORMER)
    found["risks"] = [one for one in found["risks"] if one["configuration"].endswith("+z")]
    listed = {one["configuration"]: one for one in risk_rows(found)}
    assert (
        listed["w4-4-4 risk-1"]["harmed"] == listed["w4-4-4 risk-1+z"]["harmed"]
    )  # both ask exit 0 from 0.84
    assert "harmed" not in listed["w4-4-4 risk-2"]
    assert "not in this file" in to_html(found)


def test_a_page_of_an_earlier_bundle_says_so() -> None:
    found = document("banking77")
    assert AGE not in to_html(found)
    assert AGE not in to_html(found, ("banking77.bundle", found["bundle"]["sha256"]))
    page = to_html(found, ("banking77.bundle", "f" * 64))
    assert f"{AGE} ({found['bundle']['sha256'][:12]}…): banking77.bundle is ffffffffffff… today" in page


def test_spreads_have_digits(tmp_path: Path) -> None:
    for name in NAMES:
        assert "± 0.00 " not in to_html(document(name))


def test_a_document_of_before_calibration_was_kept_has_no_such_picture() -> None:
    found = document(FORMER)
    assert "calibration" not in [picture.stem for picture in pictures(found)]
    bins = [{"rows": 9, "confidence": 0.5, "right": 0.4}]
    found["calibration"] = [{"exit": 1, "error": 0.1, "perfect_p95": 0.2, "rows": 9, "bins": bins}]
    assert "calibration" in [picture.stem for picture in pictures(json.loads(json.dumps(found)))]
