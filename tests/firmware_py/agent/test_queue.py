"""Requests that wait: bounds, deadlines, slots, inline runs, closing."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from itertools import cycle
from queue import SimpleQueue
from typing import Any

import pytest

from firmware_py import agent
from firmware_py.backends.scripted import Script, pass_through
from firmware_py.caches.results import Key, ResultCache
from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.manifest import Graph
from firmware_py.contracts.reply import Reply
from firmware_py.contracts.run import RunRecord
from firmware_py.contracts.seams import Tensors
from firmware_py.node_parts import Slot
from firmware_py.scheduling.admission import STALE_S
from tests.firmware_py.agent.rig import WAIT_S, Gate, Inbox, Make, ask, code, queued


def test_a_flood_beyond_the_bound_is_refused_and_nothing_is_lost(make: Make) -> None:
    gate, inbox = Gate(), Inbox()
    node = make(gate, queue_bound=4)
    node.submit(ask(number=0), inbox)
    assert gate.entered.wait(WAIT_S)
    for number in range(1, 21):
        node.submit(ask(number=number), inbox)
    node.submit(ask(number=99, priority=9), inbox)
    early = inbox.wait(17)
    assert sorted({str(code(reply)) for reply in early}) == ["queue_full", "shed"]
    assert all(r.error is not None and r.error.retry_after_s is not None for r in early)
    gate.open.set()
    replies = inbox.wait(22)
    assert sorted(int(str(reply.id)) for reply in replies) == [*range(21), 99]
    assert [r.id for r in replies if r.status == "ok"][:2] == ["0", "99"]
    assert node.load().refused == 17


def test_what_waits_past_its_deadline_is_not_run(make: Make) -> None:
    gate, inbox, clock = Gate(), Inbox(), VirtualClock()
    node = make(gate, clock=clock)
    node.submit(ask(number=0, clock=clock), inbox)
    assert gate.entered.wait(WAIT_S)
    node.submit(ask(number=1, clock=clock, deadline_s=0.01), inbox)
    assert node.load().queue == 1
    clock.advance(0.02)
    gate.open.set()
    late = next(reply for reply in inbox.wait(2) if reply.id == "1")
    assert (late.status, code(late)) == ("refused", "deadline_passed")


def _takes(clock: VirtualClock, *pauses_s: float) -> Script:
    """An interpreter whose first runs take so long and all others no time."""
    left_s = list(pauses_s)

    def script(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        clock.sleep(left_s.pop(0) if left_s else 0.0)
        return pass_through(graph, tensors)

    return script


@pytest.mark.parametrize("way", ["submit", "try_inline", "answer"])
def test_an_unreachable_deadline_is_refused_at_once(make: Make, way: str) -> None:
    """After one run of 20 ms, 5 ms are known to be too little, on whichever thread it would run."""
    clock, inbox = VirtualClock(), Inbox()
    node = make(_takes(clock, 0.02), clock=clock, inline_s=1.0)
    assert node.answer(ask(clock=clock)).status == "ok"
    request = ask(clock=clock, deadline_s=0.005)
    if way == "answer":
        inbox(node.answer(request))
    elif way == "submit":
        node.submit(request, inbox)
    else:
        assert node.try_inline(request, inbox)
    reply = inbox.wait(1)[0]
    assert (reply.status, code(reply)) == ("refused", "deadline_unreachable")


def test_an_answer_that_is_late_all_the_same_says_so(make: Make) -> None:
    """Nothing was known of how long runs take, and no run is cut short."""
    clock = VirtualClock()
    node = make(_takes(clock, 0.02), clock=clock)
    reply = node.answer(ask(clock=clock, deadline_s=0.015))
    assert (reply.status, reply.route.fallback) == ("ok", "exit 1: 5 ms after the deadline")


def test_after_one_slow_run_short_deadlines_are_tried_again(make: Make) -> None:
    """Refusals alone teach nothing: without a trial the node would refuse for ever."""
    clock, inbox = VirtualClock(), Inbox()
    node = make(_takes(clock, 0.5), clock=clock)
    assert node.answer(ask(clock=clock)).status == "ok"
    node.submit(ask(clock=clock, deadline_s=0.3), inbox)
    assert code(inbox.wait(1)[0]) == "deadline_unreachable"
    clock.advance(STALE_S)
    node.submit(ask(clock=clock, deadline_s=0.3), inbox)
    assert inbox.wait(2)[1].status == "ok"


def test_inline_only_when_nothing_waits_and_runs_are_short(make: Make) -> None:
    gate, inbox = Gate(), Inbox()
    node = make(gate)
    node.submit(ask(number=0), inbox)
    assert gate.entered.wait(WAIT_S)
    assert not node.try_inline(ask(number=1), inbox)
    gate.open.set()
    inbox.wait(1)
    node = make(inline_s=1.0)
    assert node.try_inline(ask(number=2), inbox)
    assert code(inbox.replies[1]) is None
    node = make(inline_s=0.0)
    assert not node.try_inline(ask(number=3), inbox)


def test_inline_goes_by_the_mean_of_slow_and_fast_runs(make: Make) -> None:
    """Two of three take 1 ms, one 10 ms: 4 ms on the caller's thread."""
    clock, took = VirtualClock(), cycle([0.001, 0.001, 0.010])

    def script(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        clock.sleep(next(took))
        return pass_through(graph, tensors)

    nodes = [make(script, clock=clock, inline_s=inline_s) for inline_s in (0.0035, 0.0045)]
    for node in nodes:
        for _ in range(300):
            assert node.answer(ask(clock=clock)).route.exit == 1
    assert [node.try_inline(ask(clock=clock), Inbox()) for node in nodes] == [False, True]


def test_an_inline_answer_is_out_before_it_teaches_anything(make: Make) -> None:
    told: list[str] = []

    def learn(record: RunRecord) -> None:
        told.append("learned")
        raise ValueError

    node = make(inline_s=1.0, learn=learn)
    assert node.try_inline(ask(), lambda reply: told.append(str(reply.status)))
    assert told == ["ok", "learned"]
    assert code(node.answer(ask(number=2))) is None


def test_several_slots_answer_at_the_same_time(make: Make) -> None:
    """Both requests are inside an interpreter before either is let go."""
    both = threading.Barrier(2, timeout=WAIT_S)

    def script(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        both.wait()
        return pass_through(graph, tensors)

    node, inbox = make(script, slots=2), Inbox()
    node.submit(ask(number=1), inbox)
    node.submit(ask(number=2), inbox)
    assert {reply.status for reply in inbox.wait(2)} == {"ok"}


def test_inline_callers_and_workers_share_one_interpreter(make: Make) -> None:
    """One thread at a time is inside, however they come."""
    inside = threading.Lock()

    def script(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        assert inside.acquire(blocking=False)
        try:
            return pass_through(graph, tensors)
        finally:
            inside.release()

    node, inbox = make(script, queue_bound=1000), Inbox()

    def call() -> None:
        for number in range(50):
            inbox(node.answer(ask(number=number)))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(50):
        node.submit(ask(number=number), inbox)
    for thread in threads:
        thread.join()
    assert {reply.status for reply in inbox.wait(200)} == {"ok"}


def test_closing_refuses_what_waits(make: Make) -> None:
    """At once, while the run that is on its way goes to its end."""
    gate, inbox = Gate(), Inbox()
    node = make(gate)
    node.submit(ask(number=0), inbox)
    assert gate.entered.wait(WAIT_S)
    for number in (1, 2):
        node.submit(ask(number=number), inbox)
    closing = threading.Thread(target=node.close)
    closing.start()
    assert {reply.id: code(reply) for reply in inbox.wait(2)} == dict.fromkeys("12", "shutting_down")
    gate.open.set()
    closing.join(WAIT_S)
    node.close()
    last = inbox.wait(3)[-1]
    assert (last.id, last.status) == ("0", "ok")
    node.submit(ask(number=3), inbox)
    assert code(inbox.wait(4)[-1]) == "shutting_down"
    assert code(node.answer(ask(number=4))) == "shutting_down"


@pytest.mark.parametrize("inline", [False, True])
def test_who_was_let_in_before_the_node_closed_is_told(
    make: Make, inline: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It gets its slot when the engines are closed already: no fault of theirs."""
    asked, closed = threading.Event(), threading.Event()

    class SlowCache(ResultCache):
        """Is asked between the check for closing and the slot."""

        def get(self, wanted: Key) -> Reply | None:
            asked.set()
            assert closed.wait(WAIT_S)
            return super().get(wanted)

    node, inbox = make(results=SlowCache(10, 10**6), inline_s=1.0), Inbox()
    call = (lambda: node.try_inline(ask(), inbox)) if inline else (lambda: inbox(node.answer(ask())))
    caller = threading.Thread(target=call)
    caller.start()
    assert asked.wait(WAIT_S)
    node.close()
    closed.set()
    caller.join(WAIT_S)
    assert [(reply.status, code(reply)) for reply in inbox.replies] == [("refused", "shutting_down")]
    assert "is out" not in caplog.text


def test_who_waits_behind_a_run_without_end_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only worker is inside an interpreter: nobody looks into the queue."""
    monkeypatch.setattr("firmware_py.agent.LATE_S", 0.01)
    gate, inbox, clock = Gate(), Inbox(), VirtualClock()
    node = make(gate, clock=clock)
    node.submit(ask(number=0, clock=clock), inbox)
    assert gate.entered.wait(WAIT_S)
    reply = node.answer(ask(number=1, clock=clock, deadline_s=0.01))
    assert (reply.id, reply.status, code(reply)) == ("1", "refused", "deadline_passed")
    gate.open.set()
    assert inbox.wait(1)[0].status == "ok"
    assert node.load().queue == 0


def test_who_is_inside_a_run_without_end_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was queued while the slot was busy with a calibration row."""
    gate, busy, waits, clock = Gate(), threading.Event(), threading.Event(), VirtualClock()
    taken = agent._taken

    def taken_after_its_run_began(replies: SimpleQueue[Reply], timeout_s: float) -> Reply | None:
        """Waits for no seconds, in which a busy machine may not come to begin the run."""
        assert gate.entered.wait(WAIT_S)
        return taken(replies, 0.0)

    def calibrate(slot: Slot) -> float:
        if not busy.is_set():  # once: the worker comes by again when the request is through
            busy.set()
            assert waits.wait(WAIT_S)
        return math.inf

    monkeypatch.setattr("firmware_py.agent._taken", taken_after_its_run_began)
    node, replies = make(gate, calibrate=calibrate, clock=clock), Inbox()
    assert busy.wait(WAIT_S)
    caller = threading.Thread(target=lambda: replies(node.answer(ask(clock=clock))))
    caller.start()
    queued(node, 1)
    waits.set()
    reply = replies.wait(1)[0]
    caller.join(WAIT_S)
    assert (reply.status, code(reply)) == ("failed", "deadline_passed")
    gate.open.set()
