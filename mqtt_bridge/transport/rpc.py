"""Our client: ask, wait, ask again with the same id, and count what came twice.

A request is kept until its reply or until deadline + 1 s, whichever is first; that second instant
is what *lost* means. It is sent again with the same bytes after a quarter of the deadline, then in
growing steps, and at once (then in small steps) when the link comes back; a node answers the repeat from its reply cache.
"""

from __future__ import annotations

import math
import uuid
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field

from firmware_py.contracts.clock import Clock, SystemClock
from firmware_py.contracts.errors import NoReplyError, RequestError
from firmware_py.contracts.records import record
from firmware_py.contracts.reply import Reply
from firmware_py.contracts.request import Request
from mqtt_bridge.transport.base import LinkEvent, Message, Transport
from mqtt_bridge.transport.timers import Timer
from mqtt_bridge.wire import topics
from mqtt_bridge.wire.codec import decode_reply, encode_request

LOST_AFTER_S = 1.0
_FIRST_RETRY_SHARE = 0.25
_LEAST_RETRY_S = 0.1
_MOST_RETRY_S = 5.0
_GROWTH = 1.6
_REMEMBERED = 10_000

Done = Callable[[Reply | None], None]


@record(frozen=True, slots=True)
class ClientOptions:
    """Who asks and how. `content_type` null means JSON without saying so. `retry` off sends once."""

    client: str
    mesh: str = topics.DEFAULT_MESH
    qos: int = 1
    content_type: str | None = None
    retry: bool = True


@dataclass(slots=True)
class Counts:
    """What this client saw: requests, answers, repeats sent, replies dropped, requests lost.

    Of the `duplicates`, `unexplained` are those beyond one reply for each time that their request was sent.
    """

    asked: int = 0
    answered: int = 0
    retries: int = 0
    duplicates: int = 0
    unexplained: int = 0
    strays: int = 0
    lost: int = 0


@dataclass(slots=True)
class Pending:
    """An open request, as `Client.send` gives it back; `Client.forget` takes it."""

    request_id: str
    message: Message
    done: Done
    give_up_s: float
    step_s: float
    timer: Timer | None = None
    sent: int = 0


@dataclass(slots=True)
class _Book:
    """Open requests by id, and the ids lately closed with how many replies to them may still come."""

    open: dict[str, Pending] = dataclass_field(default_factory=dict)
    closed: OrderedDict[str, int] = dataclass_field(default_factory=OrderedDict)


