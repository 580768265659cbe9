"""`ciuic bench energy`: few trials in the suite, the issue's 500 by command."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from ciuic.bench import energy
from firmware_py.contracts.errors import ConfigError


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
