"""A node with a scripted agent on an in-process broker, and a plain asker beside it."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from firmware_py.contracts.clock import SystemClock
from mqtt_bridge.node.endpoint import Endpoint, NodeIdentity
from mqtt_bridge.testing.scripted_agent import ScriptedAgent
from mqtt_bridge.testing.transport_contract import until
from mqtt_bridge.transport.base import Handler, LinkOptions, Message
from mqtt_bridge.transport.memory import MemoryBroker, MemoryTransport

WAIT_S = 10.0
QUIET_S = 0.3


class Counting(MemoryTransport):
    """Counts the requests that a handler is through with."""

    handled = 0

    def subscribe(self, topic_filter: str, handler: Handler, *, qos: int = 1, retained: bool = True) -> None:
        def counted(message: Message) -> None:
            handler(message)
            self.handled += "/infer" in message.topic

        super().subscribe(topic_filter, counted, qos=qos, retained=retained)


class Desk:
    """One node, one foreign client that publishes raw bytes and reads all of its reply topics."""

    def __init__(self, *, simulated: bool = False) -> None:
        self.broker = MemoryBroker()
        self.agent = ScriptedAgent("n1", bound=8)
        self.node = Counting(self.broker, LinkOptions("n1", ()))
        identity = NodeIdentity("home", "n1", ("home",), simulated)
        self.endpoint = Endpoint(self.node, self.agent, identity, SystemClock())
        self.endpoint.start()
        self.asker = MemoryTransport(self.broker, LinkOptions("dev", ()))
        self.replies: queue.Queue[Message] = queue.Queue()
        self.asker.subscribe("ciuic/v1/home/reply/#", self.replies.put)
        for link in (self.node, self.asker):
            link.start()
            link.wait_up(WAIT_S)

    def send(
        self,
        payload: bytes,
        *,
        topic: str = "ciuic/v1/home/svc/home/infer/dev",
        response: str | None = "ciuic/v1/home/reply/dev/a",
        content_type: str | None = None,
        correlation: bytes = b"c1",
        qos: int = 1,
    ) -> None:
        self.asker.publish(
            Message(
                topic,
                payload,
                qos,
                response_topic=response,
                correlation=correlation,
                content_type=content_type,
            )
        )

    def ask(self, data: Any, **how: Any) -> tuple[dict[str, Any], Message]:
        payload = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send(payload, **how)
        return self.take()

    def take(self) -> tuple[dict[str, Any], Message]:
        message = self.replies.get(timeout=WAIT_S)
        return json.loads(message.payload), message

    def handled(self, count: int) -> None:
        """Wait until the endpoint is through with so many messages."""
        until(lambda: self.node.handled >= count)

    def silent(self) -> bool:
        try:
            self.replies.get(timeout=QUIET_S)
        except queue.Empty:
            return True
        return False

    def close(self) -> None:
        self.asker.close()
        self.endpoint.stop()
        self.node.close()
        self.agent.close()


@pytest.fixture
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Its board is simulated where the test's parameter for the desk says so."""
    found = Desk(simulated=getattr(request, "param", False))
    yield found
    found.close()


@pytest.fixture
def request_data() -> Callable[..., dict[str, Any]]:
    def make(**changes: Any) -> dict[str, Any]:
        base: dict[str, Any] = {"v": 1, "id": "r1", "task": "home", "input": {"text": "turn on the light"}}
        return {key: value for key, value in (base | changes).items() if value is not ...}

    return make
