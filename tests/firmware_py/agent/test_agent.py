"""CiuicNode: every request gets exactly one reply, whatever happens to it."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest

from firmware_py.agent import CiuicNode
from firmware_py.backends.health import DelegateHealth
from firmware_py.backends.scripted import Script, ScriptedGraph, pass_through
from firmware_py.bundles.read import Unpacked
from firmware_py.caches.models import ModelCache
from firmware_py.caches.results import Key, ResultCache
from firmware_py.contracts.clock import Clock, SystemClock, VirtualClock
from firmware_py.contracts.errors import DelegateError
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.manifest import Graph, Manifest
from firmware_py.contracts.reply import UNKNOWN_ENERGY, Energy, ModelRef, Reply
from firmware_py.contracts.request import Qos, Request
from firmware_py.contracts.run import GraphKey, RunRecord
from firmware_py.contracts.seams import Tensors
from firmware_py.energy.integrate import Span
from firmware_py.energy.uncharged import UnchargedWork
from firmware_py.inference.engine import Engine, NoCosts, StageCosts, Weights
from firmware_py.node_parts import Board, NodeParts, Served, Slot
from firmware_py.tasks.intent import IntentTask

WAIT_S = 10.0
SECRET = "turn on zanzibar"
CLOCK = SystemClock()


def ask(text: str = "turn on the light", *, number: object = 1, task: str = "home", **qos: Any) -> Request:
    """A request that arrives now."""
    return Request(str(number), task, {"text": text}, Qos(**qos), arrived_s=CLOCK.now_s())


class Gate:
    """Holds the interpreter until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        self.entered.set()
        assert self.open.wait(WAIT_S)
        return pass_through(graph, tensors)


