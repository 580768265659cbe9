"""The keeper with small programs in the node's place: restarts, stops, statuses, and its own death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from firmware_py import keeper

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the keeper is for Linux")
KEEPER = [sys.executable, "-I", "-S", str(Path(keeper.__file__).resolve())]
WAIT_S = 20.0


def _keep(program: str, *words: str) -> subprocess.Popen[str]:
    """A keeper of a Python program."""
    environment = os.environ | {"PYTHONPATH": str(Path(keeper.__file__).resolve().parents[1])}
    command = [*KEEPER, sys.executable, "-c", program, *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_the_status_of_a_child_that_ends_by_itself_is_the_keepers() -> None:
    with _keep("import sys; sys.exit(7)") as kept:
        assert kept.wait(WAIT_S) == 7


def test_a_child_that_crashes_is_started_again(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "lives = pathlib.Path(sys.argv[1]); lives.write_text(lives.read_text() + 'x')\n"
        "if len(lives.read_text()) < 3: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "print('alive', flush=True)\n"
    )
    lives = tmp_path / "lives"
    lives.write_text("")
    with _keep(program, str(lives)) as kept:
        out, err = kept.communicate(timeout=WAIT_S)
    assert (kept.returncode, out, lives.read_text()) == (0, "alive\n", "xxx")
    assert err.count("died of SIGSEGV") == 2


@pytest.mark.parametrize("first", ["sys.exit(2)", "os.kill(os.getpid(), signal.SIGRTMIN)"])
def test_a_start_that_fails_after_a_crash_is_tried_again(tmp_path: Path, first: str) -> None:
    """A bundle may be half-way copied just then, or the disk full for a moment."""
    program = (
        "import os, pathlib, signal, sys\n"
        "lives = pathlib.Path(sys.argv[1]); lives.write_text(lives.read_text() + 'x')\n"
        "if len(lives.read_text()) == 1: os.kill(os.getpid(), signal.SIGSEGV)\n"
        f"if len(lives.read_text()) == 2: {first}\n"
        "print('alive', flush=True)\n"
    )
    lives = tmp_path / "lives"
    lives.write_text("")
    with _keep(program, str(lives)) as kept:
        assert (kept.communicate(timeout=WAIT_S)[0], kept.returncode) == ("alive\n", 0)
    assert lives.read_text() == "xxx"


def test_a_node_whose_name_is_taken_is_not_started_again_even_after_a_crash(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "lives = pathlib.Path(sys.argv[1]); lives.write_text(lives.read_text() + 'x')\n"
        "if len(lives.read_text()) == 1: os.kill(os.getpid(), signal.SIGSEGV)\n"
        f"sys.exit({keeper.NAME_TAKEN})\n"
    )
    lives = tmp_path / "lives"
    lives.write_text("")
    with _keep(program, str(lives)) as kept:
        assert kept.wait(WAIT_S) == keeper.NAME_TAKEN
    assert lives.read_text() == "xx"


def test_a_log_that_nobody_reads_any_more_ends_no_keeper(tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    lives.write_text("")
    program = (
        "import os, pathlib, signal, sys\n"
        "lives = pathlib.Path(sys.argv[1]); lives.write_text(lives.read_text() + 'x')\n"
        "if len(lives.read_text()) == 1: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "print('alive', flush=True)\n"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*KEEPER, sys.executable, "-c", program, str(lives)],
            stdout=subprocess.PIPE,
            stderr=full,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, "alive\n")


def test_one_that_always_crashes_is_given_up() -> None:
    program = (
        "import sys\n"
        "from firmware_py.keeper import Keeper\n"
        "sys.exit(Keeper([sys.executable, '-c', 'import os; os.abort()'], first_pause_s=0.0).run())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, timeout=3 * WAIT_S, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("died of SIGABRT") == 9
    assert "ended 10 times" in done.stderr


def test_a_dead_process_whose_thread_nobody_can_end_is_not_waited_for(tmp_path: Path) -> None:
    """As a driver leaves it that holds a thread in the kernel: here, a main thread that ended alone."""
    program = (
        "import ctypes, pathlib, platform, sys, threading, time\n"
        "lives = pathlib.Path(sys.argv[1]); lives.write_text(lives.read_text() + 'x')\n"
        "if len(lives.read_text()) == 2: sys.exit()\n"
        "threading.Thread(target=time.sleep, args=(20.0,)).start()\n"
        "ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 0)\n"  # exit(2): this thread
    )
    lives = tmp_path / "lives"
    lives.write_text("")
    with _keep(program, str(lives)) as kept:
        assert kept.wait(WAIT_S) == 0
    assert lives.read_text() == "xx"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_keeper_ends_the_child_in_its_own_way(number: signal.Signals) -> None:
    program = (
        "import signal, sys, time\n"
        "for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, lambda n, _: sys.exit(100 + n))\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(0.05)\n"
    )
    with _keep(program) as kept:
        assert kept.stdout is not None
        assert kept.stdout.readline() == "ready\n"
        kept.send_signal(number)
        assert kept.wait(WAIT_S) == 100 + number


def test_the_child_dies_with_the_keeper() -> None:
    program = (
        "import os, time\n"
        "from firmware_py.keeper import end_with_keeper\n"
        "end_with_keeper()\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(60)\n"
    )
    with _keep(program) as kept:
        assert kept.stdout is not None
        child = int(kept.stdout.readline())
        kept.kill()
        kept.wait(WAIT_S)
        until_s = time.monotonic() + WAIT_S
        while _lives(child) and time.monotonic() < until_s:
            time.sleep(0.02)
        assert not _lives(child)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ("SIGABRT", "graph_failed"),
        ("SIGSEGV", "graph_failed"),
        ("SIGKILL", "answered"),
        ("SIGHUP", "answered"),
    ],
)
def test_a_text_is_a_suspect_where_the_process_crashed_and_not_where_it_was_killed(
    ends: str, said: str
) -> None:
    """The kernel out of memory and an operator end a node in the middle of innocent sentences."""
    program = (
        "import os, signal, sys\n"
        "from firmware_py.black_box import BlackBox\n"
        "from firmware_py.contracts.errors import GraphError\n"
        "box = BlackBox.adopt()\n"
        "try:\n"
        "    with box.running(0, 'home', 'the text'):\n"
        f"        if not os.path.exists(sys.argv[1]): open(sys.argv[1], 'x'); os.kill(os.getpid(), signal.{ends})\n"
        "    print('answered', flush=True)\n"
        "except GraphError as error: print(error.code, flush=True)\n"
    )
    with tempfile.TemporaryDirectory() as folder, _keep(program, f"{folder}/lived") as kept:
        out, _ = kept.communicate(timeout=WAIT_S)
    assert (kept.returncode, out) == (0, f"{said}\n")
