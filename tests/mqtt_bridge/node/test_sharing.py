"""A node serves on brokers with and without shared subscriptions, whether or not they say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from firmware_py.contracts.clock import SystemClock
from mqtt_bridge.node.endpoint import Endpoint, NodeIdentity
from mqtt_bridge.testing.scripted_agent import ScriptedAgent
from mqtt_bridge.testing.transport_contract import WAIT_S, Inbox, until
from mqtt_bridge.transport.base import LinkOptions, Message, Protocol
from mqtt_bridge.transport.memory import MemoryBroker, MemoryTransport

PLAIN = "ciuic/v1/home/svc/home/infer/+"
SHARED = f"$share/home/{PLAIN}"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("shared", [True, False])
def test_a_request_is_answered(
    protocol: Protocol, shared: bool, request_data: Callable[..., dict[str, Any]]
) -> None:
    broker = MemoryBroker(shared=shared)
    agents = [ScriptedAgent(name) for name in ("n1", "n2")]
    links = [MemoryTransport(broker, LinkOptions(agent.node, (), protocol)) for agent in agents]
    asker = MemoryTransport(broker, LinkOptions("dev", (), protocol))
    inbox = Inbox()
    asker.subscribe("ciuic/v1/home/reply/dev/#", inbox)
    for agent, link in zip(agents, links, strict=True):
        Endpoint(link, agent, NodeIdentity("home", agent.node, ("home",)), SystemClock()).start()
    for link in (*links, asker):
        link.start()
        link.wait_up(WAIT_S)
    wanted = SHARED if shared else PLAIN
    until(lambda: all(wanted in link._subscriptions for link in links))
    until(
        lambda: (
            all(not any("sharing" in name for name in link._subscriptions) for link in links) or not shared
        )
    )
    data = request_data(reply_to="ciuic/v1/home/reply/dev/a")
    asker.publish(Message("ciuic/v1/home/svc/home/infer/dev", json.dumps(data).encode(), 1))
    answers = [json.loads(inbox.take().payload)["status"] for _ in range(1 if shared else 2)]
    assert set(answers) == {"ok"}
    assert inbox.nothing_more()
    for link in (*links, asker):
        link.close()
    for agent in agents:
        agent.close()
