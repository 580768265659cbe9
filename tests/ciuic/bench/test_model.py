"""Ways take turns on the same texts; ratios are of means; a busy machine is said to be one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ciuic.bench import model
from ciuic.bench.model import report, table, take_turns
from firmware_py.bundles.read import unpack
from firmware_py.bundles.verify import Trust
from firmware_py.bundles.write import write_bundle
from firmware_py.contracts.measurement import is_publishable
from firmware_py.testing.tiny_bundle import tiny_files

SECONDS = {
    "teacher fp32": [0.020] * 200,
    "teacher int8": [0.010] * 200,
    "full": [0.001] * 200,
    "balanced": [0.0008] * 200,
    "risk-1": [0.0009] * 100 + [0.0011] * 100,
}


def test_ways_take_turns_and_everyone_answers_every_text() -> None:
    heard: list[tuple[str, str]] = []
    texts = [str(number) for number in range(130)]
    seconds = take_turns(
        {name: lambda text, name=name: heard.append((name, text)) for name in "abc"},  # type: ignore[misc]
        texts,
    )
    assert {name: len(taken) for name, taken in seconds.items()} == dict.fromkeys("abc", 130)
    timed = heard[3 * 20 :]
    for name in "abc":
        assert [text for who, text in timed if who == name] == texts
    leaders = [timed[begin][0] for begin in range(0, 360, 60)]
    assert leaders == ["a", "b", "c", "a", "b", "c"]


def test_ratios_are_of_means_against_both_forms() -> None:
    measurement = report("a" * 64, SECONDS, 0.0)
    rows = {row.config: row for row in measurement.rows}
    assert rows["full"].extra["times_faster_than_int8"] == pytest.approx(10.0)
    assert rows["full"].extra["times_faster_than_fp32"] == pytest.approx(20.0)
    assert rows["risk-1"].extra["times_faster_than_int8"] == pytest.approx(10.0)
    assert "times_faster_than_int8" not in rows["teacher fp32"].extra
    checks = {check.name: check.ok for check in measurement.checks}
    assert checks == {
        "full: times as fast as the teacher int8": True, "risk-1: times as fast as the teacher int8": False,
    }  # fmt: skip
    text = table(measurement)
    assert "10.0x int8" in text
    assert "FAIL risk-1" in text


def test_a_bundle_without_risk_1_has_an_unknown_and_so_unmet_bound() -> None:
    measurement = report("a" * 64, {k: v for k, v in SECONDS.items() if k != "risk-1"}, 0.0)
    assert [check.value is None for check in measurement.checks] == [False, True]
    assert "unknown" in table(measurement)


def test_a_busy_machine_is_said() -> None:
    for others_cores, quiet in ((0.8, False), (0.1, True), (None, False)):
        measurement = report("", SECONDS, others_cores)
        assert measurement.quiet is quiet
        assert is_publishable(measurement.to_dict()) is quiet
        assert any("BUSY" in note for note in measurement.notes) is not quiet


def test_this_engine_answers_at_full_depth_and_by_the_rules_of_the_bundle(tmp_path: Path) -> None:
    manifest, files = tiny_files(rich=True)
    rules = {**manifest.exit_rules, "risk-1": (0.4, 0.4, 0.0)}
    write_bundle(tmp_path / "tiny.bundle", replace(manifest, exit_rules=rules), files)
    unpacked = unpack(tmp_path / "tiny.bundle", Trust(None, allow_unsigned=True), tmp_path / "store")
    answers = model._ways(unpacked)
    exits = {name: answer("turn on the kitchen light").record.exit for name, answer in answers.items()}  # type: ignore[attr-defined]
    assert exits["full"] == 3
    assert exits["risk-1"] == 1
    assert exits["balanced"] <= 3
