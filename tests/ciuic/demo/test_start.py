"""Before anything is asked: flags and bundle that make no demo, and nodes that end instead of serving."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ciuic import demo
from ciuic.cli import main
from ciuic.demo.nodes import Board, Nodes
from firmware_py.contracts.errors import BundleMissingError, ConfigError, NoReplyError
from firmware_py.testing.tiny_bundle import write_tiny_bundle

ROOT = Path(__file__).parents[3]
BOARD = Board("pi5", "raspberry-pi-5", "Raspberry Pi 5")


@pytest.mark.parametrize("flag", ["--interval", "--meter-wait"])
@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon"])
def test_seconds_that_nobody_can_wait_are_refused(
    flag: str, seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", f"{flag}={seconds}"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"error: argument {flag}: {seconds} is not seconds from 0 on [config_invalid]"
    assert second == "hint: `ciuic demo --help` lists what it takes."


def test_a_bundle_of_another_task_is_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match=r"serves the task hwu64, and the demo asks home"):
        demo._check_bundle(ROOT / "models/hwu64.bundle", ROOT / "models/trust")


def test_what_every_node_would_refuse_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trust folder .* does not exist"):
        demo._check_bundle(ROOT / "models/home-en.bundle", tmp_path / "nobody")
    with pytest.raises(BundleMissingError):
        demo._check_bundle(tmp_path / "no.bundle", ROOT / "models/trust")


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    """A node that has ended; a test's script stands in for it."""
    start = subprocess.Popen

    def run(_command: list[str], **options: object) -> object:
        script = (tmp_path / "node.py").read_text("utf-8")
        return start([sys.executable, "-c", script], **options)  # type: ignore[call-overload]

    monkeypatch.setattr("ciuic.demo.nodes.subprocess.Popen", run)
    return Nodes([BOARD], (), tmp_path)


def _wait_ended(nodes: Nodes) -> None:
    for _ in range(600):
        nodes.check()
        time.sleep(0.05)
    pytest.fail("the end of the node was not noticed")


def test_a_node_that_ends_is_noticed_with_its_own_error_and_hint(tmp_path: Path, ended: Nodes) -> None:
    lines = "error: two bundles [of home] [config_invalid]\\nhint: Give one.\\n"
    (tmp_path / "node.py").write_text(f"import sys; sys.stderr.write('{lines}'); sys.exit(2)", "utf-8")
    with ended as nodes, pytest.raises(ConfigError) as told:
        _wait_ended(nodes)
    assert told.value.message == "node pi5 ended: two bundles [of home]"
    assert told.value.hint == "Give one."
    assert nodes.last_words() == "pi5: error: two bundles [of home] [config_invalid]"


def test_a_node_that_ends_without_an_error_of_ours_is_quoted(tmp_path: Path, ended: Nodes) -> None:
    (tmp_path / "node.py").write_text("import sys; print('Illegal instruction'); sys.exit(7)", "utf-8")
    with ended as nodes, pytest.raises(NoReplyError, match="pi5 ended with status 7: Illegal instruction"):
        _wait_ended(nodes)


def test_a_node_that_runs_is_not_in_the_way(tmp_path: Path, ended: Nodes) -> None:
    (tmp_path / "node.py").write_text("import time; time.sleep(60)", "utf-8")
    with ended as nodes:
        nodes.check()


def test_a_bundle_of_the_demos_task_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_bundle(tmp_path / "tiny.bundle")
    trusting = demo._check_bundle
    monkeypatch.setattr("firmware_py.compose.trust_of", _trust_all)
    trusting(tmp_path / "tiny.bundle", tmp_path)


def _trust_all(_config: object) -> object:
    from firmware_py.bundles.verify import Trust

    return Trust(None, allow_unsigned=True)
