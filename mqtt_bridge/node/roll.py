"""Which nodes of a mesh are up and what they serve: what `presence` said, read back from the broker.

Nodes subscribe to their own tasks only, so nobody can refuse a request for another one: it meets
silence, and who asked must look around to learn why.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from firmware_py.contracts.errors import CiuicError, NoReplyError, RequestError, UnknownTaskError
from mqtt_bridge.transport.base import Message, Transport
from mqtt_bridge.wire import topics
from mqtt_bridge.wire.codec import decode_payload

RETAINED_WAIT_S = 1.0  # a broker sends what it keeps right after the subscription

Up = Mapping[str, tuple[str, ...]]


class Roll:
    """Takes births and states in; what cannot be read counts as not said."""

    def __init__(self) -> None:
        self._births: dict[str, Mapping[str, Any]] = {}
        self._states: dict[str, Mapping[str, Any]] = {}

    def hear(self, message: Message) -> None:
        """Note what a node said of itself; an empty birth makes it forgotten."""
        address = topics.parse(message.topic)
        if address is None or address.kind not in ("birth", "state"):
            return
        heard = self._births if address.kind == "birth" else self._states
        told = _told(message)
        if told is None:
            heard.pop(address.node, None)
        else:
            heard[address.node] = told

    def up(self) -> Up:
        """The tasks of every node that is ready; a state older than the node's birth is ignored."""
        states = self._states.copy()
        found = {}
        for node, birth in self._births.copy().items():
            state = states.get(node, {})
            if state.get("state") == "ready" and _epoch(state) >= _epoch(birth):
                found[node] = _tasks(birth)
        return found


def look_around(link: Transport, mesh: str, wait_s: float = RETAINED_WAIT_S) -> Up | None:
    """The nodes that are up, by their tasks; null when the link is down and nothing can be known.

    `wait_s` is how many seconds the broker gets to send what it keeps.
    """
    roll = Roll()
    filters = [topics.build_filter("birth", mesh), topics.build_filter("state", mesh)]
    for topic_filter in filters:
        link.subscribe(topic_filter, roll.hear)
    threading.Event().wait(wait_s)
    for topic_filter in filters:
        link.unsubscribe(topic_filter)
    return roll.up() if link.connected else None


def why_silent(silence: NoReplyError, task: str, mesh: str, up: Up) -> CiuicError:
    """What to tell who asked for `task` and got no reply."""
    if not up:
        hint = f"No node of mesh {mesh} is up at this broker: start one with `ciuic node run`, or name another --mesh."
        return NoReplyError(silence.message, hint=hint)
    serving = sum(task in tasks for tasks in up.values())
    if serving:
        hint = f"{serving} of {len(up)} nodes that are up serve the task: give more time with --deadline."
        return NoReplyError(silence.message, hint=hint)
    served = ", ".join(sorted({name for tasks in up.values() for name in tasks})) or "nothing"
    hint = f"Served: {served}. Ask for one with --task, or start a node with a bundle for yours (--model)."
    return UnknownTaskError(f"no node of mesh {mesh} serves the task {task}", hint=hint)


def _told(message: Message) -> Mapping[str, Any] | None:
    """Births and states come from the network: whatever is not as it should be is null."""
    try:
        data = decode_payload(message.payload, message.content_type) if message.payload else None
    except RequestError:
        return None
    return data if isinstance(data, dict) else None


def _epoch(data: Mapping[str, Any]) -> int:
    epoch = data.get("epoch")
    return epoch if isinstance(epoch, int) else 0


def _tasks(birth: Mapping[str, Any]) -> tuple[str, ...]:
    """Their names; what is no name would reach a terminal as it is."""
    rows = birth.get("tasks")
    names = [row.get("name") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return tuple(name for name in names if isinstance(name, str) and topics.is_name(name))
