"""What tests of the node share: requests, an interpreter that waits, a place for replies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from firmware_py.agent import CiuicNode
from firmware_py.backends.scripted import Script, pass_through
from firmware_py.contracts.clock import Clock, SystemClock
from firmware_py.contracts.manifest import Graph
from firmware_py.contracts.reply import Reply
from firmware_py.contracts.request import Qos, Request
from firmware_py.contracts.seams import Tensors

WAIT_S = 10.0
PATIENT_S = 60.0
SECRET = "turn on zanzibar"
CLOCK = SystemClock()


def ask(
    text: str = "turn on the light",
    *,
    number: object = 1,
    task: str = "home",
    clock: Clock = CLOCK,
    deadline_s: float = PATIENT_S,
    **qos: Any,
) -> Request:
    """A request that arrives now; its deadline is beyond the test's patience unless it is given."""
    return Request(str(number), task, {"text": text}, Qos(deadline_s, **qos), arrived_s=clock.now_s())


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


def queued(node: CiuicNode, count: int) -> None:
    """Wait until so many requests wait in the queue."""
    until_s = CLOCK.now_s() + WAIT_S
    while node.load().queue < count:
        assert CLOCK.now_s() < until_s, f"{count} requests were not queued"
        threading.Event().wait(0.001)


def code(reply: Reply | None) -> str | None:
    assert reply is not None
    return None if reply.error is None else reply.error.code


def failing(error: Exception) -> Script:
    """A graph that raises."""

    def script(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        raise error

    return script
