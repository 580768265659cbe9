"""A native crash inside a running node: the node lives on, and refuses the text that killed it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_py.testing.tiny_bundle import write_tiny_bundle
from mqtt_bridge.broker.process import start_broker

ROOT = Path(__file__).parents[2]
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


def _ask(broker: str, text: str) -> dict[str, object]:
    words = ["ask", text, "--broker", broker, "--json", "--deadline", "5"]
    done = subprocess.run(
        [sys.executable, "-m", "ciuic", *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    found: dict[str, object] = json.loads(done.stdout) if done.stdout else {"stderr": done.stderr}
    return found


@pytest.mark.usefixtures("any_broker")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the keeper is for Linux")
def test_a_native_crash_does_not_end_the_node(tmp_path: Path) -> None:
    bundle = tmp_path / "tiny.bundle"
    write_tiny_bundle(bundle)
    (tmp_path / "sitecustomize.py").write_text(CRASH)
    words = ["node", "run", "--id", "n1", "--simulate", "--model", str(bundle), "--allow-unsigned"]
    words += ["--store", str(tmp_path), "--state", str(tmp_path / "state"), "--meter", "off"]
    with (
        start_broker() as broker,
        subprocess.Popen(
            [sys.executable, "-m", "ciuic", *words, "--broker", broker.url],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as node,
    ):
        assert node.stdout is not None
        assert node.stdout.readline().startswith("node n1: serves")
        assert _ask(broker.url, "turn on the kitchen light")["status"] == "ok"
        lost = _ask(broker.url, POISON)  # the asker's own repeat may already meet the next life
        assert lost.get("status") in (None, "failed")
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
