"""CiuicNode: the life of one request.

    answer, try_inline or submit
      -> known task and rule? time left?      refused, with a code
      -> caches.results                       hit: answered
      -> scheduling: admission, queue         full, shed or too late: refused, with retry_after_s
      -> [a slot's thread] tasks.encode -> resources.governor: Limits -> inference.engine
      -> energy.charge -> tasks.decode -> Reply -> costs.learn

What an answer teaches is learned when it is on its way. Tokenizing waits for the slot, and refuses a hostile
64 KiB text uncut: it must not hold up the thread that owns the socket.
Nothing raises for a request's sake: every fault becomes a reply with a stable code. Threads: one
worker per slot and whoever calls; they meet in the queue, in a slot's lock and in the reply callback.
"""

from __future__ import annotations

import logging
import math
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self, TypeVar

from firmware_py.caches.results import Key, ResultCache, key
from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import (
    BusyError,
    CiuicError,
    DeadlinePassedError,
    InternalError,
    RequestError,
    ShuttingDownError,
    UnknownLanguageError,
    UnknownRuleError,
    UnknownTaskError,
)
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.manifest import Manifest
from firmware_py.contracts.node_state import CostLine, ServedTask
from firmware_py.contracts.records import record
from firmware_py.contracts.reply import (
    UNKNOWN_ENERGY,
    Energy,
    Method,
    ModelRef,
    Reply,
    Route,
    Status,
    Timing,
    error_reply,
)
from firmware_py.contracts.request import MAX_DEADLINE_S, Request
from firmware_py.contracts.run import RunRecord
from firmware_py.inference.engine import Engine, Outcome
from firmware_py.resources.governor import Ask
from firmware_py.scheduling.admission import MeanSeconds, check_deadline, retry_after_s
from firmware_py.scheduling.queue import Dropped, DynamicPriorityQueue
from firmware_py.tasks.intent import IntentTask

_log = logging.getLogger(__name__)

T = TypeVar("T")
OnReply = Callable[[Reply], None]
IDLE_TICK_S = 1.0  # how often an idle worker looks for expired requests and delegates to re-test
LATE_S = 1.0  # after so long behind its deadline a request counts as lost
STALE_S = 1.0  # after so long without a run, what runs took is no ground to refuse: one is tried


@dataclass(frozen=True, slots=True)
class Served:
    """One task of this node: its bundle's manifest, its model's name, its tokenizer and labels."""

    manifest: Manifest
    model: ModelRef
    task: IntentTask

    def info(self) -> ServedTask:
        """What a birth message says of it."""
        task, model = self.manifest.task, self.model
        return ServedTask(task.name, task.kind, task.languages, model.name, model.version, model.sha256)


@dataclass(frozen=True, slots=True)
class Slot:
    """Interpreters for one thread at a time: one engine per task, and the lock that guards them."""

    engines: Mapping[str, Engine]
    lock: threading.Lock


@dataclass(frozen=True, slots=True)
class Board:
    """What a node says of its board.

    `power_w` is the rail's power now, None when unknown; `energy_method` is how joules are known at
    this moment.
    """

    profile: str
    simulated: bool
    power_source: str
    power_w: Callable[[], float | None]
    cost_lines: Callable[[], tuple[CostLine, ...]]
    energy_method: Callable[[], Method]


@dataclass(frozen=True, slots=True)
class NodeParts:
    """What `compose` hands in.

    `charge` prices a finished run, `price` work that no meter can see, `learn` takes it into the cost model, `heal` re-tests delegates that
    are out and locks the slot while it uses it; `closing` runs when the node has stopped.
    """

    clock: Clock
    board: Board
    served: Mapping[str, Served]
    slots: Sequence[Slot]
    limits: Callable[[Ask, int], Limits]
    charge: Callable[[RunRecord], Energy]
    learn: Callable[[RunRecord], None]
    heal: Callable[[Slot], None]
    queue_bound: int = 64
    ageing_s: float = 0.5
    inline_s: float = 0.005
    results: ResultCache | None = None
    calibrate: Callable[[Slot], float] = lambda _: math.inf
    price: Callable[[RunRecord], Energy] = lambda _: UNKNOWN_ENERGY
    closing: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Load:
    """What a heartbeat says: requests waiting, and answered, refused and failed since the start."""

    queue: int
    answered: int
    refused: int
    failed: int


@record(frozen=True, slots=True)
class _Job:
    request: Request
    served: Served
    rule: str
    on_reply: OnReply


