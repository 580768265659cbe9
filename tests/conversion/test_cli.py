"""`ciuic model` without a training environment: what it still does, and what it must not overwrite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ciuic.cli import main
from conversion import cli


def test_a_report_without_a_run_leaves_the_measurements_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    kept = tmp_path / "docs" / "measurements" / "clinc150.md"
    kept.parent.mkdir(parents=True)
    kept.write_text("measured elsewhere", "utf-8")
    assert main(["model", "report", "clinc150"]) == 2
    assert "[data_missing]" in capsys.readouterr().err
    assert [path.name for path in kept.parent.iterdir()] == ["clinc150.md"]
    assert kept.read_text("utf-8") == "measured elsewhere"


def test_variants_are_listed_where_there_is_no_torch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent() -> None:
        raise AssertionError

    monkeypatch.setattr(cli, "_enter_training_environment", absent)
    assert main(["model", "variant", "hwu64", "list", "--json"]) == 0
    assert {"static-1", "as-shipped", "no-kl"} <= set(json.loads(capsys.readouterr().out))
    assert main(["model", "variant", "hwu64", "no-such"]) == 2
    assert "static-1" in capsys.readouterr().err
