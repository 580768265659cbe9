"""The command finds a bundle's other recipes and the measurements of this very bundle, and no others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from conversion.targets import command
from device_profiles.loader import load_profile
from firmware_py.bundles.read import read_bundle
from tests.conversion.targets.rig import HOME, ROOT, TRUST, home


def test_the_shipped_w8_bundle_is_found() -> None:
    document = command.targets(HOME, TRUST, ROOT / "docs" / "measurements")
    row = next(row for row in document["rows"] if row["delegate"] == "tflite-runtime")
    assert row["bundle"] == "home-en.w8.bundle"
    assert row["size_bytes"] == (ROOT / "models" / "home-en.w8.bundle").stat().st_size
    assert 0.8 < row["operators"]["share"] < 1.0
    assert "ciuic model tradeoff" in row["basis"] or row["predicted_s"] is not None


def test_the_document_names_what_it_left_out(tmp_path: Path) -> None:
    copy = tmp_path / "home-en.bundle"
    for name in ("home-en.bundle", "home-en.bundle.sig"):
        (tmp_path / name).write_bytes((ROOT / "models" / name).read_bytes())
    (tmp_path / "home-en.vx.bundle").write_bytes(b"damaged")
    (tmp_path / "home-en.vx.bundle.sig").write_bytes((ROOT / "models" / "home-en.bundle.sig").read_bytes())
    document = command.targets(copy, TRUST, tmp_path)
    assert list(document["refused"]) == ["home-en.vx.bundle"]
    json.dumps(document)
    assert document["simulated"] is True
    built_ = [row for row in document["rows"] if row["status"] == "built"]
    assert {row["recipe"] for row in built_} == {"dyn8"}
    assert all(row["operators"]["share"] == 1.0 for row in built_)


def test_seconds_are_only_those_of_this_very_bundle(tmp_path: Path) -> None:
    sha256 = home().sha256
    rows_ = [{"config": "balanced", "latency_s": {"p50": 2e-4}, "extra": {"what": "this engine"}}]
    for digest, known in ((sha256, True), ("0" * 64, False)):
        (tmp_path / "model-home-en.json").write_text(json.dumps({"bundle_sha256": digest, "rows": rows_}))
        document = command.targets(HOME, TRUST, tmp_path)
        pi = next(row for row in document["rows"] if row["board"] == "raspberry-pi-5")
        assert (pi["predicted_s"] is not None) == known


AMX = {"arch": "x86_64", "cpu": "Intel(R) Xeon(R) Processor", "cpu_family": 6, "cpu_vectors": ["amx_int8"]}


def test_a_host_s_own_folder_counts_behind_the_reference_host_and_a_mean_before_a_median(
    tmp_path: Path,
) -> None:
    def publish(path: str, machine: dict[str, Any], **latency_s: float) -> None:
        rows_ = [{"config": "balanced", "latency_s": latency_s, "extra": {"what": "this engine"}}]
        (tmp_path / path).parent.mkdir(exist_ok=True)
        document = {"bundle_sha256": home().sha256, "machine": machine, "rows": rows_}
        (tmp_path / path).write_text(json.dumps(document))

    def basis() -> str:
        document = command.targets(HOME, TRUST, tmp_path)
        return str(next(row for row in document["rows"] if row["board"] == "raspberry-pi-5")["basis"])

    publish("zen1/engine.json", {"cpu_family": 23}, mean=1e-4)
    assert "unknown" in basis()
    publish("engine.json", {"cpu_family": 26}, p50=1e-4)
    assert "median of engine.json" in basis()
    publish("amx/engine.json", AMX, mean=1e-4)
    assert "mean of amx/engine.json" in basis()
    publish("model-home-en.json", {"cpu_family": 26}, mean=1e-4)
    assert "mean of model-home-en.json" in basis()


def w8_rows(folder: Path) -> list[dict[str, Any]]:
    document = command.targets(HOME, TRUST, folder)
    return [
        row
        for row in document["rows"]
        if row["delegate"] == "tflite-runtime" and row["board"] == "raspberry-pi-5"
    ]


def test_seconds_are_only_those_of_the_row_s_runtime(tmp_path: Path) -> None:
    """A bench of the w8 bundle in ai-edge-litert says nothing about tflite-runtime."""
    w8 = read_bundle(ROOT / "models" / "home-en.w8.bundle", TRUST).sha256
    timed = [{"config": "balanced", "latency_s": {"p50": 2e-4}, "extra": {}}]
    for versions, notes, known in (
        ({"ai-edge-litert": "2.3.0"}, [], False),
        ({"tflite-runtime": "2.14.0"}, [], True),
        ({"tflite-runtime": "2.14.0"}, ["BUSY MACHINE: not for publication."], False),
    ):
        found = {"bundle_sha256": w8, "rows": timed, "versions": versions, "notes": notes}
        (tmp_path / "engine.json").write_text(json.dumps(found))
        assert [row["predicted_s"] is not None for row in w8_rows(tmp_path)] == [known]


def test_a_trade_off_times_each_runtime(tmp_path: Path) -> None:
    w8 = read_bundle(ROOT / "models" / "home-en.w8.bundle", TRUST).sha256
    factor = load_profile("raspberry-pi-5").simulation.speed_factor
    assert factor is not None
    latency = {"ai-edge-litert": {"p50": 1e-4}, "tflite-runtime": {"p50": 3e-4}}
    point = {"name": "balanced", "reachable": True, "latency_s": latency}
    for digest, quiet, family, seconds in (
        (w8, True, 26, 3e-4 * factor),
        (w8, False, 26, None),
        (w8, True, 23, None),  # a board's factor is against the reference host
        ("0" * 64, True, 26, None),
    ):
        found = {
            "bundle": {"sha256": digest},
            "machine": {"cpu_family": family},
            "timings": {name: {"quiet": quiet} for name in latency},
            "points": [point],
        }
        (tmp_path / "home-en.w8.tradeoff.json").write_text(json.dumps(found))
        (row,) = w8_rows(tmp_path)
        assert row["predicted_s"] == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("home-en.bundle", {"home-en.bundle", "home-en.w8.bundle"}),
        ("home-en.w8.bundle", {"home-en.bundle", "home-en.w8.bundle"}),
        ("home-en-1.bundle", {"home-en-1.bundle"}),
    ],
)
def test_another_seed_s_recipes_are_not_this_one_s(tmp_path: Path, asked: str, found: set[str]) -> None:
    for name in found | {"home-en.w8.bundle"}:
        source = HOME.with_name(name.replace("-1", ""))
        for ending in ("", ".sig"):
            shutil.copy(f"{source}{ending}", f"{tmp_path / name}{ending}")
    document = command.targets(tmp_path / asked, TRUST, tmp_path / "none")
    assert {row["bundle"] for row in document["rows"]} - {None} == found