@record(frozen=True, slots=True)
class _Lived:
    """A reply, and where a run made it, its record and under what the result cache is to keep it."""

    reply: Reply
    record: RunRecord | None = None
    wanted: Key | None = None


class CiuicNode:
    """Answers requests on one board; a context manager that stops its workers and frees its models."""

    def __init__(self, name: str, parts: NodeParts) -> None:
        """Start one worker per slot."""
        self.name = name
        self.board = parts.board
        self._parts = parts
        self._now = parts.clock.now_s
        self._queue: DynamicPriorityQueue[_Job] = DynamicPriorityQueue(
            parts.clock, parts.queue_bound, parts.ageing_s
        )
        self._wake = threading.Condition()
        self._closing = False
        self._run_s, self._first_s = MeanSeconds(), MeanSeconds()
        self._learned_s = -math.inf
        self._counts = dict.fromkeys(("ok", "out_of_scope", "refused", "failed"), 0)
        self._workers = [
            threading.Thread(target=self._work, args=(slot,), name=f"slot-{number}", daemon=True)
            for number, slot in enumerate(parts.slots)
        ]
        for worker in self._workers:
            worker.start()

    # --- the life of a request -------------------------------------------------------------------

    def answer(self, request: Request) -> Reply:
        """Answer on the calling thread if a slot is free, else wait for the queue's reply. Never raises.

        A run on this thread takes its time; what is queued is waited for until `LATE_S` after its deadline.
        """
        replies: list[Reply] = []
        found = self._accept(request, replies.append)
        if isinstance(found, Reply):
            return found
        if self._run_on_free_slot(found):
            return replies[0]
        # Not by waiting for the lock: a worker that lets go of it takes it again before we wake.
        queued: SimpleQueue[Reply] = SimpleQueue()
        ticket = self._enqueue(replace(found, on_reply=queued.put))
        left_s = request.due_s - self._now() + LATE_S
        reply = _taken(queued, min(max(left_s, 0.0), MAX_DEADLINE_S + LATE_S))
        return reply or self._withdrawn(request, ticket) or _taken(queued, 0.0) or self._late(request)

    def _withdrawn(self, request: Request, ticket: int | None) -> Reply | None:
        """Take back what nobody came for by its deadline; None when it is not in the queue."""
        with self._wake:
            gone = None if ticket is None else self._queue.cancel(ticket)
        if gone is None:
            return None
        return self._refuse(request, DeadlinePassedError("the deadline was over while the request waited"))

    def _late(self, request: Request) -> Reply:
        error = DeadlinePassedError("the deadline was over before the run was")
        return self._count(error_reply(request.id, error, node=self.name, status="failed"))

    def try_inline(self, request: Request, on_reply: OnReply) -> bool:
        """Answer on the calling thread if that is quick; False when the request must be queued.

        Quick is: nothing waits, a slot is free, and runs take less than `inline_s` on this board. `on_reply` is
        called before this returns; what the answer taught is learned behind it. Never raises.
        """
        if self._queue or self._run_s.mean_s >= self._parts.inline_s:
            return False
        found = self._accept(request, on_reply)
        if isinstance(found, Reply):
            _deliver(on_reply, found)
            return True
        return self._run_on_free_slot(found)

    def submit(self, request: Request, on_reply: OnReply) -> None:
        """Queue; `on_reply` is called once, from a worker or before this returns. Never raises."""
        found = self._accept(request, on_reply)
        if isinstance(found, Reply):
            _deliver(on_reply, found)
        else:
            self._enqueue(found)

    def _enqueue(self, job: _Job) -> int | None:
        """Queue, and return the ticket; None when the job is refused, which it then was told."""
        request, ticket = job.request, None
        with self._wake:
            wait_s = self._queue.ahead(request.qos.priority) * self._run_s.mean_s / len(self._parts.slots)
            try:
                if self._closing:
                    raise _stopping()
                now_s = self._now()
                # Else one slow second would have every short deadline refused for ever.
                first_s = self._first_s.mean_s if now_s - self._learned_s < STALE_S else 0.0
                check_deadline(request.due_s - now_s, wait_s, first_s)
                after_s = retry_after_s(len(self._queue) * self._run_s.mean_s)
                ticket, dropped = self._queue.push(job, request.qos.priority, request.due_s, after_s)
            except (BusyError, RequestError) as error:
                dropped = [Dropped(job, error)]
            self._wake.notify()
        self._drop(dropped)
        return ticket

    def _accept(self, request: Request, on_reply: OnReply) -> _Job | Reply:
        """Cheap checks and the result cache; what passes is worth a slot."""
        begin_s = self._now()
        try:
            served, rule = self._known(request, begin_s)
        except CiuicError as error:
            return self._refuse(request, error)
        text = request.input.get("text")
        if self._parts.results is not None and text is not None:
            names = served.task.names_version
            hit = self._parts.results.get(key(request.task, text, rule, served.model.sha256, names))
            if hit is not None:
                return self._count(self._repeated(hit, request, begin_s))
        return _Job(request, served, rule, on_reply)

    def _known(self, request: Request, now_s: float) -> tuple[Served, str]:
        """What answers the request, and by which exit rule.

        Raises:
            ShuttingDownError, RequestError: nothing does, or it is too late.
        """
        if self._closing:
            raise _stopping()
        served = self._parts.served.get(request.task)
        if served is None:
            msg = "this node does not serve the task"
            raise UnknownTaskError(msg)
        rule = request.qos.accuracy or served.manifest.default_rule
        if rule not in served.manifest.exit_rules:
            msg = "qos.accuracy names no exit rule of the model"
            raise UnknownRuleError(msg)
        language = request.input.get("lang")
        if language and not served.manifest.task.speaks(language):
            msg = "the model does not speak the text's language"
            raise UnknownLanguageError(msg)
        if now_s >= request.due_s:
            msg = "the deadline was over on arrival"
            raise DeadlinePassedError(msg)
        return served, rule

    def _repeated(self, hit: Reply, request: Request, begin_s: float) -> Reply:
        """A stored answer for who asks now, with the joules of looking it up: no stage ran."""
        end_s, route = self._now(), hit.route
        sha256 = "" if hit.model is None else hit.model.sha256
        looked_up = RunRecord(
            sha256, route.configuration or "", (), 0, begin_s, end_s, 0, simulated=route.simulated
        )
        timing = Timing(max(0.0, begin_s - request.arrived_s), end_s - begin_s)
        return replace(hit, id=request.id, time=timing, energy=self._parts.price(looked_up))

    def _run_on_free_slot(self, job: _Job) -> bool:
        for slot in self._parts.slots:
            if slot.lock.acquire(blocking=False):
                try:
                    # Asked again under the lock: who closes the node takes it to close the engines.
                    if self._closing:
                        lived = _Lived(self._refuse(job.request, _stopping()))
                    else:
                        lived = self._run(job, slot)
                    _deliver(job.on_reply, lived.reply)
                    self._learned(lived)
                finally:
                    slot.lock.release()
                return True
        return False

    def _run(self, job: _Job, slot: Slot) -> _Lived:
        """The part of a life that needs a slot, whose lock the caller holds and keeps while it learns."""
        lived = _survive("a request", lambda: self._live(job, slot))
        return lived or _Lived(self._refuse(job.request, InternalError("the node failed on this request")))

    def _live(self, job: _Job, slot: Slot) -> _Lived:
        request, parts = job.request, self._parts
        begin_s = self._now()
        due_s = request.due_s
        try:
            if begin_s >= due_s:
                return _Lived(
                    self._refuse(request, DeadlinePassedError("the deadline was over before the run"))
                )
            served = job.served
            task, stages = served.task, served.manifest.stages
            encoded = task.encode(request.input)
            limits = parts.limits(Ask(request.qos, due_s, job.rule), stages)
            outcome = slot.engines[request.task].run(encoded, limits, begin_s)
            record = outcome.record
            energy = parts.charge(record)
            names = task.names_version  # before they are used: never newer than the answer
            result = None
            if not outcome.verdict.out_of_scope:
                result = task.decode(encoded, outcome.verdict, outcome.tags)
            reply = Reply(
                request.id,
                "ok" if result is not None else "out_of_scope",
                self._route(outcome, stages),
                result,
                served.model,
                Timing(max(0.0, begin_s - request.arrived_s), record.run_s),
                energy,
            )
            wanted = None
            if parts.results is not None and outcome.accepted and _as_asked(outcome, limits, served.manifest):
                wanted = key(request.task, encoded.text, job.rule, served.model.sha256, names)
            return _Lived(self._count(reply), record, wanted)
        except CiuicError as error:
            return _Lived(self._refuse(request, error))

    def _learned(self, lived: _Lived) -> None:
        _survive("what an answer taught", lambda: self._learn(lived))

    def _learn(self, lived: _Lived) -> None:
        """What an answer teaches: itself for who asks the same, its seconds for who comes next."""
        record = lived.record
        if record is not None:
            if lived.wanted is not None and self._parts.results is not None:
                self._parts.results.put(lived.wanted, lived.reply)
            self._parts.learn(record)
            self._learn_time(record)

    def _learn_time(self, record: RunRecord) -> None:
        """Means of a run and of one up to exit 1.

        A run that exit 0 answered says nothing of exit 1, which the next text may need.
        """
        self._learned_s = record.end_s
        self._run_s.learn(record.run_s)
        if record.stages:
            self._first_s.learn(record.run_s - sum(stage.run_s for stage in record.stages[1:]))

    def _route(self, outcome: Outcome, stages: int) -> Route:
        record = outcome.record
        return Route(
            self.name,
            record.exit,
            stages,
            outcome.widths,
            outcome.delegate,
            "off" if self._parts.results is None else "miss",
            record.fallback,
            record.configuration,
            record.truncated_tokens,
            outcome.over_budget,
            record.simulated,
        )

    def _refuse(self, request: Request, error: CiuicError) -> Reply:
        """The reply of an error: refused when nothing ran, failed when it broke on the way."""
        status: Status = "refused" if isinstance(error, RequestError | BusyError) else "failed"
        simulated = self.board.simulated
        return self._count(error_reply(request.id, error, node=self.name, status=status, simulated=simulated))

    def _count(self, reply: Reply) -> Reply:
        with self._wake:
            self._counts[reply.status] += 1
        return reply

    # --- workers -----------------------------------------------------------------------------------

    def _work(self, slot: Slot) -> None:
        rest_s = IDLE_TICK_S
        while True:
            with self._wake:
                job, dropped = self._queue.pop()
                if job is None and not dropped:
                    if self._closing:
                        return
                    if rest_s > 0.0:
                        self._wake.wait(min(rest_s, IDLE_TICK_S))
                    job, dropped = self._queue.pop()
                    dropped += self._queue.expired()
            self._drop(dropped)
            if job is None:
                _survive("a delegate's re-test", lambda: self._parts.heal(slot))
                found_s = _survive("a calibration row", lambda: self._calibrate(slot))
                rest_s = IDLE_TICK_S if found_s is None else found_s
                continue
            with slot.lock:
                lived = self._run(job, slot)
                self._learned(lived)
            _deliver(job.on_reply, lived.reply)

    def _calibrate(self, slot: Slot) -> float:
        with slot.lock:
            return self._parts.calibrate(slot)

    def _drop(self, dropped: Sequence[Dropped[_Job]]) -> None:
        for gone in dropped:
            _deliver(gone.item.on_reply, self._refuse(gone.item.request, gone.error))

    # --- what the node says of itself --------------------------------------------------------------

    def tasks(self) -> tuple[ServedTask, ...]:
        """What this node serves."""
        return tuple(served.info() for served in self._parts.served.values())

    def load(self) -> Load:
        """Queue and counts."""
        with self._wake:
            counts = self._counts
            answered = counts["ok"] + counts["out_of_scope"]
            return Load(len(self._queue), answered, counts["refused"], counts["failed"])

    def close(self) -> None:
        """Refuse what waits, stop the workers, free the models; a second call does nothing."""
        with self._wake:
            if self._closing:
                return
            self._closing = True
            dropped = self._queue.drain(_stopping)
            self._wake.notify_all()
        self._drop(dropped)
        for worker in self._workers:
            worker.join()
        for slot in self._parts.slots:
            with slot.lock:
                for engine in slot.engines.values():
                    engine.close()
        self._parts.closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _survive(what: str, action: Callable[[], T]) -> T | None:
    """The one supervisor: a defect of ours or of a caller must not end what serves all others.

    Logs where it broke but not the exception's own words, which may quote a private text.
    """
    try:
        return action()
    except Exception as error:  # noqa: BLE001 - see above
        places = "".join(traceback.format_tb(error.__traceback__))
        _log.error("%s raised %s\n%s", what, type(error).__name__, places)
        return None


def _deliver(on_reply: OnReply, reply: Reply) -> None:
    _survive("a reply callback", lambda: on_reply(reply))


def _taken(queued: SimpleQueue[Reply], timeout_s: float) -> Reply | None:
    """The reply, or None when none comes in time."""
    try:
        return queued.get(timeout=timeout_s)
    except Empty:
        return None


def _as_asked(outcome: Outcome, limits: Limits, manifest: Manifest) -> bool:
    """Whether no narrower graph answered: what one said in an outage must not outlive it."""
    if outcome.record.fallback is None:
        return True
    asked = limits.widths or manifest.full_widths
    return outcome.widths == asked[: len(outcome.widths)]


def _stopping() -> ShuttingDownError:
    return ShuttingDownError("the node is stopping", retry_after_s=1.0)
