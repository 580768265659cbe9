"""A node serves on brokers with and without shared subscriptions, whether or not they say so."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from firmware_py.contracts.clock import SystemClock
from mqtt_bridge.broker import mosquitto
from mqtt_bridge.broker.process import start_broker
from mqtt_bridge.node import sharing
from mqtt_bridge.node.endpoint import Endpoint, NodeIdentity
from mqtt_bridge.testing.scripted_agent import ScriptedAgent
from mqtt_bridge.testing.transport_contract import WAIT_S, Inbox, until
from mqtt_bridge.transport.base import LinkEvent, LinkOptions, Message, Protocol, Transport, Watcher
from mqtt_bridge.transport.memory import MemoryBroker, MemoryTransport
from mqtt_bridge.transport.mqtt import MqttTransport
from tests.mqtt_bridge.node.conftest import Desk

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
    until(lambda: all(wanted in link.filters for link in links))
    data = request_data(reply_to="ciuic/v1/home/reply/dev/a")
    asker.publish(Message("ciuic/v1/home/svc/home/infer/dev", json.dumps(data).encode(), 1))
    answers = [json.loads(inbox.take().payload)["status"] for _ in range(1 if shared else 2)]
    assert set(answers) == {"ok"}
    assert inbox.nothing_more()
    for link in (*links, asker):
        link.close()
    for agent in agents:
        agent.close()


@contextmanager
def _serving(link: Transport, watcher: Watcher = lambda _event: None) -> Iterator[None]:
    agent = ScriptedAgent("n1")
    Endpoint(link, agent, NodeIdentity("home", "n1", ("home",)), SystemClock()).start()
    link.watch(watcher)
    with link:
        link.wait_up(WAIT_S)
        yield
    agent.close()


def _serves(link: Transport, wanted: str) -> bool:
    """Whether the node listens that way and not the other."""
    return link.filters & {PLAIN, SHARED} == {wanted}


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("first", [True, False])
def test_what_one_broker_does_is_not_believed_of_the_next(
    protocol: Protocol, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "PROBE_S", 0.1)
    broker = MemoryBroker(shared=first)
    link = MemoryTransport(broker, LinkOptions("n1", (), protocol))
    with _serving(link):
        for shared in (first, not first, first):
            broker.stop()
            broker.shared = shared
            broker.restart()
            until(lambda wanted=SHARED if shared else PLAIN: _serves(link, wanted))  # type: ignore[misc]


class _HoldsProbes(MemoryBroker):
    """A broker that is slow with one topic."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[Message] | None = []

    def publish(self, message: Message) -> None:
        if self.held is not None and message.topic.endswith("/sharing"):
            self.held.append(message)
        else:
            super().publish(message)


def test_an_answer_that_comes_late_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "PROBE_S", 0.05)
    broker = _HoldsProbes()
    link = MemoryTransport(broker, LinkOptions("n1", (), "3.1.1"))
    with _serving(link):
        until(lambda: _serves(link, PLAIN))
        held, broker.held = broker.held or [], None
        for message in held:
            broker.publish(message)
        until(lambda: _serves(link, SHARED))


@pytest.mark.skipif(mosquitto.executable() is None, reason="mosquitto is not installed")
def test_a_thread_that_is_busy_at_the_start_does_not_take_the_broker_for_one_that_cannot_share(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sharing, "PROBE_S", 1.0)
    with start_broker("mosquitto") as broker:
        link = MqttTransport(LinkOptions("n1", (broker.url_v311,), "3.1.1"))
        done = threading.Event()

        def busy(_event: LinkEvent) -> None:
            threading.Event().wait(1.0 + sharing.PROBE_S)
            link.call_later(0.5, done.set)

        with _serving(link, busy):
            assert done.wait(WAIT_S)
            assert _serves(link, SHARED)
    assert "shared subscriptions" not in caplog.text


def test_who_stops_sharing_in_a_pause_hears_each_request_once(
    desk: Desk, request_data: Callable[..., dict[str, Any]]
) -> None:
    desk.endpoint.pause()
    desk.endpoint._share(shared=False)
    desk.endpoint.resume()
    assert _serves(desk.node, PLAIN)
    assert desk.ask(request_data())[0]["status"] == "ok"
    assert desk.silent()
    assert desk.node.handled == 1


def test_who_has_stopped_changes_nothing(desk: Desk) -> None:
    desk.endpoint.stop()
    desk.endpoint._share(shared=False)
    desk.endpoint.resume()
    assert not desk.node.filters & {PLAIN, SHARED}
