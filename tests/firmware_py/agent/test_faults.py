"""Whatever breaks, the asker hears and the node lives; and what the node says of itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from firmware_py.backends.scripted import Script, pass_through
from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import DelegateError
from firmware_py.contracts.manifest import Graph
from firmware_py.contracts.reply import UNKNOWN_ENERGY, Energy, Reply
from firmware_py.contracts.run import RunRecord
from firmware_py.contracts.seams import Tensors
from firmware_py.energy.integrate import Span
from firmware_py.energy.uncharged import UnchargedWork
from firmware_py.node_parts import Slot
from tests.firmware_py.agent.rig import SECRET, WAIT_S, Gate, Inbox, Make, ask, code, failing, queued


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("interpreter"), "graph_failed"),
        (DelegateError("gone"), "graph_failed"),
        (KeyError(SECRET), "internal"),
        (AssertionError(SECRET), "internal"),
    ],
)
def test_whatever_breaks_the_asker_hears_and_the_node_lives(
    make: Make, error: Exception, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect of ours ends as `internal`, with the place in the log and no word of the text."""
    faults: list[Script] = [failing(error)]

    def script(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        return faults[0](graph, tensors)

    node, inbox = make(script), Inbox()
    node.submit(ask(SECRET, number=1), inbox)
    failed = [node.answer(ask(SECRET)), inbox.wait(1)[0]]
    assert {(reply.status, code(reply)) for reply in failed} == {("failed", expected)}
    faults[0] = pass_through
    node.submit(ask(number=2), inbox)
    assert inbox.wait(2)[-1].status == "ok"
    assert node.load().failed == 2
    said = caplog.text + str(failed)
    assert "zanzibar" not in said
    assert ("rig.py" in caplog.text) == (expected == "internal")


@pytest.mark.parametrize("error", [RuntimeError("interpreter"), KeyError(SECRET)])
def test_a_run_that_fails_is_told_to_the_ledger(make: Make, error: Exception) -> None:
    """Its seconds are on the rail, and nobody is charged for them: they must not pass for idle draw."""
    clock, uncharged = VirtualClock(), UnchargedWork()

    def script(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        clock.advance(0.25)
        assert uncharged.touches(Span(0.0, clock.now_s()))  # a window that is settled before the run fails
        if clock.now_s() < 1.0:
            raise error
        return pass_through(graph, tensors)

    node = make(script, clock=clock, uncharged=uncharged)
    request = ask(clock=clock)
    assert node.answer(request).status == "failed"
    assert uncharged.touches(Span(0.2, 0.3))
    assert not uncharged.touches(Span(0.25, 9.0))
    clock.advance(1.0)
    assert node.answer(request).status == "ok"
    assert not uncharged.touches(Span(0.25, 9.0))


def test_a_callback_that_raises_ends_no_worker(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    node, inbox = make(), Inbox()

    def bad(reply: Reply) -> None:
        raise ValueError(SECRET)

    node.submit(ask(number=1), bad)
    node.submit(ask(number=2, task="none"), bad)
    node.submit(ask(number=3), inbox)
    assert inbox.wait(1)[0].id == "3"
    assert "zanzibar" not in caplog.text


def test_a_retest_that_raises_ends_no_worker(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    called = threading.Event()

    def heal(slot: Slot) -> None:
        called.set()
        raise RuntimeError

    monkeypatch.setattr("firmware_py.agent.IDLE_TICK_S", 0.01)
    node, inbox = make(heal=heal), Inbox()
    assert called.wait(WAIT_S)
    node.submit(ask(), inbox)
    assert inbox.wait(1)[0].status == "ok"


def test_texts_stay_out_of_the_log(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        make().answer(ask(SECRET))
    assert "zanzibar" not in caplog.text


def test_runs_are_charged_and_learned(make: Make) -> None:
    charged: list[RunRecord] = []
    learned: list[RunRecord] = []

    def charge(record: RunRecord) -> Energy:
        charged.append(record)
        return UNKNOWN_ENERGY

    reply = make(charge=charge, learn=learned.append).answer(ask())
    assert charged == learned
    assert charged[0].run_s == reply.time.run_s


def test_what_the_node_says_of_itself(make: Make) -> None:
    node = make()
    node.answer(ask())
    node.answer(ask("sing"))
    node.answer(ask(""))
    load = node.load()
    assert (load.queue, load.answered, load.refused, load.failed) == (0, 2, 1, 0)
    (task,) = node.tasks()
    assert (task.name, task.kind, task.model) == ("home", "intent", "tiny-en")


def test_idle_work_holds_up_neither_callers_nor_closing(make: Make) -> None:
    """Calibration takes the slot again and again; who asks meanwhile waits for one row at most."""
    rows = threading.Semaphore(0)

    def calibrate(slot: Slot) -> float:
        assert slot.lock.locked()
        rows.release()
        threading.Event().wait(0.002)
        return 0.0

    node, inbox = make(calibrate=calibrate), Inbox()
    assert rows.acquire(timeout=WAIT_S)
    for number in range(20):
        assert node.answer(ask(number=number, deadline_s=WAIT_S)).status == "ok"
    node.submit(ask(number=99), inbox)
    assert inbox.wait(1)[0].status == "ok"
    closing = threading.Thread(target=node.close)
    closing.start()
    closing.join(WAIT_S)
    assert not closing.is_alive()


def test_who_waits_for_a_slot_while_the_node_closes_is_told(make: Make) -> None:
    gate, inbox = Gate(), Inbox()
    node = make(gate)
    node.submit(ask(number=0), inbox)
    assert gate.entered.wait(WAIT_S)
    caller = threading.Thread(target=lambda: inbox(node.answer(ask(number=1))))
    caller.start()
    queued(node, 1)
    closing = threading.Thread(target=node.close)
    closing.start()
    assert code(inbox.wait(1)[0]) == "shutting_down"
    gate.open.set()
    closing.join(WAIT_S)
    caller.join(WAIT_S)
    assert [reply.id for reply in inbox.wait(2)] == ["1", "0"]
