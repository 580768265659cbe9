"""`ciuic model` without a training environment: what it still does, and what it must not overwrite."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from ciuic.cli import main
from conversion import build_flags, cli, environment

ROOT = Path(__file__).resolve().parents[2]
CUSTOM = ("custom", "--checkpoint", "c", "--data", "rows.jsonl")
REFUSED = {
    "a checkpoint": (("home-en", "--checkpoint", "c"), "--checkpoint"),
    "a name": (("home-multi", "--name", "mine"), "--name"),
    "a language": (("home-multi", "--lang", "en"), "--lang"),
    "a task": (("hwu64", "--task", "hwu64"), "--task"),
    "a method without a teacher": (("hwu64", "--method", "auto"), "--method"),
    "two data folders": (("hwu64", "--data", "a", "b"), "2 data folders"),
    "no epochs": (("home-en", "--epochs", "0"), "--epochs 0"),
    "fewer than none": ((*CUSTOM, "--epochs", "-1"), "--epochs -1"),
    "a teacher beside the checkpoint": ((*CUSTOM, "--teacher", "c"), "--teacher"),
    "a task of one's own": ((*CUSTOM, "--task", "hwu64"), "--task"),
    "two data folders of a staged build": (("minilm", "--data", "a", "b"), "2 data folders"),
    **{
        f"minilm {flag}": (("minilm", flag, value), flag)
        for flag, value in {
            "--seed": "0", "--recipe": "dyn8", "--epochs": "1", "--teacher": "c", "--checkpoint": "c",
            "--method": "auto", "--name": "mine", "--lang": "en",
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_flag_that_a_build_does_not_heed_is_refused_before_anything_is_written(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dropped, it would leave a build that takes the place of what ships."""

    def entered() -> None:
        raise AssertionError

    words, told = REFUSED[case]
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    monkeypatch.setattr(cli, "_enter_training_environment", entered)
    assert main(["model", "build", *words]) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {told}")
    assert error.endswith("[config_invalid]")
    assert hint.startswith("hint: ")
    assert not list(tmp_path.iterdir())


def test_every_flag_of_a_build_is_heeded_by_all_or_in_the_table() -> None:
    """One that nobody placed would be dropped in silence by some build."""
    parser = argparse.ArgumentParser()
    cli.configure_model(parser)
    args = parser.parse_args(["build", "home-en"])
    heeded_by_all = {"data", "out", "build_dir", "json"}
    assert vars(args).keys() - build_flags._FLAGS.keys() == {"model_verb", "name", *heeded_by_all}
    assert all(getattr(args, argument) is None for argument in build_flags._FLAGS)


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


@pytest.mark.parametrize(
    "words",
    [("build", "hwu64"), ("build", "minilm"), ("variant", "hwu64", "static-1"), ("baselines", "hwu64")],
)
def test_what_needs_torch_says_in_one_line_what_makes_its_environment(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As in the environment of `make demo`."""
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    assert main(["model", *words]) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error.endswith("need torch, and there is no training environment [tool_missing]")
    assert "`make setup-train`" in hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [("show",), ("targets",), ("tradeoff",), ("tradeoff", "--allow-unsigned")])
def test_a_trust_folder_that_is_not_there_is_said(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip in its name is the caller's, not the bundle's."""
    bundle = ROOT / "models" / "home-en.bundle"
    assert main(["model", *words, str(bundle), "--trust", str(tmp_path / "tursted")]) == 2
    said = capsys.readouterr().err
    assert "tursted does not exist [config_invalid]" in said
