"""The request path of a node: topic -> codec -> agent -> reply, on the thread that owns the socket.

A request that comes alone, with nothing queued, is answered inline on that thread; in a flood they
go to the agent's queue, whose worker hands the reply back to this thread. Nothing here raises for
a message's sake, and no text of a user is logged.
"""

from __future__ import annotations

import logging
import math
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import (
    CiuicError,
    DeadlinePassedError,
    InternalError,
    ReplyTopicMissingError,
    RequestError,
    ShuttingDownError,
    UnknownTaskError,
)
from firmware_py.contracts.records import record
from firmware_py.contracts.reply import Reply, Status, error_reply
from firmware_py.contracts.request import DEFAULT_DEADLINE_S, Request, parse_request
from mqtt_bridge.node.asker import Asker, find_asker, find_unnamed
from mqtt_bridge.node.port import NodeAgent
from mqtt_bridge.node.replies import Key, ReplyBook, key_of
from mqtt_bridge.node.sharing import SharingProbe
from mqtt_bridge.transport.base import Message, Transport
from mqtt_bridge.wire import topics
from mqtt_bridge.wire.codec import decode_payload, encode_reply, salvage

_log = logging.getLogger(__name__)

# Clocks that agree differ by less; a stale `sent_at` is refused only beyond it.
CLOCK_TOLERANCE_S = 1.0
_EXPIRE_EVERY_S = 5.0
_OLDEST_CLOCK = datetime(2025, 1, 1, tzinfo=UTC)  # a board whose clock was never set judges no stamp


@record(frozen=True, slots=True)
class NodeIdentity:
    """Where the node lives: mesh, its id, the tasks it serves; `simulated` where its board is."""

    mesh: str
    node: str
    tasks: tuple[str, ...]
    simulated: bool = False


@dataclass(slots=True)
class EndpointCounts:
    """Messages that never reached the agent; `dropped` could not be answered because nobody could be named."""

    refused: int = 0
    dropped: int = 0


