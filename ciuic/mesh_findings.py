"""What a broker says: whether it answers, and which nodes have told their birth to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from ciuic.findings import Finding

_CONNECT_TIMEOUT_S = 3.0
_RETAINED_WAIT_S = 1.0  # a broker replays retained messages right after the subscription


@dataclass(slots=True)
class _Heard:
    """Retained messages by node; filled on the transport's thread, read after it has ended."""

    births: dict[str, bytes] = field(default_factory=dict)
    states: dict[str, bytes] = field(default_factory=dict)


def brokers_reachable(urls: list[str], mesh: str) -> Iterator[Finding]:
    """One finding per broker, and one per node that it knows.

    Raises:
        ConfigError: the mesh is no topic level, or a broker address has another form.
    """
    from firmware_py.contracts.errors import BrokerUnreachableError
    from mqtt_bridge.compose import BridgeConfig, build_link, fresh_client
    from mqtt_bridge.transport.address import parse_broker
    from mqtt_bridge.transport.base import Message
    from mqtt_bridge.wire import topics

    for url in urls:
        heard, address = _Heard(), str(parse_broker(url))  # what is printed holds no password

        def birth(message: Message, heard: _Heard = heard) -> None:
            heard.births[_node(message.topic)] = message.payload

        def state(message: Message, heard: _Heard = heard) -> None:
            heard.states[_node(message.topic)] = message.payload

        link = build_link(BridgeConfig(broker=(url,), mesh=mesh), fresh_client("doctor"))
        link.subscribe(topics.build_filter("birth", mesh), birth)
        link.subscribe(topics.build_filter("state", mesh), state)
        with link:
            try:
                link.wait_up(_CONNECT_TIMEOUT_S)
            except BrokerUnreachableError as error:
                yield Finding("mesh", address, found=False, detail=str(error), todo=error.hint, needed=True)
                continue
            threading.Event().wait(_RETAINED_WAIT_S)
        nodes = [
            _node_finding(name, payload, heard.states.get(name))
            for name, payload in sorted(heard.births.items())
        ]
        ready = sum(node.found for node in nodes)
        todo = None if ready else f"Start one: `ciuic node run --broker {address}`."
        detail = f"answers; {ready} of {len(nodes)} nodes of mesh {mesh} connected"
        yield Finding("mesh", address, found=True, detail=detail, todo=todo)
        yield from nodes


def _node(topic: str) -> str:
    from mqtt_bridge.wire import topics

    address = topics.parse(topic)
    return "?" if address is None else address.node


def _node_finding(name: str, birth: bytes, state: bytes | None) -> Finding:
    """Births come from the network: whatever is not as it should be is said to be unreadable."""
    try:
        told = json.loads(birth)
        tasks = ", ".join(str(task["name"]) for task in told["tasks"])
        board = f"{told['profile']}{' (simulated)' if told['simulated'] else ''}"
        life = str(json.loads(state)["state"]) if state else "unknown"
    except (ValueError, KeyError, TypeError):
        return Finding("mesh", f"node {name}", found=False, detail="its birth message is unreadable")
    return Finding("mesh", f"node {name}", life == "ready", f"{life}; serves {tasks}; board {board}")
