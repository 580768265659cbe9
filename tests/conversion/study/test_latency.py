"""The stopwatch times the device's own engine on asked ways; parts add up as the engine walks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conversion.check.cascade import Array, Configuration, Outcome, Rule, shared, static
from conversion.check.compute import Lengths
from conversion.study import stopwatch
from conversion.study.latency import Asked, Timing, manifest_with
from firmware_py.bundles.read import Unpacked, unpack
from firmware_py.bundles.verify import Trust
from firmware_py.bundles.write import write_bundle
from firmware_py.contracts.manifest import parse_manifest
from firmware_py.testing.tiny_bundle import tiny_files

TEXTS = ("turn on the kitchen light", "off", "please turn off the garden lights now now now now now")
WAYS = {
    "full": Configuration((4, 4, 4), static(3, 3)),
    "narrow": Configuration((4, 2, 1), shared("balanced", 0.8, 3)),
    "cheap": Configuration((4, 2, 1), Rule("z", (0.9, 0.9, 0.0), 0.7)),
}
TEMPERATURES = {(): 4.0, (4,): 2.0, (4, 4): 1.5, (4, 4, 4): 1.1, (4, 2): 1.4, (4, 2, 1): 1.3}


@pytest.fixture
def unpacked(tmp_path: Path) -> Unpacked:
    path = tmp_path / "tiny.bundle"
    write_bundle(path, *tiny_files(rich=True))
    return unpack(path, Trust(None, allow_unsigned=True), tmp_path / "store")


def test_the_manifest_gets_every_way_as_a_rule_and_its_calibration(unpacked: Unpacked) -> None:
    asked = Asked(WAYS, TEMPERATURES, TEXTS)
    changed, ways = manifest_with(unpacked.manifest.to_dict(), asked)
    manifest = parse_manifest(changed)
    assert [way.name for way in ways] == list(WAYS)
    (variant,) = manifest.variants
    assert variant.temperatures == (2.0, 1.4, 1.3)
    assert set(variant.exit_rules) == {"way-1", "way-2"}
    assert manifest.zeroth_rules["way-2"] == 0.7
    assert [head.temperature for head in manifest.heads] == [4.0, 2.0, 1.5, 1.1]
    assert "balanced" in manifest.exit_rules


def test_a_job_times_every_part_and_every_text_on_every_way(
    unpacked: Unpacked, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, ways = manifest_with(unpacked.manifest.to_dict(), Asked(WAYS, TEMPERATURES, TEXTS))
    (tmp_path / "manifest.json").write_text(json.dumps(changed))
    job = {
        "folder": str(unpacked.folder), "sha256": unpacked.sha256, "manifest": str(tmp_path / "manifest.json"),
        "texts": TEXTS, "ways": [{"name": w.name, "widths": w.widths, "rule": w.rule} for w in ways],
        "rounds": 3, "answers": str(tmp_path / "answers.json"),
    }  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps(job))
    assert stopwatch.main(str(tmp_path / "job.json")) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1.0000"
    found = json.loads((tmp_path / "answers.json").read_text())
    assert {name: len(seconds) for name, seconds in found["answers"].items()} == dict.fromkeys(WAYS, 3)
    assert all(second > 0 for seconds in found["answers"].values() for second in seconds)
    graphs = {f"graph 8/{s}/{w}" for s in (1, 2, 3) for w in (1, 2, 3, 4)} | {
        f"graph 16/{s}/4" for s in (1, 2, 3)
    }
    others = {f"{name}/{b}" for b in (8, 16) for name in ("head 0", "head 1", "head 2", "head 3")}
    assert set(found["parts"]) == graphs | others | {
        f"{name} {b}" for b in (8, 16) for name in ("words", "tags", "host")
    }
    timing = Timing("scripted", found["parts"], {}, 0.0)
    lengths = Lengths.of([1, 8, 12], (8, 16))

    def composed(in_vain: list[int]) -> Array:
        nothing = np.zeros(3)
        exits = np.array([0, 1, 3])
        outcome = Outcome(exits, nothing, nothing, nothing, nothing, nothing, None, np.array(in_vain))
        return timing.composed(WAYS["cheap"], outcome, lengths)

    rows = composed([0, 0, 0])
    parts = found["parts"]
    assert rows[0] == pytest.approx(parts["head 0/8"] + parts["host 8"] + parts["words 8"] + parts["tags 8"])
    assert composed([0, 1, 0]) - rows == pytest.approx([0.0, parts["words 8"], 0.0])
    deepest = (
        [f"graph 16/{s}/4" for s in (1, 2, 3)]
        + [f"head {e}/16" for e in range(4)]
        + ["host 16", "words 16", "tags 16"]
    )
    assert rows[2] == pytest.approx(sum(parts[name] for name in deepest))


def test_a_summary_has_the_mean_and_its_interval() -> None:
    timing = Timing("x", {}, {"a": np.array([1.0, 2.0, 3.0, 4.0])}, 0.1)
    found = timing.summary("a")
    assert found["mean"] == 2.5
    assert found["p50"] == 2.5
    assert found["mean_low"] < 2.5 < found["mean_high"]
    assert found["n"] == 4
    assert timing.quiet
    assert not Timing("x", {}, {}, 0.9).quiet
    assert not Timing("x", {}, {}, None).quiet