class Endpoint:
    """Serves one node's topics with one agent."""

    def __init__(self, transport: Transport, agent: NodeAgent, identity: NodeIdentity, clock: Clock) -> None:
        self.counts = EndpointCounts()
        self.replies = ReplyBook()
        self._transport = transport
        self._agent = agent
        self._identity = identity
        self._clock = clock
        self._closing = self._paused = False
        self._filters: list[str] = []
        self._filters_lock = threading.Lock()  # `stop` comes from another thread

    def start(self) -> None:
        """Subscribe; before the transport starts or after."""
        SharingProbe(self._transport, self._identity.mesh, self._identity.node, self._share)
        for task in self._identity.tasks:
            self._listen(topics.share(task, self._plain(task)))
        self._listen(
            topics.build_filter("command", self._identity.mesh, node=self._identity.node, verb="infer")
        )
        self._transport.call_later(_EXPIRE_EVERY_S, self._expire)

    def refused(self) -> tuple[str, ...]:
        """Its filters that the broker refused: requests to them would never come."""
        refused = self._transport.refused
        return tuple(topic_filter for topic_filter in self._filters if topic_filter in refused)

    def stop(self) -> None:
        """Take no more requests; those that wait are still answered, those on their way are refused."""
        with self._filters_lock:
            self._closing = True
            self._leave()

    def pause(self) -> None:
        """Subscribe to no more requests until `resume`; those on their way are answered as ever."""
        with self._filters_lock:
            self._paused = True
            self._leave()

    def resume(self) -> None:
        """Take requests again; nothing happens once it is stopped."""
        with self._filters_lock:
            self._paused = False
            if not self._closing:
                for topic_filter in self._filters:
                    self._hear(topic_filter)

    def idle(self) -> bool:
        """Whether every request that came is answered."""
        return not len(self.replies)

    def _leave(self) -> None:
        for topic_filter in self._filters:
            self._transport.leave(topic_filter)

    def _listen(self, topic_filter: str) -> None:
        self._filters.append(topic_filter)
        if not self._paused:
            self._hear(topic_filter)

    def _hear(self, topic_filter: str) -> None:
        self._transport.subscribe(topic_filter, self._on_message, qos=1, retained=False)

    def _plain(self, task: str) -> str:
        return topics.build_filter("request", self._identity.mesh, task=task)

    def _share(self, shared: bool) -> None:
        """Without shared subscriptions every node of a task gets every request: say so and serve.

        The new filter goes before the old one ends: rather a request twice than none.
        """
        with self._filters_lock:
            if not self._closing:
                self._change(shared)

    def _change(self, shared: bool) -> None:
        if shared:
            _log.warning("this broker has shared subscriptions: the nodes share the requests again")
        else:
            _log.warning("this broker has no shared subscriptions: each node answers each request")
        for task in self._identity.tasks:
            plain, group = self._plain(task), topics.share(task, self._plain(task))
            wanted, former = (group, plain) if shared else (plain, group)
            self._listen(wanted)
            self._filters.remove(former)
            self._transport.unsubscribe(former)

    def _expire(self) -> None:
        self.replies.expire(self._clock.now_s())
        if not self._closing:
            self._transport.call_later(_EXPIRE_EVERY_S, self._expire)

    # --- one request -------------------------------------------------------------------------

    def _on_message(self, message: Message) -> None:
        if message.retain:  # a retained request would be answered at every reconnect
            self.counts.dropped += 1
            return
        address = topics.parse(message.topic)
        if address is None:
            self._refuse_unnamed(message)
            return
        read = _read(message, address.client, self._clock.now_s())
        asker, fault = find_asker(address, message, read.reply_to)
        if asker is None:
            self.counts.dropped += 1
            return
        # An unreadable payload may have hidden its reply_to: then what broke it is the news.
        error: CiuicError | None = fault or read.error
        if isinstance(fault, ReplyTopicMissingError) and read.error is not None:
            error = read.error
        request = read.request
        if error is None and request is not None:
            if not address.client:
                request = replace(request, client=asker.client)
            error = self._problem(address, request)
            if error is None:
                self._serve(request, asker)
                return
        self._refuse(asker, read.request_id, error or InternalError("a request was neither read nor refused"))

    def _refuse_unnamed(self, message: Message) -> None:
        """A client level that is no name: its asker hears so, and nothing of the payload is run."""
        asker, fault = find_unnamed(message)
        if asker is None:
            self.counts.dropped += 1
            return
        self._refuse(asker, _read(message, "", self._clock.now_s()).request_id, fault)

    def _problem(self, address: topics.Address, request: Request) -> CiuicError | None:
        if self._closing:
            return ShuttingDownError("the node is stopping")
        if address.task and request.task != address.task:
            return UnknownTaskError(
                "the payload names another task than its topic",
                hint="Send task X on ciuic/v1/<mesh>/svc/X/infer/<client>.",
            )
        if request.sent_at is not None:
            return stale(request, self._clock.utc())
        return None

    def _serve(self, request: Request, asker: Asker) -> None:
        key = key_of(request)
        standing = self.replies.enter(key, request, asker)
        if standing == "open":
            return
        if standing != "new":
            self._send(asker, standing, request.deadline_s)
            return
        deadline_s = request.deadline_s

        def answer(reply: Reply) -> None:
            self._answer(key, reply, deadline_s)

        if not self._transport.backlog() and self._agent.try_inline(request, answer):
            return
        self._agent.submit(
            request,
            lambda reply: self._transport.call_soon(lambda: self._answer(key, reply, deadline_s)),
        )

    def _answer(self, key: Key, reply: Reply, deadline_s: float) -> None:
        for asker in self.replies.answer(key, reply, self._clock.now_s()):
            self._send(asker, reply, deadline_s)

    def _refuse(self, asker: Asker, request_id: str | None, error: CiuicError) -> None:
        self.counts.refused += 1
        self._send(asker, self._error_reply(request_id, error, "refused"), DEFAULT_DEADLINE_S)

    def _error_reply(self, request_id: str | None, error: CiuicError, status: Status) -> Reply:
        node, simulated = self._identity.node, self._identity.simulated
        return error_reply(request_id, error, node=node, status=status, simulated=simulated)

    def _send(self, asker: Asker, reply: Reply, deadline_s: float) -> None:
        try:
            payload = encode_reply(reply, asker.content_type)
        except (ValueError, TypeError):  # a figure that is no number: a defect of ours, but still one answer
            _log.error("a reply could not be encoded")
            error = InternalError("the node made a reply that cannot be sent")
            payload = encode_reply(self._error_reply(reply.id, error, "failed"), asker.content_type)
        self._transport.publish(asker.reply(payload, math.ceil(deadline_s) + 1))


@dataclass(slots=True)
class _Read:
    """What could be read of a payload; `request` and `error` exclude each other."""

    request: Request | None = None
    request_id: str | None = None
    reply_to: str | None = None
    error: RequestError | None = None


def _read(message: Message, client: str, arrived_s: float) -> _Read:
    data: Any = None
    try:
        data = decode_payload(message.payload, message.content_type)
        request = parse_request(data, client=client, arrived_s=arrived_s)
    except RequestError as error:
        request_id, reply_to = salvage(data)
        return _Read(None, request_id, reply_to, error)
    return _Read(request, request.id, request.reply_to)


def stale(request: Request, now: datetime) -> DeadlinePassedError | None:
    """A request that was sent longer ago than its deadline, where clocks agree.

    A stamp without offset is taken as UTC. A stamp that cannot be read, or one from a future beyond
    the tolerance, says that the clocks do not agree, and is not judged.
    """
    if request.sent_at is None or now < _OLDEST_CLOCK:
        return None
    try:
        sent = datetime.fromisoformat(request.sent_at)
    except ValueError:
        return None
    if sent.tzinfo is None:
        sent = sent.replace(tzinfo=UTC)
    age_s = (now - sent).total_seconds()
    if age_s <= request.deadline_s + CLOCK_TOLERANCE_S:
        return None
    return DeadlinePassedError(
        f"the request was sent {age_s:.3g} s ago and its deadline is {request.deadline_s:g} s"
    )
