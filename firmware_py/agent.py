"""CiuicNode: the life of one request.

    answer, try_inline or submit
      -> known task and rule? time left?      refused, with a code
      -> caches.results                       hit: answered
      -> scheduling: admission, queue         full, shed or too late: refused, with retry_after_s
      -> [with a slot] answering.run          inline: reply, then answering.learn
                                              on a worker: answering.learn, then reply

Inline, the reply goes out first, since nothing of `learn` stands in it. A worker learns first: once the asker has the
reply, its next request may meet another thread and must find this answer in the cache.

Tokenizing waits for the slot, and refuses a hostile 64 KiB text uncut: it must not hold up the thread that owns
the socket. Nothing raises for a request's sake: every fault becomes a reply with a stable code. Threads: one
worker per slot and whoever calls; they meet in the queue, in a slot's lock and in the reply callback.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from firmware_py.answering import Answering, Job, Lived, OnReply, survive
from firmware_py.caches.results import key
from firmware_py.contracts.errors import (
    BusyError,
    CiuicError,
    DeadlinePassedError,
    RequestError,
    ShuttingDownError,
    UnknownLanguageError,
    UnknownRuleError,
    UnknownTaskError,
    named,
)
from firmware_py.contracts.node_state import ServedTask
from firmware_py.contracts.reply import Reply
from firmware_py.contracts.request import MAX_DEADLINE_S, Request
from firmware_py.node_parts import Load, NodeParts, Served, Slot
from firmware_py.scheduling.admission import check_deadline, retry_after_s
from firmware_py.scheduling.queue import Claim, Dropped, DynamicPriorityQueue

IDLE_TICK_S = 1.0  # how often an idle worker looks for expired requests and delegates to re-test
LATE_S = 1.0  # after so long behind its deadline a request counts as lost


class CiuicNode:
    """Answers requests on one board; a context manager that stops its workers and frees its models."""

    def __init__(self, name: str, parts: NodeParts) -> None:
        """Start one worker per slot."""
        self.name = name
        self.board = parts.board
        self._parts = parts
        self._now = parts.clock.now_s
        self._queue: DynamicPriorityQueue[Job] = DynamicPriorityQueue(
            parts.clock, parts.queue_bound, parts.ageing_s
        )
        self._wake = threading.Condition()
        self._closing = False
        self._answers = Answering(name, parts)
        self._paces = self._answers.paces
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
        error = DeadlinePassedError("the deadline was over while the request waited")
        return self._answers.refuse(request, error)

    def _late(self, request: Request) -> Reply:
        error = DeadlinePassedError("the deadline was over before the run was")
        return self._answers.refuse(request, error, "failed")

    def try_inline(self, request: Request, on_reply: OnReply) -> bool:
        """Answer on the calling thread if that is quick; False when the request must be queued.

        Quick is: nothing waits, a slot is free, and the task's runs take less than `inline_s` on this board. `on_reply`
        is called before this returns; what the answer taught is learned behind it. Never raises.
        """
        pace = self._paces.get(request.task)
        if self._queue or (pace is not None and pace.run_s >= self._parts.inline_s):
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

    def _enqueue(self, job: Job) -> int | None:
        """Queue, and return the ticket; None when the job is refused, which it then was told."""
        request, ticket = job.request, None
        with self._wake:
            wait_s = self._ahead_s(request.qos.priority) / len(self._parts.slots)
            try:
                if self._closing:
                    raise _stopping()
                now_s = self._now()
                check_deadline(request.due_s - now_s, wait_s, self._paces[request.task].first_s(now_s))
                after_s = retry_after_s(self._ahead_s(0))
                claim = Claim(request.qos.priority, request.due_s, request.task, request.client)
                ticket, dropped = self._queue.push(job, claim, after_s)
            except (BusyError, RequestError) as error:
                dropped = [Dropped(job, error)]
            self._wake.notify()
        self._drop(dropped)
        return ticket

    def _ahead_s(self, priority: int) -> float:
        """What the runs take that a newcomer of this priority would wait for; of priority 0 it waits for all."""
        return sum(count * self._paces[task].run_s for task, count in self._queue.ahead(priority).items())

    def _accept(self, request: Request, on_reply: OnReply) -> Job | Reply:
        """Cheap checks and the result cache; what passes is worth a slot."""
        begin_s = self._now()
        try:
            served, rule = self._known(request, begin_s)
            text = request.input.get("text")
            if self._parts.results is not None and text is not None:
                heard = served.task.names_version, served.task.language(request.input)
                hit = self._parts.results.get(key(request.task, text, rule, served.model.sha256, heard))
                if hit is not None:
                    return self._answers.repeated(hit, request, begin_s)
            # The only check of what runs on the caller's thread; the queue looks again, with its waiting.
            check_deadline(request.due_s - begin_s, 0.0, self._paces[request.task].first_s(begin_s))
        except CiuicError as error:
            return self._answers.refuse(request, error)
        return Job(request, served, rule, on_reply)

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
            raise UnknownTaskError(msg, hint=f"It serves: {named(self._parts.served)}.")
        rule = request.qos.accuracy or served.manifest.default_rule
        if rule not in served.manifest.exit_rules:
            msg = "the asked accuracy is no exit rule of the model"
            raise UnknownRuleError(msg, hint=f"The model's rules: {named(served.manifest.exit_rules)}.")
        language = request.input.get("lang")
        if language and not served.manifest.task.speaks(language):
            msg = "the model does not speak the text's language"
            known = named(served.manifest.task.languages)
            raise UnknownLanguageError(
                msg, hint=f"It speaks: {known}. Leave `lang` out if you are not sure of it."
            )
        if now_s >= request.due_s:
            msg = "the deadline was over on arrival"
            raise DeadlinePassedError(msg)
        return served, rule

    def _run_on_free_slot(self, job: Job) -> bool:
        for slot in self._parts.slots:
            if slot.lock.acquire(blocking=False):
                try:
                    # Asked again under the lock: who closes the node takes it to close the engines.
                    if self._closing:
                        lived = Lived(self._answers.refuse(job.request, _stopping()))
                    else:
                        lived = self._answers.run(job, slot)
                    _deliver(job.on_reply, lived.reply)
                    self._answers.learn(lived)
                finally:
                    slot.lock.release()
                return True
        return False

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
                survive("a delegate's re-test", lambda: self._parts.heal(slot))
                found_s = survive("a calibration row", lambda: self._calibrate(slot))
                rest_s = IDLE_TICK_S if found_s is None else found_s
                continue
            with slot.lock:
                lived = self._answers.run(job, slot)
                self._answers.learn(lived)
            _deliver(job.on_reply, lived.reply)

    def _calibrate(self, slot: Slot) -> float:
        with slot.lock:
            return self._parts.calibrate(slot)

    def _drop(self, dropped: Sequence[Dropped[Job]]) -> None:
        for gone in dropped:
            _deliver(gone.item.on_reply, self._answers.refuse(gone.item.request, gone.error))

    # --- what the node says of itself --------------------------------------------------------------

    def tasks(self) -> tuple[ServedTask, ...]:
        """What this node serves."""
        return tuple(served.info() for served in self._parts.served.values())

    def load(self) -> Load:
        """Queue and counts."""
        with self._wake:
            return Load(len(self._queue), *self._answers.counts())

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


def _deliver(on_reply: OnReply, reply: Reply) -> None:
    survive("a reply callback", lambda: on_reply(reply))


def _taken(queued: SimpleQueue[Reply], timeout_s: float) -> Reply | None:
    """The reply, or None when none comes in time."""
    try:
        return queued.get(timeout=timeout_s)
    except Empty:
        return None


def _stopping() -> ShuttingDownError:
    return ShuttingDownError("the node is stopping", retry_after_s=1.0)