class Client:
    """Asks nodes through a transport; many requests may be open at once.

    Callbacks run on the transport's thread, so they must not call `ask`. The transport is started
    and closed by whoever made it.
    """

    def __init__(self, transport: Transport, options: ClientOptions, clock: Clock | None = None) -> None:
        self.options = options
        self.counts = Counts()
        self._transport = transport
        self._clock = clock or SystemClock()
        self._five = transport.options.protocol == "5"
        self._reply_topic = topics.build("reply", options.mesh, client=options.client, rest="rpc")
        self._book = _Book()
        self._link_lost = False
        transport.subscribe(
            topics.build_filter("reply", options.mesh, client=options.client),
            self._on_reply,
            qos=options.qos,
            retained=False,
        )
        transport.watch(self._on_link)

    def ask(self, request: Request, timeout_s: float | None = None, *, node: str | None = None) -> Reply:
        """Ask and wait; `node` asks that one only.

        Raises:
            NoReplyError: no reply by deadline + 1 s, or by `timeout_s` if that is less.
        """
        future, pending = self._submit(request, node)
        limit_s = request.deadline_s + LOST_AFTER_S
        try:
            return future.result(min(limit_s + 1.0, math.inf if timeout_s is None else timeout_s))
        except TimeoutError:
            self.forget(pending)
            msg = f"no reply within {timeout_s or limit_s:g} s"
            raise NoReplyError(msg) from None

    def submit(self, request: Request, *, node: str | None = None) -> Future[Reply]:
        """Ask without waiting; the future raises NoReplyError at deadline + 1 s.

        It does so at once when its id is asked again: an id stands for one question at a time.
        """
        return self._submit(request, node)[0]

    def _submit(self, request: Request, node: str | None) -> tuple[Future[Reply], Pending]:
        future: Future[Reply] = Future()

        def done(reply: Reply | None) -> None:
            if not future.set_running_or_notify_cancel():
                return
            if reply is not None:
                future.set_result(reply)
            else:
                msg = f"no reply by deadline + {LOST_AFTER_S:g} s, or its id was asked again"
                future.set_exception(NoReplyError(msg))

        return future, self.send(request, done, node=node)

    def send(self, request: Request, done: Done, *, node: str | None = None) -> Pending:
        """Ask; `done` gets the reply, or null when the request is lost. `node` asks that one only."""
        mesh = self.options.mesh
        if node is None:
            topic = topics.build("request", mesh, task=request.task, client=self.options.client)
        else:
            topic = topics.build("command", mesh, node=node, verb="infer")
        asked = replace(request, reply_to=self._reply_topic)  # a node of 3.1.1 sees no response topic
        message = Message(
            topic,
            encode_request(asked, self.options.content_type if self._five else None),
            self.options.qos,
            response_topic=self._reply_topic if self._five else None,
            correlation=request.id.encode("utf-8") if self._five else None,
            content_type=self.options.content_type if self._five else None,
            expiry_s=math.ceil(request.deadline_s + LOST_AFTER_S) if self._five else None,
        )
        step_s = min(_MOST_RETRY_S, max(_LEAST_RETRY_S, request.deadline_s * _FIRST_RETRY_SHARE))
        give_up_s = self._clock.now_s() + request.deadline_s + LOST_AFTER_S
        pending = Pending(request.id, message, done, give_up_s, step_s)
        self._transport.call_soon(lambda: self._open(pending))
        return pending

    def forget(self, pending: Pending) -> None:
        """Stop waiting for a request, but not for a later one of the same id; a late reply counts as a repeat."""

        def close() -> None:
            if self._book.open.get(pending.request_id) is pending:
                self._close(pending.request_id)

        self._transport.call_soon(close)

    # --- on the transport's thread -------------------------------------------------------------

    def _open(self, pending: Pending) -> None:
        former = self._book.open.get(pending.request_id)
        if former is not None:
            self._lose(former)
        self._book.open[pending.request_id] = pending
        self.counts.asked += 1
        self._publish(pending)
        self._wait(pending)

    def _publish(self, pending: Pending) -> None:
        pending.sent += 1
        self._transport.publish(pending.message)

    def _lose(self, pending: Pending) -> None:
        self._close(pending.request_id)
        self.counts.lost += 1
        pending.done(None)

    def _wait(self, pending: Pending) -> None:
        left_s = pending.give_up_s - self._clock.now_s()
        delay_s = min(pending.step_s, left_s) if self.options.retry else left_s
        pending.step_s = min(_MOST_RETRY_S, pending.step_s * _GROWTH)
        pending.timer = self._transport.call_later(max(0.0, delay_s), lambda: self._overdue(pending))

    def _overdue(self, pending: Pending) -> None:
        if self._book.open.get(pending.request_id) is not pending:
            return
        if self._clock.now_s() >= pending.give_up_s:
            self._lose(pending)
            return
        if self.options.retry and self._transport.connected:
            self.counts.retries += 1
            self._publish(pending)
        self._wait(pending)

    def _on_link(self, event: LinkEvent) -> None:
        """What was open when the link went may never have reached a node; before the first link QoS 1 waits."""
        lost, self._link_lost = self._link_lost, event == "down"
        if event == "up" and self.options.retry and (lost or self.options.qos == 0):
            for pending in tuple(self._book.open.values()):
                self.counts.retries += 1
                self._publish(pending)
                if pending.timer is not None:
                    pending.timer.cancel()
                pending.step_s = _LEAST_RETRY_S  # the nodes may be back later than we are
                self._wait(pending)

    def _on_reply(self, message: Message) -> None:
        try:
            reply = decode_reply(message.payload, message.content_type)
        except RequestError:
            self.counts.strays += 1
            return
        request_id = reply.id
        if request_id is None and message.correlation is not None:
            request_id = message.correlation.decode("utf-8", errors="replace")
        pending = self._close(request_id) if request_id is not None else None
        if request_id is None or (pending is None and request_id not in self._book.closed):
            self.counts.strays += 1
            return
        self._book.closed[request_id] -= 1
        if pending is not None:
            self.counts.answered += 1
            pending.done(reply)
            return
        self.counts.duplicates += 1
        self.counts.unexplained += self._book.closed[request_id] < 0

    def _close(self, request_id: str) -> Pending | None:
        pending = self._book.open.pop(request_id, None)
        if pending is not None:
            if pending.timer is not None:
                pending.timer.cancel()
            self._book.closed[request_id] = self._book.closed.get(request_id, 0) + pending.sent
            if len(self._book.closed) > _REMEMBERED:
                self._book.closed.popitem(last=False)
        return pending


def new_id() -> str:
    """A request id that nobody else chooses."""
    return uuid.uuid4().hex
