"""Which nodes of a mesh are up and what they serve: what `presence` said, read back from the broker.

Nodes subscribe to their own tasks only, so nobody can refuse a request for another one: it meets
silence, and who asked must look around to learn why.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from firmware_py.contracts.errors import CiuicError, NoReplyError, RequestError, UnknownTaskError
from firmware_py.contracts.node_state import Lifecycle
from mqtt_bridge.transport.base import Message, Transport
from mqtt_bridge.wire import topics
from mqtt_bridge.wire.codec import decode_payload

RETAINED_WAIT_S = 1.0  # a broker sends what it keeps right after the subscription

Up = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A node by its own words; `state` is `unknown` where it said none in this life, `readable` is its birth."""

    node: str
    state: Lifecycle | Literal["unknown"]
    tasks: tuple[str, ...]
    board: str
    simulated: bool
    readable: bool = True


class Roll:
    """Takes births and states in; what cannot be read counts as not said."""

    def __init__(self) -> None:
        self._births: dict[str, Mapping[str, Any] | None] = {}
        self._states: dict[str, Mapping[str, Any] | None] = {}

    def hear(self, message: Message) -> None:
        """Note what a node said of itself; an empty birth makes it forgotten."""
        address = topics.parse(message.topic)
        if address is None or address.kind not in ("birth", "state"):
            return
        heard = self._births if address.kind == "birth" else self._states
        if message.payload:
            heard[address.node] = told(message)
        else:
            heard.pop(address.node, None)

    def seen(self) -> tuple[Seen, ...]:
        """Every node that told its birth, by name; a state older than the birth is ignored."""
        states = self._states.copy()
        return tuple(
            _seen(node, birth, states.get(node)) for node, birth in sorted(self._births.copy().items())
        )

    def up(self) -> Up:
        """The tasks of every node that is ready."""
        return {node.node: node.tasks for node in self.seen() if node.state == "ready"}


def read_roll(link: Transport, mesh: str, wait_s: float = RETAINED_WAIT_S) -> Roll:
    """What a broker keeps of the nodes; `wait_s` is how many seconds it gets to send it."""
    roll = Roll()
    filters = [topics.build_filter("birth", mesh), topics.build_filter("state", mesh)]
    for topic_filter in filters:
        link.subscribe(topic_filter, roll.hear)
    threading.Event().wait(wait_s)
    for topic_filter in filters:
        link.unsubscribe(topic_filter)
    return roll


def look_around(link: Transport, mesh: str, wait_s: float = RETAINED_WAIT_S) -> Up | None:
    """The nodes that are up, by their tasks; null when the link is down and nothing can be known."""
    up = read_roll(link, mesh, wait_s).up()
    return up if link.connected else None


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


def why_absent(silence: NoReplyError, node: str, mesh: str, up: Up) -> CiuicError:
    """What to tell who asked one node by its name and got no reply."""
    if node in up:
        hint = f"Node {node} is up: give more time with --deadline."
        return NoReplyError(silence.message, hint=hint)
    if not up:
        return why_silent(silence, "", mesh, up)
    hint = f"Up: {', '.join(sorted(up))}. Name one of these with --to, or leave --to out."
    return NoReplyError(f"no node {node} is up in mesh {mesh}", hint=hint)


def told(message: Message) -> Mapping[str, Any] | None:
    """Births and states come from the network: whatever is not as it should be is null."""
    try:
        data = decode_payload(message.payload, message.content_type) if message.payload else None
    except RequestError:
        return None
    return data if isinstance(data, dict) else None


def epoch_of(data: Mapping[str, Any]) -> int:
    """Of a birth or a state; 0 where it has none."""
    epoch = data.get("epoch")
    return epoch if isinstance(epoch, int) else 0


def _seen(node: str, birth: Mapping[str, Any] | None, state: Mapping[str, Any] | None) -> Seen:
    """What is no name, or no state of ours, would reach a terminal as it is."""
    if birth is None:
        return Seen(node, "unknown", (), "unknown", simulated=False, readable=False)
    said = None if state is None or epoch_of(state) < epoch_of(birth) else state.get("state")
    life: Lifecycle | Literal["unknown"] = next(
        (known for known in get_args(Lifecycle) if known == said), "unknown"
    )
    board = birth.get("profile")
    named = board if isinstance(board, str) and topics.is_name(board) else "unknown"
    return Seen(node, life, _tasks(birth), named, simulated=birth.get("simulated") is True)


def _tasks(birth: Mapping[str, Any]) -> tuple[str, ...]:
    rows = birth.get("tasks")
    names = [row.get("name") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return tuple(name for name in names if isinstance(name, str) and topics.is_name(name))
