"""What a killed build started is gone with it: workers of pools, children, and what those started in turn."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.orphans import ROOT, Start, killed, numbers, start

__all__ = ["start"]  # a fixture

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="the graphs' workers import torch")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own means, on Linux alone")

# Each writes the numbers of all processes that it started into files of the folder it is given, and waits.
RUNTIME = """
import sys
from pathlib import Path
from conversion.check.runtime import run_child
folder = Path(sys.argv[1])
run_child(sys.executable, folder, folder, "a test", "waits")
"""
POOL = """
import os, sys, time
from pathlib import Path
from conversion.export.make import worker_pool
def wait(name):
    Path(sys.argv[1], name).write_text(str(os.getpid()))
    time.sleep(600)
if __name__ == "__main__":
    with worker_pool(2) as pool:
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
from firmware_py.children import tied
Path(sys.argv[1], "child").write_text(str(os.getpid()))
subprocess.run(tied([sys.executable, "-c", "import os, sys, time; open(sys.argv[1] + '/grandchild', 'w')"
                     ".write(str(os.getpid())); time.sleep(600)", sys.argv[1]]))
"""


def test_a_runtimes_child_and_what_it_started_end_with_the_build(start: Start, tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(WAITS, "utf-8")
    # The child's module path is the checkout's alone; this one is both.
    (tmp_path / "conversion").symlink_to(ROOT / "conversion")
    (tmp_path / "firmware_py").symlink_to(ROOT / "firmware_py")
    process = start(RUNTIME)
    killed(process, numbers(tmp_path, ("child", "grandchild")))


def test_works_done_at_once_end_with_the_build(start: Start, tmp_path: Path) -> None:
    process = start(CREW)
    killed(process, numbers(tmp_path, ("first", "second")))


@needs_torch
def test_the_workers_that_make_graphs_end_with_the_build(start: Start, tmp_path: Path) -> None:
    process = start(POOL)
    killed(process, numbers(tmp_path, ("first", "second")))
