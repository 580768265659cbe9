"""Asks one question at a time and times it on the thread that owns the socket."""

from __future__ import annotations

import queue
import time
from dataclasses import dataclass

from firmware_py.contracts.errors import NoReplyError
from mqtt_bridge.transport.base import Message, Transport
from mqtt_bridge.wire import topics

_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Timed:
    """One round trip: seconds from just before publish to the reply's handler, and the reply."""

    round_trip_s: float
    message: Message


class Probe:
    """A client with one open question."""

    def __init__(self, link: Transport, mesh: str, client: str) -> None:
        self._link = link
        self._mesh = mesh
        self._client = client
        self._reply_topic = topics.build("reply", mesh, client=client, rest="r")
        self._begin_s = 0.0
        self._found: queue.Queue[Timed] = queue.Queue()
        link.subscribe(topics.build_filter("reply", mesh, client=client), self._on_reply)

    def ask(self, task: str, payload: bytes, qos: int, correlation: bytes) -> Timed:
        """Publish and wait.

        Raises:
            NoReplyError: nothing came within 10 s.
        """
        topic = topics.build("request", self._mesh, task=task, client=self._client)
        message = Message(
            topic, payload, qos, response_topic=self._reply_topic, correlation=correlation, expiry_s=3
        )
        self._link.call_soon(lambda: self._send(message))
        try:
            return self._found.get(timeout=_WAIT_S)
        except queue.Empty:
            msg = f"no reply within {_WAIT_S:g} s"
            raise NoReplyError(msg) from None

    def _send(self, message: Message) -> None:
        self._begin_s = time.perf_counter()
        self._link.publish(message)

    def _on_reply(self, message: Message) -> None:
        self._found.put(Timed(time.perf_counter() - self._begin_s, message))
