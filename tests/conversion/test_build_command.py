"""`ciuic model build`: what it refuses at once, and that a report lies beside its bundle under the bundle's name."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from ciuic.cli import main
from conversion import cli
from conversion.catalogue import MODELS
from tests.conversion.conftest import TORCH

CUSTOM = ("model", "build", "custom", "--checkpoint", "nowhere", "--data", "rows.jsonl")


@pytest.mark.parametrize("name", [*MODELS, "minilm", "../evil", "Home"])
def test_a_name_that_is_ours_or_none_is_refused_at_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plans, baselines and scores go by name: one of ours for other rows would break hours later."""

    def entered() -> None:
        raise AssertionError

    monkeypatch.setattr(cli, "ROOT", tmp_path)
    monkeypatch.setattr(cli, "_enter_training_environment", entered)
    assert main([*CUSTOM, "--name", name]) == 2
    said = capsys.readouterr().err
    assert "[config_invalid]" in said
    assert "--name my-" in said
    assert not list(tmp_path.iterdir())


def test_a_custom_build_of_nothing_is_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "build", "custom"]) == 2
    assert "[config_invalid]" in capsys.readouterr().err


def report_of(job: Any) -> dict[str, Any]:
    from conversion.export.recipes import bundle_name

    balanced = {"accuracy": 0.9, "macro_f1": 0.8, "slot_f1": None}
    parts = {
        recipe: {
            "bundle": bundle_name(job.name, recipe, job.settings.seed),
            "rules": {"balanced": balanced},
            "sizes": {"bundle": 1_500_000},
        }
        for recipe in job.recipes
    }
    best = {
        "method": "probed",
        "folder": "my-ckpt",
        "architecture": "qwen2",
        "selection": 0.95,
        "report": 0.94,
    }
    return {"teachers": [best if job.files else {"run": {}}], "recipes": parts}


BUILDS: dict[str, tuple[list[str], str]] = {
    "custom": (["custom", "--checkpoint", "c", "--data", "d", "--name", "my-home"], "my-home"),
    "custom, seed 2": (["custom", "--checkpoint", "c", "--data", "d", "--seed", "2"], "custom-2"),
    "both recipes": (["home-en"], "home-en"),
    "dyn8 alone": (["home-en", "--recipe", "dyn8"], "home-en"),
    "w8 alone": (["home-en", "--recipe", "w8"], "home-en.w8"),
    "seed 1": (["hwu64", "--seed", "1"], "hwu64-1"),
    "a quick look": (["hwu64", "--epochs", "1"], "hwu64"),
}


@pytest.mark.skipif(find_spec("torch") is None, reason=TORCH)
def test_the_seeds_of_one_folder_do_not_overwrite_each_other(tmp_path: Path) -> None:
    from conversion.pipeline import Job, settings_of, targets_of

    recipes = ("dyn8", "w8")
    paths = [
        target.path
        for seed in range(3)
        for target in targets_of(
            Job("hwu64", settings_of("hwu64", seed, "dyn8"), recipes, tmp_path, None, tmp_path, None),
            {recipe: {} for recipe in recipes},
        )
    ]
    assert paths[:2] == [tmp_path / "hwu64.bundle", tmp_path / "hwu64.w8.bundle"]
    assert len(set(paths)) == 6


@pytest.mark.skipif(find_spec("torch") is None, reason=TORCH)
@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("out", [True, False])
def test_the_report_lies_beside_its_bundle(
    build: str, out: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from conversion import building

    flags, name = BUILDS[build]
    written: list[Path] = []

    def built(job: Any, *_: object) -> dict[str, Any]:
        written.extend((job.out, job.out / f"{name}.report.json"))
        return report_of(job)

    monkeypatch.setattr(cli, "ROOT", tmp_path)
    monkeypatch.setattr(cli, "_publisher_key", lambda: None)
    monkeypatch.setattr(building, "build_model", built)
    target = ["--out", str(tmp_path / "out")] if out else []
    assert main(["model", "build", *flags, *target]) == 0
    folder, report = written
    assert [path.name for path in folder.glob("*.report.json")] == [report.name]
    first = next(iter(json.loads(report.read_text("utf-8"))["recipes"].values()))
    assert first["bundle"] == f"{name}.bundle"
    said = capsys.readouterr().out
    assert f"{folder / first['bundle']}  1.50 MB" in said
    assert ("my-ckpt (qwen2) was probed" in said) == build.startswith("custom")


@pytest.mark.skipif(find_spec("torch") is None, reason=TORCH)
def test_what_is_asked_for_is_what_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every flag that a build heeds is in its job; the sets of a staged build are those of `--data`."""
    from conversion import building
    from conversion.checkpoint.course import PLAN, Source
    from conversion.train.plans import PLANS

    jobs: list[Any] = []

    def built(job: Any, *_: object) -> dict[str, Any]:
        jobs.append(job)
        return {"teachers": [{}], "recipes": {}}

    monkeypatch.setattr(cli, "ROOT", tmp_path)
    monkeypatch.setattr(cli, "_publisher_key", lambda: None)
    monkeypatch.setattr(building, "build_model", built)
    monkeypatch.setattr(building, "build_staged", built)
    monkeypatch.delenv("CIUIC_DATA", raising=False)
    sets, teacher = tmp_path / "sets", Path("my-ckpt")
    sets.mkdir()
    for words in (
        ("minilm", "--task", "banking77", "--data", str(sets)),
        ("minilm",),
        ("hwu64", "--seed", "2", "--epochs", "3", "--recipe", "ethosu", "--teacher", "my-ckpt", "--method", "probe"),
        ("custom", "--checkpoint", "my-ckpt", "--data", "a", "b", "--lang", "de", "pl", "--epochs", "1"),
        ("home-en", "--data", str(sets)),
    ):  # fmt: skip
        assert main(["model", "build", *words]) == 0
    staged, usual, ours, custom, shipped = jobs
    assert (staged.name, staged.data, staged.out) == (
        "banking77",
        sets,
        tmp_path / ".ciuic/build/banking77-0",
    )
    assert (usual.name, usual.data) == ("hwu64", None)
    assert (ours.settings.seed, ours.settings.epochs, ours.settings.norm) == (2, 3, "dyt")
    assert (ours.recipes, ours.teacher) == (("ethosu",), Source(teacher, "probe"))
    assert (custom.name, custom.files, custom.languages) == ("custom", (Path("a"), Path("b")), ("de", "pl"))
    assert (custom.teacher, custom.data) == (Source(teacher, "auto"), None)
    assert custom.settings.unlabelled == PLAN.settings.unlabelled
    assert custom.settings.epochs == 1
    assert (shipped.recipes, shipped.out, shipped.data) == (("dyn8", "w8"), tmp_path / "models", sets)
    assert shipped.settings == PLANS["home-en"].settings
