"""A delegate comes back after a child's proof and a check in place; nothing waits for the child."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from firmware_py.backends.health import DelegateHealth
from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import DelegateError, GoldenTestError
from firmware_py.inference.child import Child
from firmware_py.inference.retests import Retests

WAIT_S = 30.0
SLEEPS = [sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(600)"]


class Rig:
    """One delegate that is out, whose pause is over; `gate` holds its proof, `fault` is what the proof raises."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.health = DelegateHealth(self.clock)
        self.begun, self.gate = threading.Event(), threading.Event()
        self.fault: Exception | None = None
        self.proofs = 0
        self.checked: list[str] = []
        self.retests = Retests(self.health, self.prove)
        self.health.failed("tpu", "no device")
        self.clock.advance(5.0)

    def prove(self, delegate: str, child: Child) -> None:
        self.proofs += 1
        self.begun.set()
        assert self.gate.wait(WAIT_S)
        if self.fault is not None:
            raise self.fault

    def step(self) -> None:
        self.retests.step(self.checked.append)

    def prove_now(self) -> None:
        self.gate.set()
        self.step()
        for _ in range(int(WAIT_S / 0.005)):
            if not self.retests.proving:
                return
            threading.Event().wait(0.005)
        pytest.fail("the proof did not end")


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.gate.set()
    rig.retests.close()


def test_proved_apart_then_checked_in_place_then_back(rig: Rig) -> None:
    for _ in range(3):  # every worker, every idle tick
        rig.step()
    assert rig.begun.wait(WAIT_S)
    assert (rig.proofs, rig.checked, rig.retests.proving) == (1, [], True)
    rig.prove_now()
    assert not rig.health.usable("tpu")
    rig.step()
    assert (rig.proofs, rig.checked, rig.health.usable("tpu")) == (1, ["tpu"], True)


def test_nothing_is_tried_before_the_pause_is_over(rig: Rig) -> None:
    rig.health.failed("tpu", "again")
    rig.step()
    assert (rig.proofs, rig.checked) == (0, [])


@pytest.mark.parametrize("fault", [GoldenTestError("wrong"), OSError(12, "ENOMEM"), MemoryError()])
def test_whatever_a_proof_raises_makes_the_pause_longer(rig: Rig, fault: Exception) -> None:
    rig.fault = fault
    for proofs, pause_s in enumerate((10.0, 20.0), start=1):
        rig.prove_now()
        rig.clock.advance(pause_s - 1.0)
        rig.step()
        assert (rig.proofs, rig.checked) == (proofs, [])
        rig.clock.advance(1.0)
    assert rig.health.retest_due() == ("tpu",)


@pytest.mark.parametrize("fault", [DelegateError("no device"), RuntimeError("private words")])
def test_whatever_a_check_raises_makes_the_pause_longer(
    rig: Rig, fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def check(_: str) -> None:
        raise fault

    rig.prove_now()
    rig.retests.step(check)
    assert rig.health.retest_due() == ()
    rig.clock.advance(10.0)
    rig.step()  # a delegate that was proved is only checked again
    assert (rig.proofs, rig.checked, rig.health.usable("tpu")) == (1, ["tpu"], True)
    assert "private words" not in caplog.text


def test_one_worker_checks_while_another_goes_on(rig: Rig) -> None:
    inside, leave = threading.Event(), threading.Event()

    def check(_: str) -> None:
        inside.set()
        assert leave.wait(WAIT_S)

    rig.prove_now()
    worker = threading.Thread(target=rig.retests.step, args=(check,))
    worker.start()
    assert inside.wait(WAIT_S)
    rig.step()
    assert rig.checked == []
    leave.set()
    worker.join()
    rig.step()
    assert (rig.checked, rig.health.usable("tpu")) == ([], True)


def test_a_thread_that_cannot_be_had_makes_the_pause_longer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: threading.Thread) -> None:
        raise RuntimeError

    monkeypatch.setattr(threading.Thread, "start", none)
    rig.step()
    assert (rig.health.retest_due(), rig.retests.proving) == ((), False)


# --- the child -------------------------------------------------------------------------------------


def test_closing_ends_the_child_and_lets_none_begin() -> None:
    clock = VirtualClock()
    health = DelegateHealth(clock)
    ended: list[int] = []
    begun = threading.Event()

    def prove(_: str, child: Child) -> None:
        begun.set()
        ended.append(child.run(SLEEPS, "", WAIT_S).returncode)

    retests = Retests(health, prove)
    health.failed("tpu", "no device")
    clock.advance(5.0)
    retests.step(lambda _: None)
    assert begun.wait(WAIT_S)
    retests.close()
    retests.close()
    assert not retests.proving
    assert ended in ([-9], [])  # killed, or told in time that none begins


def test_an_ended_child_says_so_and_another_does_not_begin() -> None:
    child = Child()
    child.end()
    with pytest.raises(GoldenTestError, match="while the node stops"):
        child.run(SLEEPS, "", WAIT_S)


def test_a_child_hears_speaks_and_is_dead_after_its_time() -> None:
    child = Child()
    echo = [sys.executable, "-S", "-c", "import sys; print(sys.stdin.read()); sys.exit(3)"]
    ended = child.run(echo, "hello", WAIT_S)
    assert (ended.stdout, ended.returncode) == ("hello\n", 3)
    with pytest.raises(subprocess.TimeoutExpired):
        child.run(SLEEPS, "", 0.2)
    assert child._process is not None
    assert child._process.returncode == -9
