"""A signal that is to end a node ends it, whichever thread it reaches and whenever it comes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAD = """
import os, signal, threading, time
from mqtt_bridge.node.stop import Stopped, StopSignals
"""
BEFORE = """
with StopSignals() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    print(stop.wait())
"""
ANOTHER_THREAD = """
def other():
    time.sleep(0.3)  # the main thread waits by then
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    time.sleep(30)

with StopSignals() as stop:
    threading.Thread(target=other, daemon=True).start()
    print(stop.wait())
"""
NONE_FIRST = """
with StopSignals() as stop:
    assert stop.wait(0.05) is None
    os.kill(os.getpid(), signal.SIGTERM)
    print(stop.wait(30))
"""
IN_A_BLOCK = """
with StopSignals() as stop:
    try:
        with stop.at_once():
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
            while True: time.sleep(0.05)
    except Stopped:
        os.kill(os.getpid(), signal.SIGTERM)  # ends no clean-up
        time.sleep(0.05)
        print(stop.wait())
"""
BEFORE_A_BLOCK = """
with StopSignals() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        with stop.at_once():
            print("not stopped")
    except Stopped:
        print(stop.wait())
"""
BEHIND_A_BLOCK = """
with StopSignals() as stop:
    with stop.at_once():
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    print(stop.wait())
"""
OTHERS = """
signal.signal(signal.SIGUSR1, lambda *_: None)
with StopSignals() as stop:
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGTERM)
    print(stop.wait())
"""
BOTH = """
def other():
    for number in (signal.SIGINT, signal.SIGTERM) * 50:
        signal.pthread_kill(threading.get_ident(), number)

with StopSignals() as stop:
    thread = threading.Thread(target=other)
    thread.start()
    print(stop.wait())
    thread.join()
"""


@pytest.mark.parametrize(
    ("code", "number"),
    [
        (BEFORE, signal.SIGTERM),
        (ANOTHER_THREAD, signal.SIGINT),
        (BOTH, signal.SIGINT),
        (OTHERS, signal.SIGTERM),
        (NONE_FIRST, signal.SIGTERM),
        (IN_A_BLOCK, signal.SIGTERM),
        (BEFORE_A_BLOCK, signal.SIGTERM),
        (BEHIND_A_BLOCK, signal.SIGTERM),
    ],
    ids=[
        "before the wait",
        "on another thread",
        "many at once",
        "behind another signal",
        "after a wait that ended",
        "in a block that it is to end",
        "before such a block",
        "behind such a block",
    ],
)
def test_the_first_signal_is_never_lost(code: str, number: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(int(number)), "")
