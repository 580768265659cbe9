"""An accelerator whose device is absent, comes, and goes again: said once, served below, let in when it answers."""

from __future__ import annotations

import errno
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import pytest

from firmware_py.backends.opening import DelegateSpec
from firmware_py.black_box import BlackBox
from firmware_py.bundles.read import Unpacked
from firmware_py.caches.models import ModelCache
from firmware_py.compose import Assembly, assembled, build_node
from firmware_py.config import AgentConfig
from firmware_py.contracts.clock import Clock, SystemClock
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.reply import Reply
from firmware_py.contracts.request import Qos, Request
from firmware_py.energy.integrate import Span
from firmware_py.inference.child import Child
from firmware_py.inference.engine import Outcome
from firmware_py.inference.golden import self_test
from firmware_py.keeper import MEMORY_BYTES

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class ShiftedClock(SystemClock):
    """Set forward by hand. Of the machine's own time a hundredth counts: a slow one must not end a pause."""

    __slots__ = ("_start_s", "ahead_s")

    def __init__(self) -> None:
        self._start_s = super().now_s()
        self.ahead_s = 0.0

    def now_s(self) -> float:
        return self._start_s + 0.01 * (super().now_s() - self._start_s) + self.ahead_s


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """Where the double looks for its device; nothing is there yet."""
    return tmp_path / "device"


@pytest.fixture
def config(doubled: AgentConfig, monkeypatch: pytest.MonkeyPatch) -> AgentConfig:
    """The board is real: libraries are for those."""
    monkeypatch.setattr("firmware_py.compose.places.detect", lambda root: "doubled")
    return doubled


@pytest.fixture
def board(config: AgentConfig, clock: ShiftedClock) -> Iterator[Assembly]:
    """The board's parts."""
    with assembled(config, clock) as assembly:
        yield assembly


def heal(assembly: Assembly) -> None:
    """What an idle worker does, until no delegate waits for its test."""
    for _ in range(2400):
        assembly.heal(assembly.slots[0])
        if not assembly.ground.health.retest_due():
            return
        threading.Event().wait(0.05)
    pytest.fail("a delegate was not tested")


def run(assembly: Assembly) -> Outcome:
    encoded = assembly.served["home"].task.encode({"text": "turn on the kitchen light"})
    due_s = assembly.ground.clock.now_s() + 60.0
    return assembly.slots[0].engines["home"].run(encoded, Limits(due_s, "balanced"))


def test_absent_then_there_then_served_by_it(
    board: Assembly, clock: ShiftedClock, device: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(board)
    assert (first.delegate, first.record.fallback) == ("xnnpack", "edgetpu: out")
    assert any("no device on the bus" in record.getMessage() for record in caplog.get_records("setup"))

    now_s, uncharged = clock.now_s, board.ground.energy.ledger.uncharged
    heal(board)  # its pause is not over: nothing is tried
    assert not uncharged.touches(Span(0.0, now_s()))  # and no meter window is void
    clock.ahead_s += 5.0
    due_s = now_s()
    heal(board)  # tried, still absent, a longer pause
    assert uncharged.touches(Span(due_s, now_s()))
    clock.ahead_s += 5.0
    device.touch()
    heal(board)
    assert run(board).delegate == "xnnpack"

    clock.ahead_s += 5.0
    with caplog.at_level(logging.WARNING):
        heal(board)
    assert "delegate edgetpu is back" in caplog.text
    again = run(board)
    assert (again.delegate, again.record.fallback) == ("edgetpu", None)
    assert again.verdict.label_index == first.verdict.label_index


def test_all_rungs_together_stay_within_the_memory_budget(config: AgentConfig, device: Path) -> None:
    device.touch()
    budget_bytes = 16 * 2**20
    with assembled(replace(config, memory_bytes=budget_bytes)) as assembly:
        engine = assembly.slots[0].engines["home"]
        runners = [runner for runner in engine.runners.values() if isinstance(runner, ModelCache)]
        for runner in runners:
            runner.load(graph.key for graph in engine.weights.manifest.graphs)
        assert [runner.delegate for runner in runners] == ["edgetpu", "xnnpack"]
        assert sum(runner.resident_bytes for runner in runners) <= budget_bytes


def test_an_unexpected_error_makes_the_pause_grow(
    board: Assembly, clock: ShiftedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No memory for a child, a full disk: the next test waits for its pause, not for the next idle tick."""

    def broken(*_: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr("firmware_py.compose.spare_time.self_test", broken)
    for pause_s in (5.0, 10.0, 20.0):
        clock.ahead_s += pause_s - 1.0
        assert board.ground.health.retest_due() == ()
        clock.ahead_s += 1.0
        heal(board)
    assert not board.ground.health.usable("edgetpu")


def test_a_self_test_that_hangs_holds_up_neither_the_queue_nor_a_stop(
    config: AgentConfig, clock: ShiftedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one worker answers while the child hangs; who stops the node ends the child."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import os, pathlib, time\nhere = pathlib.Path({str(tmp_path)!r})\n"
        "if (here / 'hang').exists():\n"
        "    (here / 'writing').write_text(str(os.getpid()))\n"
        "    (here / 'writing').rename(here / 'child')\n"
        "    time.sleep(600.0)\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    monkeypatch.setattr("firmware_py.agent.IDLE_TICK_S", 0.05)
    replies: SimpleQueue[Reply] = SimpleQueue()
    node = build_node(config, clock)
    (tmp_path / "hang").touch()
    clock.ahead_s += 5.0
    for _ in range(1200):
        if (tmp_path / "child").exists():
            break
        threading.Event().wait(0.05)
    child = int((tmp_path / "child").read_text(encoding="utf-8"))
    try:
        request = Request("1", "home", {"text": "turn on the light"}, Qos(60.0), arrived_s=clock.now_s())
        node.submit(request, replies.put)
        assert replies.get(timeout=30.0).status == "ok"
        assert Path(f"/proc/{child}").exists()
        node.close()
        assert not Path(f"/proc/{child}").exists()
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        node.close()


@pytest.mark.parametrize("crashes", [1, 2])
def test_a_delegate_that_ended_the_process_is_tested_anew_and_after_the_second_time_stays_out(
    config: AgentConfig,
    clock: ShiftedClock,
    device: Path,
    monkeypatch: pytest.MonkeyPatch,
    crashes: int,
) -> None:
    """Its stamp says that it passed before: that must not be enough."""
    back = crashes == 1
    device.touch()
    with assembled(config, clock) as assembly:
        assert run(assembly).delegate == "edgetpu"
    memory, tested = bytearray(MEMORY_BYTES), list[str]()
    for _ in range(crashes):
        BlackBox(memory).enter(0, "edgetpu")  # and the process dies

    def watched(
        unpacked: Unpacked, spec: DelegateSpec, time: Clock, child: Child | None = None, *, anew: bool = False
    ) -> None:
        tested.append(f"{spec.name} {'anew' if anew else 'once'}")
        self_test(unpacked, spec, time, child, anew=anew)

    monkeypatch.setattr(BlackBox, "adopt", lambda: BlackBox(memory))
    for place in ("models", "spare_time"):
        monkeypatch.setattr(f"firmware_py.compose.{place}.self_test", watched)
    with assembled(config, clock) as assembly:
        assert run(assembly).record.fallback == "edgetpu: out"
        for _ in range(2):
            clock.ahead_s += 400.0
            heal(assembly)
        assert (run(assembly).delegate == "edgetpu") is back
    assert tested == ["xnnpack once", *(["edgetpu anew"] if back else [])]
