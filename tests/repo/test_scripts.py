"""The set-up and test scripts: they parse, refuse what they do not know, and count what suites report."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASH = [ROOT / "scripts/setup", ROOT / "scripts/lock", ROOT / ".ci/run"]


@pytest.mark.parametrize("script", BASH, ids=lambda path: path.name)
def test_a_script_is_executable_and_parses(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


def test_setup_refuses_an_unknown_role(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts/setup", "everything"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "VENVS": str(tmp_path)},
    )
    assert done.returncode == 2
    assert "no role everything" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_setup_names_the_role_whose_interpreter_is_absent(tmp_path: Path) -> None:
    """With no Python 3.11 on PATH or in pyenv, tflr is a skip with status 3, not a failure."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "env"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    done = subprocess.run(
        ["/usr/bin/bash", ROOT / "scripts/setup", "tflr"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(tools), "HOME": str(tmp_path), "VENVS": str(tmp_path / "venvs")},
    )
    assert done.returncode == 3
    assert "SKIP tflr: no Python 3.11" in done.stderr


def test_make_help_lists_the_targets_of_the_issue() -> None:
    done = subprocess.run(["make", "-s", "help"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0
    for target in ("demo", "test", "lint", "docs", "setup", "clean", "hil"):
        assert f"make {target} " in done.stdout


def _runner() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("the_test_runner", str(ROOT / "scripts/test"))
    spec = importlib.util.spec_from_loader("the_test_runner", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["the_test_runner"] = module
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
        del sys.modules["the_test_runner"]
    return module


def test_the_closing_line_counts_passes_failures_and_skips(tmp_path: Path) -> None:
    report = tmp_path / "r.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="a" name="1"/>'
        '<testcase classname="a" name="2"><failure/></testcase>'
        '<testcase classname="a" name="3"><error/></testcase>'
        '<testcase classname="a" name="4"><skipped message="no node"/></testcase>'
        '<testcase classname="a" name="5"><skipped message="no node"/></testcase></testsuite></testsuites>',
        encoding="utf-8",
    )
    totals = _runner().Totals()
    totals.read("app", report)
    assert totals.passed == 1
    assert totals.failures == ["[app] a::2", "[app] a::3"]
    assert dict(totals.skips) == {"[app] no node": 2}


def test_a_suite_without_its_environment_is_one_named_skip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = _runner()
    monkeypatch.setattr(runner, "VENVS", tmp_path)
    totals = runner.Totals()
    runner.run(runner.Suite("train", "train", ("tests",), "needs torch"), tmp_path / "r.xml", totals)
    assert dict(totals.skips) == {"[train] the whole suite: needs torch": 1}
