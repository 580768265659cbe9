"""A request that has a slot: tokens, limits, stages, joules, reply; and what its answer teaches.

    run     tasks.encode -> resources.governor: Limits -> inference.engine -> energy.charge -> tasks.decode -> Reply
    learn   the result cache, the cost model, how long runs take

The agent decides which comes first after `run`: inline the reply, on a worker `learn`.

Nothing raises for a request's sake: every fault becomes a reply with a stable code.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TypeVar

from firmware_py.caches.results import Key, key
from firmware_py.contracts.errors import (
    BusyError,
    CiuicError,
    DeadlinePassedError,
    InternalError,
    RequestError,
)
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.manifest import Manifest
from firmware_py.contracts.records import record
from firmware_py.contracts.reply import Reply, Route, Status, Timing, error_reply
from firmware_py.contracts.request import Request
from firmware_py.contracts.run import RunRecord
from firmware_py.inference.engine import Outcome
from firmware_py.node_parts import NodeParts, Served, Slot
from firmware_py.resources.governor import Ask
from firmware_py.scheduling.admission import Pace

_log = logging.getLogger(__name__)

T = TypeVar("T")
OnReply = Callable[[Reply], None]


@record(frozen=True, slots=True)
class Job:
    """A request that may run: what answers it, by which exit rule, and who waits."""

    request: Request
    served: Served
    rule: str
    on_reply: OnReply


@record(frozen=True, slots=True)
class Lived:
    """A reply.

    If a run produced it: the run's record, its task, and the cache key to store it under (None: do not cache).
    """

    reply: Reply
    record: RunRecord | None = None
    task: str = ""
    wanted: Key | None = None


class Answering:
    """Makes every reply of a node, counts them, and keeps the pace of each task's runs."""

    def __init__(self, name: str, parts: NodeParts) -> None:
        self._name = name
        self._parts = parts
        self._now = parts.clock.now_s
        self.paces = {task: Pace() for task in parts.served}
        self._counting = threading.Lock()
        self._counts = dict.fromkeys(("ok", "out_of_scope", "refused", "failed"), 0)

    def run(self, job: Job, slot: Slot) -> Lived:
        """The part of a life that needs a slot, whose lock the caller holds and keeps while it learns."""
        uncharged = self._parts.uncharged
        work = uncharged.begin(self._now())
        lived = survive("a request", lambda: self._live(job, slot))
        # Without a run record nobody is charged, whatever it did.
        uncharged.end(work, self._now() if lived is None or lived.record is None else None)
        return lived or Lived(self.refuse(job.request, InternalError("the node failed on this request")))

    def learn(self, lived: Lived) -> None:
        """What an answer teaches: itself for who asks the same, its seconds for who comes next."""
        survive("what an answer taught", lambda: self._learn(lived))

    def repeated(self, hit: Reply, request: Request, begin_s: float) -> Reply:
        """A stored answer for who asks now, with the joules of looking it up: no stage ran."""
        end_s, route = self._now(), hit.route
        sha256 = "" if hit.model is None else hit.model.sha256
        looked_up = RunRecord(
            sha256, route.configuration or "", (), 0, begin_s, end_s, 0, simulated=route.simulated
        )
        timing = Timing(max(0.0, begin_s - request.arrived_s), end_s - begin_s)
        return self._count(replace(hit, id=request.id, time=timing, energy=self._parts.price(looked_up)))

    def refuse(self, request: Request, error: CiuicError, status: Status | None = None) -> Reply:
        """The reply of an error: refused when nothing ran, failed when it broke on the way, or as `status` says."""
        kind = status or ("refused" if isinstance(error, RequestError | BusyError) else "failed")
        simulated = self._parts.board.simulated
        return self._count(error_reply(request.id, error, node=self._name, status=kind, simulated=simulated))

    def counts(self) -> tuple[int, int, int]:
        """Answered, refused and failed since the start."""
        with self._counting:
            counts = self._counts
            return counts["ok"] + counts["out_of_scope"], counts["refused"], counts["failed"]

    def _live(self, job: Job, slot: Slot) -> Lived:
        request, parts = job.request, self._parts
        begin_s = self._now()
        due_s = request.due_s
        try:
            if begin_s >= due_s:
                return Lived(
                    self.refuse(request, DeadlinePassedError("the deadline was over before the run"))
                )
            served = job.served
            task, stages = served.task, served.manifest.stages
            encoded = task.encode(request.input)
            limits = parts.limits(Ask(request.qos, due_s, job.rule), stages)
            with self._noted(slot, request.task, encoded.text):
                outcome = slot.engines[request.task].run(encoded, limits, begin_s)
            record = outcome.record
            energy = parts.charge(record)
            heard = task.names_version, encoded.language  # before names are used: never newer than the answer
            result = None
            if not outcome.verdict.out_of_scope:
                result = task.decode(encoded, outcome.verdict, outcome.tags)
            reply = Reply(
                request.id,
                "ok" if result is not None else "out_of_scope",
                self._route(outcome, stages, due_s),
                result,
                served.model,
                Timing(max(0.0, begin_s - request.arrived_s), record.run_s),
                energy,
            )
            wanted = None
            if parts.results is not None and outcome.accepted and _as_asked(outcome, limits, served.manifest):
                wanted = key(request.task, encoded.text, job.rule, served.model.sha256, heard)
            return Lived(self._count(reply), record, request.task, wanted)
        except CiuicError as error:
            return Lived(self.refuse(request, error))

    def _noted(self, slot: Slot, task: str, text: str) -> AbstractContextManager[None]:
        """A native crash ends the process in here: the box then tells the next one of what."""
        box = self._parts.box
        return nullcontext() if box is None else box.running(slot.number, task, text)

    def _learn(self, lived: Lived) -> None:
        record = lived.record
        if record is not None:
            if lived.wanted is not None and self._parts.results is not None:
                self._parts.results.put(lived.wanted, lived.reply)
            self._parts.learn(record)
            self.paces[lived.task].learn(record)

    def _route(self, outcome: Outcome, stages: int, due_s: float) -> Route:
        record, fallback = outcome.record, outcome.record.fallback
        if fallback is None and record.end_s > due_s:  # no run is cut short
            fallback = f"exit {record.exit}: {1e3 * (record.end_s - due_s):.3g} ms after the deadline"
        return Route(
            node=self._name,
            exit=record.exit,
            exits=stages,
            widths=outcome.widths,
            delegate=outcome.delegate,
            cache="off" if self._parts.results is None else "miss",
            fallback=fallback,
            configuration=record.configuration,
            truncated_tokens=record.truncated_tokens,
            over_budget=outcome.over_budget,
            simulated=record.simulated,
        )

    def _count(self, reply: Reply) -> Reply:
        with self._counting:
            self._counts[reply.status] += 1
        return reply


def survive(what: str, action: Callable[[], T]) -> T | None:
    """The one supervisor: a defect of ours or of a caller must not end what serves all others.

    Logs where it broke but not the exception's own words, which may quote a private text.
    """
    try:
        return action()
    except Exception as error:  # noqa: BLE001 - see above
        places = "".join(traceback.format_tb(error.__traceback__))
        _log.error("%s raised %s\n%s", what, type(error).__name__, places)
        return None


def _as_asked(outcome: Outcome, limits: Limits, manifest: Manifest) -> bool:
    """Whether no narrower graph answered: what one said in an outage must not outlive it."""
    if outcome.record.fallback is None:
        return True
    asked = limits.widths or manifest.full_widths
    return outcome.widths == asked[: len(outcome.widths)]
