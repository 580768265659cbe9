"""A delegate's library that never comes back: the process is ended, the next one answers without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_py import keeper
from firmware_py.backends.guarded import LOAD_S, RUN_S
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
from firmware_py.compose import places
from firmware_py.backends import guarded
from firmware_py.config import AgentConfig
from firmware_py.contracts.request import Qos, Request
hang_watch._LOOK_S = 0.1
guarded.LOAD_S = guarded.RUN_S = 5.0
places.detect = lambda root: "doubled"
with compose.build_node(AgentConfig(**json.loads(sys.argv[1]))) as node:
    print("up", flush=True)
    for line in iter(sys.stdin.readline, ""):
        now_s = time.monotonic()
        reply = node.answer(Request("1", "home", {"text": line.strip()}, Qos(60.0), arrived_s=now_s))
        print(json.dumps([reply.status, reply.route.delegate, reply.route.fallback]), flush=True)
"""
# A thread goes into a library that keeps it; some keep Python's lock, too.
HUNG = """
import ctypes, threading, time
from firmware_py import hang_watch
from firmware_py.black_box import BlackBox
from firmware_py.keeper import MEMORY_BYTES
hang_watch._LOOK_S, hang_watch._ALARM_S = 0.05, {alarm_s}
watch = hang_watch.HangWatch(BlackBox(bytearray(MEMORY_BYTES)), time.monotonic)
call = watch.witness(0, "edgetpu")
watch.start()
def stuck_in_driver():
    call.enter(0.3)
    {library}(None).sleep(60)
threading.Thread(target=stuck_in_driver).start()
"""


def _run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


@pytest.mark.parametrize(("library", "alarm_s"), [("ctypes.CDLL", 300.0), ("ctypes.PyDLL", 5.0)])
def test_a_library_that_keeps_a_thread_ends_the_process(library: str, alarm_s: float) -> None:
    done = _run(HUNG.format(library=library, alarm_s=alarm_s))
    assert done.returncode == -14, done.stderr
    assert "stuck_in_driver" in done.stderr  # where it hung


def test_a_call_is_late_when_its_time_is_over_and_not_before() -> None:
    now = [100.0]
    watch = HangWatch(BlackBox(bytearray(MEMORY_BYTES)), lambda: now[0])
    first, second = (watch.witness(slot, "edgetpu") for slot in (0, 1))
    assert watch.late() is None
    first.enter(LOAD_S)
    second.enter(RUN_S)
    now[0] += RUN_S
    assert watch.late() is None
    now[0] += 0.01
    assert watch.late() == 1
    second.leave()
    assert watch.late() is None
    now[0] += LOAD_S
    assert watch.late() == 0
    first.leave()
    assert watch.late() is None


# Two threads in libraries: one for longer than a look's alarm was once set for, and one that takes Python's lock for as long.
BUSY = """
import ctypes, threading, time
from firmware_py import hang_watch
from firmware_py.black_box import BlackBox
from firmware_py.keeper import MEMORY_BYTES
hang_watch._LOOK_S, hang_watch._ALARM_S = 0.5, 30.0
watch = hang_watch.HangWatch(BlackBox(bytearray(MEMORY_BYTES)), time.monotonic)
first, second = watch.witness(0, "edgetpu"), watch.witness(1, "edgetpu")
watch.start()
def calls(call, library, most_s, took_s):
    for _ in range(2):
        call.enter(most_s)
        library(None).usleep(int(1e6 * took_s))
        call.leave()
threads = [
    threading.Thread(target=calls, args=(first, ctypes.CDLL, 20.0, 1.2)),
    threading.Thread(target=calls, args=(second, ctypes.PyDLL, 20.0, 1.9)),
]
for thread in threads: thread.start()
for thread in threads: thread.join()
watch.close()
print("well")
"""


def test_calls_that_come_back_in_their_time_end_nothing() -> None:
    done = _run(BUSY)
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr


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
        long = "set a timer for ten minutes and remind me of the cake that is in the oven please"
        node.stdin.write(f"{long}\n")  # its graphs are not loaded yet
        node.stdin.flush()
        assert node.stdout.readline() == "up\n", "it did not come back"
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
