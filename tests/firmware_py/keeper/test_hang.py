"""A delegate's library that never comes back: the process is ended, the next one answers without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from firmware_py import keeper
from firmware_py.backends.guarded import RUN_S
from firmware_py.black_box import BlackBox
from firmware_py.config import AgentConfig
from firmware_py.hang_watch import HangWatch
from firmware_py.keeper import MEMORY_BYTES

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the keeper is for Linux")
ROOT = Path(keeper.__file__).resolve().parents[1]
KEEPER = [sys.executable, "-I", "-S", str(Path(keeper.__file__).resolve())]
WAIT_S = 60.0

# A node that answers each line it is told, and whose patience is short.
NODE = """
import json, sys, time
from firmware_py import compose, hang_watch
from firmware_py.backends import guarded, health
from firmware_py.config import AgentConfig
from firmware_py.contracts.request import Qos, Request
hang_watch._LOOK_S, hang_watch._IDLE_S = 0.1, 3.0
guarded.LOAD_S = guarded.RUN_S = 2.0
health.FIRST_BACK_OFF_S = 1e9
compose.detect = lambda root: "doubled"
with compose.build_node(AgentConfig(**json.loads(sys.argv[1]))) as node:
    print("up", flush=True)
    for line in iter(sys.stdin.readline, ""):
        now_s = time.monotonic()
        reply = node.answer(Request("1", "home", {"text": line.strip()}, Qos(60.0), arrived_s=now_s))
        print(json.dumps([reply.status, reply.route.delegate, reply.route.fallback]), flush=True)
"""
# A thread goes into a library that keeps it; the second one keeps Python's lock, too.
HUNG = """
import ctypes, threading, time
from firmware_py import hang_watch
from firmware_py.black_box import BlackBox
from firmware_py.keeper import MEMORY_BYTES
hang_watch._LOOK_S, hang_watch._IDLE_S = 0.05, 0.5
watch = hang_watch.HangWatch(BlackBox(bytearray(MEMORY_BYTES)), time.monotonic)
call = watch.witness(0, "edgetpu")
watch.start()
def stuck_in_driver():
    call.enter({most_s})
    {library}(None).sleep(60)
threading.Thread(target=stuck_in_driver).start()
"""


@pytest.mark.parametrize("library", ["ctypes.CDLL", "ctypes.PyDLL"])
def test_a_library_that_keeps_a_thread_ends_the_process(library: str) -> None:
    began_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", HUNG.format(library=library, most_s=0.3)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == -14, done.stderr
    assert time.monotonic() - began_s < 30.0
    assert "stuck_in_driver" in done.stderr  # where it hung


def test_the_alarm_is_as_far_as_the_call_that_must_end_first() -> None:
    now = [100.0]
    watch = HangWatch(BlackBox(bytearray(MEMORY_BYTES)), lambda: now[0])
    first, second = (watch.witness(slot, "edgetpu") for slot in (0, 1))
    idle_s = watch.left_s()
    assert idle_s > RUN_S
    first.enter(30.0)
    second.enter(10.0)
    now[0] += 4.0
    assert watch.left_s() == 6.0
    second.leave()
    assert watch.left_s() == 26.0
    now[0] += 100.0
    assert watch.left_s() == -74.0
    first.leave()
    assert watch.left_s() == idle_s


def _kept(config: AgentConfig) -> subprocess.Popen[str]:
    settings = {name: getattr(config, name) for name in ("profile", "model", "store", "meter")}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*KEEPER, sys.executable, "-c", NODE, json.dumps(settings)],
        stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_a_node_whose_accelerator_hangs_goes_on_without_it(doubled: AgentConfig, tmp_path: Path) -> None:
    """And blames no text for it: the next process answers the one at which the driver hung."""
    (tmp_path / "device").touch()
    with _kept(doubled) as node:
        assert node.stdin is not None
        assert node.stdout is not None

        def said(text: str) -> list[str | None]:
            assert node.stdin is not None
            assert node.stdout is not None
            node.stdin.write(f"{text}\n")
            node.stdin.flush()
            found: list[str | None] = json.loads(node.stdout.readline())
            return found

        assert node.stdout.readline() == "up\n"
        assert said("turn on the kitchen light") == ["ok", "edgetpu", None]
        (tmp_path / "hang").touch()
        node.stdin.write("set a timer for ten minutes and remind me of the cake that is in the oven please\n")
        node.stdin.flush()  # a longer text, whose graphs are not loaded
        assert node.stdout.readline() == "up\n", "it did not come back"
        long = "set a timer for ten minutes and remind me of the cake that is in the oven please"
        for text in ("turn on the kitchen light", long):
            status, delegate, fallback = said(text)
            assert status in ("ok", "out_of_scope")
            assert (delegate, fallback) == ("xnnpack", "edgetpu: out")
        node.stdin.close()
        assert node.wait(WAIT_S) == 0
        assert node.stderr is not None
        log = node.stderr.read()
    assert "died of SIGALRM; starting it again" in log
    assert "edgetpu is out: this node crashed or hung in its library" in log
