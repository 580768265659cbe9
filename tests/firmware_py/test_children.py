"""What a killed process started is gone with it, at once and however it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_py.bundles import signature_check
from firmware_py.children import tied
from tests.orphans import Start, killed, numbers, start

__all__ = ["start"]  # a fixture

NOBODY = 2**22 + 1  # beyond any process number

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own means, on Linux alone")

# Each writes the numbers of all processes that it started into files of the folder it is given, and waits.
CHILD = """
import subprocess, sys
from firmware_py.children import tied
write = "import os, sys, time; open(sys.argv[1] + '/child', 'w').write(str(os.getpid())); time.sleep(600)"
subprocess.run(tied([sys.executable, "-c", write, sys.argv[1]]))
"""
POOL = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from firmware_py.children import tie_worker
def wait(name):
    Path(sys.argv[1], name).write_text(str(os.getpid()))
    time.sleep(600)
if __name__ == "__main__":
    with {made} as pool:
        list(pool.map(wait, ("first", "second")))
"""
# A keeper whose node tests itself on a thread, as it does with a delegate that comes back.
NODE = """
import os, sys, threading, time
from firmware_py.inference.child import Child
from firmware_py.keeper import end_with_keeper
end_with_keeper()
write = "import os, sys, time; open(sys.argv[1] + '/self-test', 'w').write(str(os.getpid())); time.sleep(600)"
open(sys.argv[1] + "/node", "w").write(str(os.getpid()))
command = [sys.executable, "-c", write, sys.argv[1]]
threading.Thread(target=Child().run, args=(command, "", 600.0), daemon=True).start()
time.sleep(600)
"""
KEEPER = """
import os, sys
from firmware_py import keeper
folder = sys.argv[1]
os.execv(sys.executable, [sys.executable, "-I", "-S", keeper.__file__, sys.executable, folder + "/node.py", folder])
"""


def test_a_program_ends_with_the_process_that_started_it(start: Start, tmp_path: Path) -> None:
    killed(start(CHILD), numbers(tmp_path, ("child",)))


@pytest.mark.parametrize("context", ["spawn", "fork"])
def test_workers_end_with_the_process_that_made_the_pool(context: str, start: Start, tmp_path: Path) -> None:
    made = f"ProcessPoolExecutor(2, mp_context=get_context({context!r}), initializer=tie_worker)"
    process = start(POOL.format(module="firmware_py.children", pool="tie_worker", made=made))
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
    command[4] = str(NOBODY)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")


def test_a_self_test_ends_with_a_keeper_that_is_killed(start: Start, tmp_path: Path) -> None:
    (tmp_path / "node.py").write_text(NODE, "utf-8")
    killed(start(KEEPER), numbers(tmp_path, ("node", "self-test")))


def test_a_check_of_a_signature_does_not_begin_for_nobody() -> None:
    command = [sys.executable, "-I", signature_check.__file__, str(NOBODY), "00", "00", "00"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
