"""For tests of what a killed process leaves: start a program, hear what it started, kill it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PATIENCE_S = 180.0  # the machine may do other things too

Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program that starts others; whatever a failed test leaves is ended."""
    started: list[subprocess.Popen[bytes]] = []

    def run(source: str) -> subprocess.Popen[bytes]:
        (tmp_path / "parent.py").write_text(source, "utf-8")
        paths = os.pathsep.join([str(ROOT), str(tmp_path)])
        environment = {**os.environ, "PYTHONPATH": paths}
        command = [sys.executable, str(tmp_path / "parent.py"), str(tmp_path)]
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True))
        return started[-1]

    yield run
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def numbers(folder: Path, names: tuple[str, ...]) -> list[int]:
    """The numbers that the processes wrote, once all have."""
    end = time.monotonic() + PATIENCE_S
    while True:
        texts = [path.read_text("utf-8") if (path := folder / name).exists() else "" for name in names]
        if all(texts):
            return [int(text) for text in texts]
        assert time.monotonic() < end, f"{names} were not started"
        time.sleep(0.02)


def alive(number: int) -> bool:
    """Whether the process runs: one that only waits to be collected does not."""
    try:
        state = Path(f"/proc/{number}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}


def killed(process: subprocess.Popen[bytes], children: list[int]) -> None:
    """Kill the parent; its children are gone soon after."""
    assert all(map(alive, children))
    process.kill()
    end = time.monotonic() + PATIENCE_S
    while any(map(alive, children)):
        assert time.monotonic() < end, "a child outlived its parent"
        time.sleep(0.02)
