"""What a broker says: whether it answers, and which nodes have told their birth to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ciuic.findings import Finding

if TYPE_CHECKING:
    from mqtt_bridge.node.roll import Seen

_CONNECT_TIMEOUT_S = 3.0


def check_addresses(urls: Sequence[str], mesh: str) -> None:
    """Before anything is looked at, which takes seconds.

    Raises:
        ConfigError: the mesh is no topic level, or a broker address has another form.
    """
    from mqtt_bridge.transport.address import parse_broker
    from mqtt_bridge.wire import topics

    topics.check_name("mesh", mesh)
    for url in urls:
        parse_broker(url)


def brokers_reachable(urls: Sequence[str], mesh: str) -> Iterator[Finding]:
    """One finding per broker, and one per node that it knows; both as `check_addresses` lets them pass."""
    from firmware_py.contracts.errors import BrokerUnreachableError
    from mqtt_bridge.compose import BridgeConfig, build_link, fresh_client
    from mqtt_bridge.node.roll import read_roll
    from mqtt_bridge.transport.address import parse_broker

    for url in urls:
        address = str(parse_broker(url))  # what is printed holds no password
        with build_link(BridgeConfig(broker=(url,), mesh=mesh), fresh_client("doctor")) as link:
            try:
                link.wait_up(_CONNECT_TIMEOUT_S)
            except BrokerUnreachableError as error:
                yield Finding("mesh", address, found=False, detail=str(error), todo=error.hint, needed=True)
                continue
            nodes = [_node_finding(node) for node in read_roll(link, mesh).seen()]
        ready = sum(node.found for node in nodes)
        todo = None if ready else f"Start one: `ciuic node run --broker {address}`."
        detail = f"answers; {ready} of {len(nodes)} nodes of mesh {mesh} connected"
        yield Finding("mesh", address, found=True, detail=detail, todo=todo)
        yield from nodes


def _node_finding(node: Seen) -> Finding:
    if not node.readable:
        return Finding("mesh", f"node {node.node}", found=False, detail="its birth message is unreadable")
    board = f"{node.board}{' (simulated)' if node.simulated else ''}"
    detail = f"{node.state}; serves {', '.join(node.tasks) or 'nothing'}; board {board}"
    return Finding("mesh", f"node {node.node}", node.state == "ready", detail)
