"""Boards hear what they would get, before anyone flashes: size, accuracy, seconds, and on what that rests."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import pytest

from conversion.check.hosts import host_of
from conversion.cli import configure_model
from conversion.targets.report import Built, Measured, build_command, rows
from conversion.targets.text import table_text
from device_profiles.loader import list_profiles, load_profile
from tests.conversion.targets.rig import built, row_of


def test_every_ladder_has_its_rows_and_unknown_is_null() -> None:
    reference = built()
    found = rows({"dyn8": reference}, reference, {})
    for name in list_profiles():
        for delegate in load_profile(name).delegates:
            assert row_of(found, name, delegate.name).recipe == delegate.recipe
    coral = row_of(found, "coral-dev-board", "edgetpu")
    assert coral.status == "not built: ciuic model build home-en --recipe edgetpu"
    assert coral.operators is not None
    assert 0.1 < (coral.operators.share or 0.0) < 0.5
    assert "nothing of this model" in coral.basis
    assert (coral.accuracy_change, coral.predicted_s, coral.predicted_j) == (None, None, None)
    assert row_of(found, "raspberry-pi-5", "xnnpack").predicted_s is None


def staged() -> Built:
    """As `ciuic model build minilm` writes it: another architecture, which has no recipes but its own."""
    reference = built()
    sizes = {"d_model": 384.0, "heads": 12.0}
    manifest = replace(
        reference.manifest, name="hwu64-minilm", attention="bidirectional", frame=(101, 102), dims=sizes
    )
    return replace(reference, manifest=manifest)


def test_of_another_architecture_nothing_is_said_that_is_not_known() -> None:
    reference = staged()
    found = rows({"dyn8": reference}, reference, {})
    assert row_of(found, "raspberry-pi-5", "xnnpack").status == "built"
    unknown = [row for row in found if row.status != "built"]
    assert {row.delegate for row in unknown} >= {"edgetpu", "vx", "gpu", "ethosu", "teflon"}
    for row in unknown:
        assert row.status == "not known for this architecture"
        assert (row.operators, row.accuracy, row.predicted_s) == (None, None, None)
    text = table_text(found)
    assert "ciuic model build" not in text
    assert "BATCH_MATMUL" not in text
    assert "[1]  not known for this architecture" in text
    assert "tflite-runtime" not in text  # no w8 of it is there, nor can one be built


@pytest.mark.parametrize(
    "change", [{"attention": "bidirectional"}, {"frame": (101, 102)}, {"dims": {"d_model": 384.0}}]
)
def test_what_differs_from_deepseeklite_in_one_thing_has_no_recipe_to_build(change: dict[str, Any]) -> None:
    manifest = built().manifest
    assert build_command(manifest, "w8") == "ciuic model build home-en --recipe w8"
    assert build_command(replace(manifest, **change), "w8") is None


def test_a_custom_model_s_other_recipes_have_a_command_that_exists() -> None:
    reference = built()
    reference = replace(reference, manifest=replace(reference.manifest, name="mine"))
    coral = row_of(rows({"dyn8": reference}, reference, {}), "coral-dev-board", "edgetpu")
    assert coral.operators is not None  # it is a DeepSeekLite
    command = coral.status.removeprefix("not built: ")
    assert command.startswith(
        "ciuic model build custom --name mine --recipe edgetpu --checkpoint DIR --data FILE"
    )
    parser = argparse.ArgumentParser()
    configure_model(parser)
    asked = parser.parse_args(command.removesuffix(" (as before)").split()[2:])
    assert (asked.name, asked.as_name, asked.recipe) == ("custom", "mine", "edgetpu")


def test_the_cpu_under_tflite_runtime_has_its_row_of_w8() -> None:
    reference, other = built(), built("w8", 0.893)
    found = rows({"dyn8": reference, "w8": other}, reference, {"w8": Measured(3e-4, "elsewhere.json", {})})
    row, profile = row_of(found, "raspberry-pi-5", "tflite-runtime"), load_profile("raspberry-pi-5")
    assert (row.recipe, row.status, row.size_bytes) == ("w8", "built", 1000)
    assert row.accuracy_change == pytest.approx(-0.7)
    factor, busy_w = profile.simulation.speed_factor, profile.simulation.busy_w
    assert factor is not None and busy_w is not None  # noqa: PT018 - for the type checker
    assert row.predicted_s == pytest.approx(3e-4 * factor)
    assert row.predicted_j == pytest.approx(3e-4 * factor * busy_w)
    with_cpu = [
        name for name in list_profiles() if "xnnpack" in {d.name for d in load_profile(name).delegates}
    ]
    assert [one.board for one in found if one.delegate == "tflite-runtime"] == with_cpu
    without = row_of(rows({"dyn8": reference}, reference, {}), "raspberry-pi-5", "tflite-runtime")
    assert without.status == "not built: ciuic model build home-en --recipe w8"


def test_predictions_say_what_they_rest_on() -> None:
    reference = built()
    found = rows({"dyn8": reference}, reference, {"dyn8": Measured(1e-4, "somewhere.json", {})})
    pi, profile = row_of(found, "raspberry-pi-5", "xnnpack"), load_profile("raspberry-pi-5")
    factor, busy_w = profile.simulation.speed_factor, profile.simulation.busy_w
    assert factor is not None and busy_w is not None  # noqa: PT018 - for the type checker
    assert pi.predicted_s == pytest.approx(1e-4 * factor)
    assert pi.predicted_j == pytest.approx(1e-4 * factor * busy_w)
    assert "somewhere.json" in pi.basis
    assert "predicted" in pi.basis
    assert row_of(found, "rock-5b", "xnnpack").predicted_j is None


def test_a_recipe_says_its_size_and_what_it_costs_in_accuracy() -> None:
    reference, other = built(), built("edgetpu", 0.885)
    found = rows({"dyn8": reference, "edgetpu": other}, reference, {})
    coral = row_of(found, "coral-dev-board", "edgetpu")
    assert coral.accuracy_change == pytest.approx(-1.5)
    assert coral.operators is not None
    assert coral.operators.mapped == 0
    assert any("coral.ai" in source for source in coral.sources)
    text = table_text(found)
    assert "88.50% -1.50" in text
    assert "works on float32" in text
    assert text.count("[1]") == 3  # the board, the stick, and one note for both


def test_seconds_of_a_compared_host_are_stretched_and_their_joules_wider() -> None:
    reference = built()
    machine = {
        "arch": "x86_64",
        "cpu": "Intel(R) Xeon(R) Processor",
        "cpu_family": 6,
        "cpu_vectors": ["avx2", "amx_int8"],
    }
    host = host_of(machine)
    assert host is not None
    timed = Measured(host.stretch * 1e-4, "a.json", {}), Measured(1e-4, "b.json", machine)
    here, there = (row_of(rows({"dyn8": reference}, reference, {"dyn8": one}), "raspberry-pi-5", "xnnpack") for one in timed)  # fmt: skip
    assert there.predicted_s == pytest.approx(here.predicted_s)
    assert there.predicted_j == pytest.approx(here.predicted_j)
    assert here.predicted_u95_j is not None
    assert (there.predicted_u95_j or 0.0) > here.predicted_u95_j
    assert "x 1.11 ± 30 % x speed_factor" in there.basis
    unknown = Measured(1e-4, "c.json", machine | {"cpu_vectors": ["avx2"]})
    row = row_of(rows({"dyn8": reference}, reference, {"dyn8": unknown}), "raspberry-pi-5", "xnnpack")
    assert (row.predicted_s, row.predicted_j) == (None, None)
    assert "say nothing of a board" in row.unknown["predicted_s"]