class Inbox:
    """Collects replies from any thread."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self._change = threading.Condition()

    def __call__(self, reply: Reply) -> None:
        with self._change:
            self.replies.append(reply)
            self._change.notify_all()

    def wait(self, count: int) -> list[Reply]:
        with self._change:
            assert self._change.wait_for(lambda: len(self.replies) >= count, WAIT_S)
            return list(self.replies)


Make = Callable[..., CiuicNode]


@pytest.fixture
def make(tiny: Unpacked) -> Iterator[Make]:
    """Builds nodes over the tiny bundle and closes them."""
    nodes: list[CiuicNode] = []

    def build(
        script: Script = pass_through,
        *,
        slots: int = 1,
        better: Script | None = None,
        costs: StageCosts | None = None,
        clock: Clock = CLOCK,
        manifest: Manifest = tiny.manifest,
        **parts: Any,
    ) -> CiuicNode:
        """`better` runs the graphs of a delegate above the last one."""
        health = DelegateHealth(clock)
        weights = replace(Weights.load(tiny), manifest=manifest)

        def runner(name: str, run: Script) -> ModelCache:
            return ModelCache(manifest.graphs, lambda g: ScriptedGraph(g, run), name)

        def slot() -> Slot:
            scripts = {"scripted": script} if better is None else {"better": better, "scripted": script}
            runners = [runner(name, run) for name, run in scripts.items()]
            return Slot({"home": Engine(weights, runners, clock, health, costs)}, threading.Lock())

        task = IntentTask(manifest, tiny.read(manifest.tokenizer.name))
        given: dict[str, Any] = {
            "clock": clock,
            "board": Board("simulated", False, "none", lambda: None, tuple, lambda: "none"),
            "served": {"home": Served(manifest, ModelRef("tiny-en", "0.0.1", tiny.sha256), task)},
            "slots": [slot() for _ in range(slots)],
            "limits": lambda a, stages: Limits(a.due_s, a.rule, None, a.qos.energy_j),
            "charge": lambda record: UNKNOWN_ENERGY,
            "learn": lambda record: None,
            "heal": lambda slot: None,
        }
        node = CiuicNode("n1", NodeParts(**(given | parts)))
        nodes.append(node)
        return node

    yield build
    for node in nodes:
        node.close()


def code(reply: Reply | None) -> str | None:
    assert reply is not None
    return None if reply.error is None else reply.error.code


def test_an_answer_says_where_it_comes_from(make: Make) -> None:
    node = make(charge=lambda record: Energy(energy_j=0.001, u95_j=0.0001, method="estimated"))
    reply = node.answer(ask("please turn off the garden lights", number="abc"))
    assert (reply.id, reply.status) == ("abc", "ok")
    assert reply.result is not None
    assert reply.result["label"] == "turn_off"
    assert reply.result["slots"][0] == {
        "name": "area",
        "value": "garden",
        "text": "garden",
        "start": 20,
        "end": 26,
    }
    assert (reply.route.node, reply.route.exits, reply.route.cache) == ("n1", 3, "off")
    assert reply.route.delegate == "scripted"
    assert reply.energy.energy_j == 0.001
    assert reply.time.run_s is not None
    assert reply.time.run_s > 0.0


def test_out_of_scope_is_an_answer_without_a_result(make: Make) -> None:
    reply = make().answer(ask("sing"))
    assert (reply.status, reply.result, reply.error) == ("out_of_scope", None, None)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (ask("light", task="clinc150"), "unknown_task"),
        (ask("light", accuracy="fastest"), "unknown_accuracy"),
        (ask(""), "input_empty"),
        (ask(" \t …!"), "input_empty"),
        (ask("on " * 513), "input_too_long"),
        (ask("on " * 10_000), "input_too_long"),
        (ask("light", deadline_s=0.0), "deadline_passed"),
        (Request("1", "home", {"audio": "x"}, arrived_s=1e12), "schema_invalid"),
    ],
)
def test_bad_requests_are_refused_with_a_code_and_a_hint(
    make: Make, request_: Request, expected: str
) -> None:
    """The same reply inline and from the queue."""
    node, inbox = make(), Inbox()
    if expected != "deadline_passed":
        request_ = Request(request_.id, request_.task, request_.input, request_.qos, arrived_s=CLOCK.now_s())
    node.submit(request_, inbox)
    for reply in (node.answer(request_), inbox.wait(1)[0]):
        assert (reply.status, code(reply)) == ("refused", expected)
        assert reply.error is not None
        assert reply.error.hint
        assert reply.id == "1"


def test_a_long_text_keeps_its_first_tokens(make: Make) -> None:
    reply = make().answer(ask("turn on " + "please " * 30))
    assert (reply.status, reply.route.truncated_tokens) == ("ok", 16)


def test_512_tokens_are_the_most(make: Make) -> None:
    assert make().answer(ask("on " * 512)).route.truncated_tokens == 496


# --- queue -----------------------------------------------------------------------------------------


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
    gate, inbox = Gate(), Inbox()
    node = make(gate)
    node.submit(ask(number=0), inbox)
    assert gate.entered.wait(WAIT_S)
    node.submit(ask(number=1, deadline_s=0.001), inbox)
    threading.Event().wait(0.01)
    gate.open.set()
    late = next(reply for reply in inbox.wait(2) if reply.id == "1")
    assert (late.status, code(late)) == ("refused", "deadline_passed")


def test_an_unreachable_deadline_is_refused_at_once(make: Make) -> None:
    """After one run of 20 ms, 5 ms are known to be too little."""
    slow = threading.Event()

    def script(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        slow.wait(0.02)
        return pass_through(graph, tensors)

    node, inbox = make(script), Inbox()
    assert node.answer(ask()).status == "ok"
    node.submit(ask(deadline_s=0.005), inbox)
    assert code(inbox.wait(1)[0]) == "deadline_unreachable"


def test_after_one_slow_run_short_deadlines_are_tried_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refusals alone teach nothing: without a trial the node would refuse for ever."""
    pauses, slow = [0.5], threading.Event()

    def script(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        slow.wait(pauses.pop() if pauses else 0.0)
        return pass_through(graph, tensors)

    node, inbox = make(script), Inbox()
    assert node.answer(ask()).status == "ok"
    node.submit(ask(deadline_s=0.3), inbox)
    assert code(inbox.wait(1)[0]) == "deadline_unreachable"
    monkeypatch.setattr("firmware_py.scheduling.admission.STALE_S", 0.0)
    node.submit(ask(deadline_s=0.3), inbox)
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

    def asked() -> Request:
        return replace(ask(), arrived_s=clock.now_s())

    nodes = [make(script, clock=clock, inline_s=inline_s) for inline_s in (0.0035, 0.0045)]
    for node in nodes:
        for _ in range(300):
            assert node.answer(asked()).route.exit == 1
    assert [node.try_inline(asked(), Inbox()) for node in nodes] == [False, True]


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
    gate, inbox = Gate(), Inbox()
    node = make(gate)
    node.submit(ask(number=0), inbox)
    assert gate.entered.wait(WAIT_S)
    for number in (1, 2):
        node.submit(ask(number=number), inbox)
    gate.open.set()
    node.close()
    node.close()
    replies = {str(reply.id): code(reply) for reply in inbox.wait(3)}
    assert set(replies) == {"0", "1", "2"}
    assert set(replies.values()) <= {None, "shutting_down"}
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
    gate, inbox = Gate(), Inbox()
    node = make(gate)
    node.submit(ask(number=0), inbox)
    assert gate.entered.wait(WAIT_S)
    reply = node.answer(ask(number=1, deadline_s=0.01))
    assert (reply.id, reply.status, code(reply)) == ("1", "refused", "deadline_passed")
    gate.open.set()
    assert inbox.wait(1)[0].status == "ok"
    assert node.load().queue == 0


def test_who_is_inside_a_run_without_end_is_told(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was queued while the slot was busy with a calibration row."""
    monkeypatch.setattr("firmware_py.agent.LATE_S", 0.01)
    gate, busy, waits = Gate(), threading.Event(), threading.Event()

    def calibrate(slot: Slot) -> float:
        if not busy.is_set():  # once: the worker comes by again when the request is through
            busy.set()
            assert waits.wait(WAIT_S)
        return math.inf

    node = make(gate, calibrate=calibrate)
    assert busy.wait(WAIT_S)
    replies = Inbox()
    caller = threading.Thread(target=lambda: replies(node.answer(ask(deadline_s=1.0))))
    caller.start()
    until = CLOCK.now_s() + WAIT_S
    while not node.load().queue and CLOCK.now_s() < until:
        threading.Event().wait(0.001)
    waits.set()
    assert gate.entered.wait(WAIT_S)
    reply = replies.wait(1)[0]
    caller.join(WAIT_S)
    assert (reply.status, code(reply)) == ("failed", "deadline_passed")
    gate.open.set()


# --- cache -----------------------------------------------------------------------------------------


def test_the_same_text_is_answered_from_the_cache(make: Make) -> None:
    runs: list[str] = []
    charged: list[RunRecord] = []

    def script(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        runs.append(str(graph.key))
        return pass_through(graph, tensors)

    def price(record: RunRecord) -> Energy:
        charged.append(record)
        return Energy(0.002 * len(record.stages), 0.001, method="estimated")

    node = make(
        script,
        results=ResultCache(10, 10**6),
        charge=price,
        price=price,
    )
    first, inbox = node.answer(ask(number=1)), Inbox()
    node.submit(ask(number=2), inbox)
    hit = inbox.wait(1)[0]
    assert (first.route.cache, hit.route.cache, hit.id) == ("miss", "hit", "2")
    assert hit.result == first.result
    assert len(runs) == 1
    # The joules are of the look-up alone: no stage ran, only the host.
    assert [len(record.stages) for record in charged] == [1, 0]
    assert 0.0 <= charged[1].run_s <= charged[0].run_s
    assert hit.energy == Energy(energy_j=0.0, u95_j=0.001, method="estimated")
    assert node.answer(ask("Turn on the light", number=3)).route.cache == "miss"


def test_an_answer_cut_short_is_not_cached(make: Make) -> None:
    """A hot board's early exit must not outlive the heat."""
    node = make(
        results=ResultCache(10, 10**6), limits=lambda a, stages: Limits(a.due_s, a.rule, max_stages=1)
    )
    for _ in range(2):
        assert node.answer(ask("on")).route.cache == "miss"


def test_a_hit_does_not_tell_of_the_outage_that_it_was_made_in(make: Make) -> None:
    """The delegate may be back long before the entry is gone."""
    node = make(results=ResultCache(10, 10**6), better=failing(DelegateError("gone")))
    first, second = node.answer(ask("on")).route, node.answer(ask("on")).route
    assert (first.cache, first.delegate, first.fallback is None) == ("miss", "scripted", False)
    assert (second.cache, second.delegate, second.fallback) == ("hit", "scripted", None)


def test_what_narrower_graphs_said_is_not_cached(make: Make, tiny: Unpacked) -> None:
    graphs = tiny.manifest.graphs
    narrow = tuple(replace(g, key=GraphKey(g.key.bucket, g.key.stage, 2)) for g in graphs)

    def only_narrow(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        if graph.key.width != 2:
            raise RuntimeError
        return pass_through(graph, tensors)

    node = make(
        only_narrow, results=ResultCache(10, 10**6), manifest=replace(tiny.manifest, graphs=graphs + narrow)
    )
    for _ in range(2):
        route = node.answer(ask("on")).route
        assert (route.cache, set(route.widths)) == ("miss", {2})


SPOKEN = ("en", "en-GB", "EN_us", "en_US.UTF-8", "", " ", "und", "*", "auto", "C")
UNSPOKEN = ("de", "pt-BR", "zh-Hans-CN")


@pytest.mark.parametrize(
    ("lang", "found"), [(tag, None) for tag in SPOKEN] + [(tag, "unknown_language") for tag in UNSPOKEN]
)
def test_a_text_of_another_language_is_refused(make: Make, lang: str, found: str | None) -> None:
    node = make(results=ResultCache(10, 10**6))
    node.answer(ask())
    request = ask()
    assert code(node.answer(replace(request, input={**request.input, "lang": lang}))) == found


class _OneJoule(NoCosts):
    """Every stage costs a joule."""

    def stage_j(self, graph: GraphKey, delegate: str, untimed_s: float | None = None) -> float | None:
        return 1.0


def test_one_asker_s_budget_is_not_another_s(make: Make) -> None:
    node = make(results=ResultCache(10, 10**6), costs=_OneJoule())
    first, second = node.answer(ask(energy_j=1e-12)).route, node.answer(ask()).route
    assert (first.cache, first.over_budget) == ("miss", True)
    assert (second.cache, second.over_budget) == ("hit", False)


# --- faults ----------------------------------------------------------------------------------------


def failing(error: Exception) -> Script:
    """A graph that raises."""

    def script(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        raise error

    return script


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
    assert ("test_agent.py" in caplog.text) == (expected == "internal")


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
    request = Request("1", "home", {"text": "on"}, Qos(60.0), arrived_s=0.0)
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
        assert node.answer(ask(number=number, deadline_s=1.0)).status == "ok"
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
    caller = threading.Thread(target=lambda: inbox(node.answer(ask(number=1, deadline_s=WAIT_S))))
    caller.start()
    while not node.load().queue:
        threading.Event().wait(0.001)
    closing = threading.Thread(target=node.close)
    closing.start()
    assert code(inbox.wait(1)[0]) == "shutting_down"
    gate.open.set()
    closing.join(WAIT_S)
    caller.join(WAIT_S)
    assert [reply.id for reply in inbox.wait(2)] == ["1", "0"]
