"""People read in 100 columns what falls back and why, and why a figure is unknown."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from conversion.targets import command
from conversion.targets.mapping import AFTER_THE_FIRST
from conversion.targets.report import FIGURES, rows
from conversion.targets.text import COLUMNS, table_text
from tests.conversion.targets.rig import ROOT, TRUST, built, row_of

# Without measured seconds and with a recipe beside it; without either; with seconds.
SHIPPED = [ROOT / "models" / f"{name}.bundle" for name in ("home-en", "hwu64", "banking77")]


@pytest.mark.parametrize("bundle", SHIPPED, ids=lambda path: path.name)
def test_every_row_says_what_falls_back_and_why_a_figure_is_unknown(bundle: Path) -> None:
    document = command.targets(bundle, TRUST, ROOT / "docs" / "measurements")
    said = " ".join(document["text"].split())
    assert max(map(len, document["text"].splitlines())) <= COLUMNS == 100
    for row in document["rows"]:
        assert set(row["unknown"]) == {name for name in FIGURES if row[name] is None}, row
        assert all(" ".join(why.split()) in said for why in row["unknown"].values())
        for left in (row["operators"] or {"left": ()})["left"]:
            assert f"{left['count']} {left['operator']}" in said
            assert f"- {left['why']}: " in said


def test_the_numbers_in_the_table_are_those_of_the_reasons_and_each_reason_stands_once() -> None:
    document = command.targets(SHIPPED[0], TRUST, ROOT / "docs" / "measurements")
    table, below = document["text"].split("\n\n")
    reasons = re.findall(r"^\[(\d+)\] +(.*)", below, re.MULTILINE)
    assert {number for number, _ in reasons} == set(re.findall(r"\[(\d+)\]", table))
    assert [number for number, _ in reasons] == [str(place + 1) for place in range(len(reasons))]
    assert not any(
        " - " in re.sub(r"^- ", "", line) for line in table.splitlines()
    )  # no figure is a bare dash


def test_what_stands_behind_a_gap_is_named_after_the_gap() -> None:
    reference = built()
    coral = row_of(rows({"dyn8": reference}, reference, {}), "coral-dev-board", "edgetpu")
    text = table_text([coral])
    assert text.index("4 QUANTIZE") < text.index(AFTER_THE_FIRST[:40])
    assert "35 of 68 operators fall back to the CPU" in text
    assert "nothing of this model" in " ".join(text.split())


def test_of_a_reference_that_does_not_say_its_accuracy_a_change_is_unknown_and_the_accuracy_is_not() -> None:
    other, silent = built("w8", 0.885), built()
    silent = replace(silent, manifest=replace(silent.manifest, provenance={}))
    row = row_of(rows({"dyn8": silent, "w8": other}, silent, {}), "raspberry-pi-5", "tflite-runtime")
    assert row.unknown["accuracy_change"] == "home-en.bundle does not say its accuracy on the report split"
    assert "accuracy" not in row.unknown
    assert re.search(r"88\.50% \[\d\]", table_text([row]))


def test_a_form_of_one_layer_says_nothing_of_one_piece_out_of_two() -> None:
    one = built()
    two = replace(one, manifest=replace(one.manifest, dims={**one.manifest.dims, "layers": 2.0}))
    found = rows({"dyn8": two}, two, {})
    coral = row_of(found, "coral-dev-board", "edgetpu")
    assert coral.operators is None
    assert "2 layers" in coral.unknown["operators"]
    assert "ciuic model build home-en --recipe edgetpu" in coral.unknown["operators"]
    npu = row_of(found, "imx8mp-evk", "vx")
    assert npu.operators is not None, "a delegate that takes any piece takes the share that it takes of one"
