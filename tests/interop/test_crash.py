"""A native crash inside a running node: the node lives on, and refuses the text that killed it, if a text did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from firmware_py.testing.tiny_bundle import write_tiny_bundle
from mqtt_bridge.broker.process import start_broker
from tests.commands import CIUIC, ROOT, ciuic

pytestmark = [
    pytest.mark.usefixtures("any_broker"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the keeper is for Linux"),
]
WAIT_S = 30.0
POISON = "crash the interpreter"
# What a broken driver would do, in the place where it would: inside of a run of the graphs.
CRASH = f"""
import ctypes, firmware_py.inference.engine as engine
run = engine.Engine.run
def crashing(self, encoded, *rest):
    if encoded.text == {POISON!r}:
        ctypes.string_at(0)
    return run(self, encoded, *rest)
engine.Engine.run = crashing
"""


def _ask(broker: str, text: str, deadline_s: float = 5.0) -> dict[str, object]:
    words = ["ask", text, "--broker", broker, "--json", "--deadline", str(deadline_s)]
    done = ciuic(*words)
    found: dict[str, object] = json.loads(done.stdout) if done.stdout else {"stderr": done.stderr}
    return found


@contextmanager
def _running(words: list[str], path: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*CIUIC, *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as node:
        try:
            yield node
        finally:
            node.kill()


def test_a_native_crash_does_not_end_the_node(tmp_path: Path) -> None:
    bundle = tmp_path / "tiny.bundle"
    write_tiny_bundle(bundle)
    (tmp_path / "sitecustomize.py").write_text(CRASH)
    words = ["node", "run", "--id", "n1", "--simulate", "--model", str(bundle), "--allow-unsigned"]
    words += ["--store", str(tmp_path), "--state", str(tmp_path / "state"), "--meter", "off"]
    with (
        start_broker() as broker,
        _running([*words, "--broker", broker.url], f"{tmp_path}:{ROOT}") as node,
    ):
        assert node.stdout is not None
        assert node.stdout.readline().startswith("node n1: serves")
        assert _ask(broker.url, "turn on the kitchen light")["status"] == "ok"
        # What is asked again by itself meets the next life, which does not run the text again.
        asked = _ask(broker.url, POISON, deadline_s=60.0)
        assert asked["status"] == "failed"
        assert node.stdout.readline().startswith("node n1: serves"), "it did not come back"
        again = _ask(broker.url, POISON)
        assert again["status"] == "failed"
        assert again["error"]["code"] == "graph_failed"  # type: ignore[index]
        assert _ask(broker.url, "turn off the garden light")["status"] == "ok"
        node.send_signal(signal.SIGTERM)
        _, log = node.communicate(timeout=WAIT_S)
    assert node.returncode == 0
    assert "died of SIGSEGV; starting it again" in log
    assert "Segmentation fault" in log  # and where: faulthandler's stack
    assert POISON not in log


def test_a_store_that_is_cut_short_under_a_node_is_made_again_and_no_text_is_blamed(
    bundle: Path, tmp_path: Path
) -> None:
    """The graphs are mapped from these files: who reads behind their end dies of SIGBUS."""
    words = ["node", "run", "--id", "n1", "--simulate", "--model", str(bundle), "--self-test", "never"]
    words += ["--store", str(tmp_path), "--state", "-", "--meter", "off"]
    with (
        start_broker() as broker,
        _running([*words, "--broker", broker.url], str(ROOT)) as node,
    ):
        assert node.stdout is not None
        assert node.stdout.readline().startswith("node n1: serves")
        for file in tmp_path.glob("*/*.tflite"):
            file.chmod(0o644)
            os.truncate(file, 0)
        _ask(broker.url, "turn on the kitchen light")  # lost, or answered by the next life
        assert node.stdout.readline().startswith("node n1: serves"), "it did not come back"
        assert _ask(broker.url, "turn on the kitchen light", WAIT_S)["status"] == "ok"
        node.send_signal(signal.SIGTERM)
        _, log = node.communicate(timeout=WAIT_S)
    assert node.returncode == 0
    assert "died of SIG" in log
    assert "is unpacked anew" in log
