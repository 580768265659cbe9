"""A row's accuracy, seconds and joules are of one rule: the default one, and of its mean answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conversion.check.hosts import host_of
from conversion.check.on_board import estimated
from conversion.targets import command
from conversion.targets.report import Built, Row, rows
from conversion.targets.text import table_text
from device_profiles.loader import load_profile
from firmware_py.bundles.read import read_bundle
from firmware_py.bundles.verify import Trust

ROOT = Path(__file__).resolve().parents[3]
MODELS = ROOT / "models"
TRUST = Trust(MODELS / "trust", False)
HOME = MODELS / "home-en.bundle"


def built(path: Path) -> Built:
    bundle = read_bundle(path, TRUST)
    return Built(path, bundle.manifest, bundle.sha256, 1000, ())


def row_of(found: list[Row], board: str, delegate: str) -> Row:
    return next(row for row in found if (row.board, row.delegate) == (board, delegate))


def test_accuracy_is_that_of_the_rule_whose_seconds_stand_beside_it() -> None:
    ours = built(MODELS / "hwu64.bundle")
    manifest = ours.manifest
    pi = row_of(rows({"dyn8": ours}, ours, {}), "raspberry-pi-5", "xnnpack")
    assert pi.accuracy == manifest.provenance["figures"]["accuracy"]
    assert pi.accuracy != manifest.accuracy_by_exit[-1]
    silent = replace(ours, manifest=replace(manifest, provenance={}))
    found = rows({"dyn8": silent}, silent, {})
    assert row_of(found, "raspberry-pi-5", "xnnpack").accuracy is None
    assert "+0.00" not in table_text(found)


def test_joules_go_by_the_mean_and_have_a_half_width() -> None:
    document = command.targets(MODELS / "clinc150.bundle", TRUST, ROOT / "docs" / "measurements")
    pi = next(
        row for row in document["rows"] if (row["board"], row["delegate"]) == ("raspberry-pi-5", "xnnpack")
    )
    profile = load_profile("raspberry-pi-5")
    file = json.loads((ROOT / "docs" / "measurements" / "model-clinc150.json").read_text("utf-8"))
    mean_s = next(row["latency_s"]["mean"] for row in file["rows"] if row["config"] == "balanced")
    assert "mean of model-clinc150.json" in pi["basis"]
    host = host_of(file["machine"])
    assert host is not None
    assert pi["predicted_s"] == pytest.approx(
        mean_s * host.stretch * (profile.simulation.speed_factor or 0.0)
    )
    joules = estimated(profile, mean_s, file["machine"])
    assert (pi["predicted_j"], pi["predicted_u95_j"]) == (joules.energy_j, joules.u95_j)
    assert pi["predicted_u95_j"] > 0
    assert "±" in document["text"]


def test_a_median_alone_gives_seconds_and_no_joules(tmp_path: Path) -> None:
    """A mean in another file goes before it."""
    engine = {
        "bundle_sha256": built(HOME).sha256,
        "rows": [{"config": "balanced", "latency_s": {"p50": 1e-4}}],
    }
    (tmp_path / "engine.json").write_text(json.dumps(engine))

    def pi() -> dict[str, Any]:
        found = command.targets(HOME, TRUST, tmp_path)["rows"]
        return next(row for row in found if (row["board"], row["delegate"]) == ("raspberry-pi-5", "xnnpack"))

    assert pi()["predicted_s"] > 0
    assert pi()["predicted_j"] is None
    assert "a median, so no joules" in pi()["basis"]
    (tmp_path / "home-en.tradeoff.json").write_text(
        json.dumps(
            {
                "bundle": {"sha256": built(HOME).sha256},
                "timings": {"ai-edge-litert": {"quiet": True}},
                "points": [
                    {
                        "name": "balanced",
                        "reachable": True,
                        "latency_s": {"ai-edge-litert": {"mean": 2e-4, "p50": 1e-4}},
                    }
                ],
            }
        )
    )
    assert "mean of home-en.tradeoff.json" in pi()["basis"]
    assert pi()["predicted_j"] > 0


def test_an_accelerator_s_seconds_are_its_compiler_s_estimate_where_the_bundle_has_one() -> None:
    reference = built(HOME)
    said = {
        "compiler": "vela 5.2.0", "compiled": True, "accelerator": "ethos-u55-128", "length": 16, "estimated_s": 0.0038,
    }  # fmt: skip
    for accelerator, seconds in (
        (said, 0.0038),
        ({"compiler": "vela", "compiled": False, "why": "no"}, None),
    ):
        provenance = {**reference.manifest.provenance, "accelerator": accelerator}
        npu = replace(reference, manifest=replace(reference.manifest, recipe="ethosu", provenance=provenance))
        found = rows({"dyn8": reference, "ethosu": npu}, reference, {})
        row = row_of(found, "-", "ethosu")
        assert (row.predicted_s, row.predicted_j) == (seconds, None)
        if seconds is not None:
            assert "estimated by vela 5.2.0 for ethos-u55-128" in row.basis
            assert "nothing ran" in row.basis
            assert "~3800 µs" in table_text(found)
        assert row_of(found, "raspberry-pi-5", "xnnpack").predicted_s is None
