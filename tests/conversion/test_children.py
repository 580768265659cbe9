"""What a killed process started is gone with it: workers of pools, children, and what those started in turn."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from conversion.children import tied

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0  # the machine may do other things too
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="the graphs' workers import torch")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own means, on Linux alone")

# Each writes the numbers of all processes that it started into files of the folder it is given, and waits.
CHILD = """
import subprocess, sys
from conversion.children import tied
write = "import os, sys, time; open(sys.argv[1] + '/child', 'w').write(str(os.getpid())); time.sleep(600)"
subprocess.run(tied([sys.executable, "-c", write, sys.argv[1]]))
"""
RUNTIME = """
import sys
from pathlib import Path
from conversion.check.runtime import run_child
folder = Path(sys.argv[1])
run_child(sys.executable, folder, folder, "a test", "waits")
"""
POOL = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from conversion.{module} import {pool}
def wait(name):
    Path(sys.argv[1], name).write_text(str(os.getpid()))
    time.sleep(600)
if __name__ == "__main__":
    with {made} as pool:
        list(pool.map(wait, ("first", "second")))
"""
CREW = """
import os, sys, time
from functools import partial
from pathlib import Path
from conversion.crew import at_once
def wait(name, tell):
    Path(sys.argv[1], name).write_text(str(os.getpid()))
    time.sleep(600)
if __name__ == "__main__":
    list(at_once({name: partial(wait, name) for name in ("first", "second")}, 2, print))
"""
WAITS = """
import os, subprocess, sys, time
from pathlib import Path
from conversion.children import tied
Path(sys.argv[1], "child").write_text(str(os.getpid()))
subprocess.run(tied([sys.executable, "-c", "import os, sys, time; open(sys.argv[1] + '/grandchild', 'w')"
                     ".write(str(os.getpid())); time.sleep(600)", sys.argv[1]]))
"""

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


def test_a_program_ends_with_the_process_that_started_it(start: Start, tmp_path: Path) -> None:
    killed(start(CHILD), numbers(tmp_path, ("child",)))


def test_a_runtimes_child_and_what_it_started_end_with_the_build(start: Start, tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(WAITS, "utf-8")
    # The child's module path is the checkout's alone; this one is both.
    (tmp_path / "conversion").symlink_to(ROOT / "conversion")
    (tmp_path / "firmware_py").symlink_to(ROOT / "firmware_py")
    process = start(RUNTIME)
    killed(process, numbers(tmp_path, ("child", "grandchild")))


@pytest.mark.parametrize("context", ["spawn", "fork"])
def test_workers_end_with_the_process_that_made_the_pool(context: str, start: Start, tmp_path: Path) -> None:
    made = f"ProcessPoolExecutor(2, mp_context=get_context({context!r}), initializer=tie_worker)"
    process = start(POOL.format(module="children", pool="tie_worker", made=made))
    killed(process, numbers(tmp_path, ("first", "second")))


def test_works_done_at_once_end_with_the_build(start: Start, tmp_path: Path) -> None:
    process = start(CREW)
    killed(process, numbers(tmp_path, ("first", "second")))


@needs_torch
def test_the_workers_that_make_graphs_end_with_the_build(start: Start, tmp_path: Path) -> None:
    process = start(POOL.format(module="export.make", pool="worker_pool", made="worker_pool(2)"))
    killed(process, numbers(tmp_path, ("first", "second")))


def test_a_tied_program_says_what_it_would_say_alone(tmp_path: Path) -> None:
    code = "import sys; print(sys.argv[1:], sys.stdin.read()); sys.exit(3)"
    done = subprocess.run(
        tied([sys.executable, "-c", code, "a b", tmp_path]),
        input="in",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, f"{['a b', str(tmp_path)]} in\n")


def test_a_child_whose_parent_is_gone_already_does_not_begin() -> None:
    command = tied([sys.executable, "-c", "print('begun')"])
    command[4] = str(2**22 + 1)  # beyond any process number
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")
