"""`ciuic bench energy`: few trials in the suite, the issue's 500 by command."""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from ciuic.bench import energy
from device_profiles.loader import load_profile
from firmware_py.contracts.errors import ConfigError
from firmware_py.contracts.measurement import parse_measurement
from firmware_py.energy.meters.ina219 import Wiring
from firmware_py.energy.open import specimen, wiring_of
from firmware_py.energy.simulated_bus import Chip


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    energy.configure(parser)
    return parser.parse_args(words)


def test_trials_repeat_by_seed() -> None:
    scenario = energy.SCENARIOS[0]
    assert energy.run_trial(scenario, 3) == energy.run_trial(scenario, 3)
    assert energy.run_trial(scenario, 3) != energy.run_trial(scenario, 4)


@pytest.mark.parametrize("name", ["reference", "bursts-x3"])
def test_forty_trials_lie_within_the_bounds(name: str) -> None:
    (scenario,) = (s for s in energy.SCENARIOS if s.name == name)
    found = energy.summarise([energy.run_trial(scenario, seed).gross for seed in range(40)])
    assert found.refused == 0
    assert found.p95 <= 0.02
    assert found.coverage >= 0.85
    assert found.ratio <= 1.6


def test_a_calibrated_node_claims_less_and_still_holds_it() -> None:
    found = {
        s.name: energy.summarise([energy.run_trial(s, seed).gross for seed in range(20)])
        for s in energy.SCENARIOS
        if s.node
    }
    wired, calibrated = found["node-as-wired"], found["node-calibrated"]
    assert calibrated.median_u95 < 0.75 * wired.median_u95
    for one in found.values():
        assert one.refused == 0
        assert one.coverage >= 0.85
        assert one.ratio <= 2.5


def test_a_nodes_rows_are_of_the_wiring_that_nodes_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """The laboratory's rows know their shunt to 0.1 %."""
    met: list[Wiring] = []

    def noted(rng: random.Random, wiring: Wiring) -> Chip:
        met.append(wiring)
        return specimen(rng, wiring)

    monkeypatch.setattr("ciuic.bench.energy.specimen", noted)
    rail = load_profile("raspberry-pi-4").rails[0]
    for name in ("reference", "node-as-wired", "node-calibrated"):
        energy.run_trial(next(s for s in energy.SCENARIOS if s.name == name), 0)
    assert met[0].shunt_tolerance == 0.001
    assert [(one.over_temperature, one.reference_u95) for one in met[1:]] == [(True, None), (True, 0.001)]
    assert met[1:] == [wiring_of(rail), wiring_of(replace(rail, reference_u95=0.001))]


def test_the_oracle_covers_exactly_95_percent() -> None:
    found = energy.summarise([((at + 1) / 100.0, 0.5) for at in range(100)])
    assert found.oracle_u95 == pytest.approx(0.95)
    assert found.coverage == pytest.approx(0.5)
    assert energy.summarise([None]).n == 0


def test_the_measurement_has_rows_and_checks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(energy, "SCENARIOS", energy.SCENARIOS[:2])
    status = energy.run(parse("--trials", "3", "--json", "--out", str(tmp_path)))
    printed = json.loads(capsys.readouterr().out)
    assert status == 1  # three trials are not 500
    assert printed == json.loads((tmp_path / "energy.json").read_text())
    assert [row["config"] for row in printed["rows"]] == [
        "reference/gross", "reference/net", "bursts-x3/gross", "bursts-x3/net",
    ]  # fmt: skip
    assert {check["ok"] for check in printed["checks"]} >= {False}
    assert all(row["extra"]["simulated"] for row in printed["rows"])
    for gross, net in zip(*[iter(parse_measurement(printed).rows)] * 2, strict=True):
        assert gross.energy_j is None, "a row's joules are above idle"
        assert net.energy_j is not None
        assert 0.0 < net.energy_j["u95"] < net.energy_j["mean"] < 5.0
        assert net.energy_j["source"] == "simulated"


def test_without_out_it_writes_where_the_others_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(energy, "SCENARIOS", energy.SCENARIOS[:1])
    energy.run(parse("--trials", "3"))
    printed = capsys.readouterr()
    assert "FAIL trials of a row" in printed.out
    assert printed.err.endswith("written: docs/measurements/energy.json\n")
    written = json.loads((tmp_path / "docs/measurements/energy.json").read_text())
    assert [row["n"] for row in written["rows"]] == [3, 3]


def test_no_trials_is_a_usage_error() -> None:
    with pytest.raises(ConfigError):
        energy.run(parse("--trials", "0"))


def test_a_file_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").touch()
    monkeypatch.setattr(energy, "measure", lambda *_: pytest.fail("the work had begun"))
    with pytest.raises(ConfigError, match=r"energy\.json cannot be written"):
        energy.run(parse("--trials", "2", "--out", str(tmp_path / "out")))
