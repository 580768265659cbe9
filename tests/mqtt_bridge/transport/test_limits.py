"""What a broker takes, at once and at all: a link keeps to it, and what does not fit costs itself alone."""

from __future__ import annotations

import os
import signal

import pytest

from mqtt_bridge.broker.process import BrokerProcess, start_broker
from mqtt_bridge.testing.transport_contract import WAIT_S, Inbox, until
from mqtt_bridge.transport.base import LinkOptions, Message
from mqtt_bridge.transport.mqtt import MqttTransport
from tests.brokers import link_to, mosquitto_with, needs_mosquitto

FEW = mosquitto_with("max_inflight_messages 3", without="max_inflight_messages")


def test_a_payload_over_the_codecs_limit_still_arrives(broker: BrokerProcess) -> None:
    """The node must see it to say why it is too large."""
    inbox, link = Inbox(), link_to(broker, "big")
    link.subscribe("big", inbox)
    with link:
        link.wait_up(WAIT_S)
        link.publish(Message("big", b"x" * (64 * 1024 + 1), 1))
        assert len(inbox.take().payload) == 64 * 1024 + 1


@needs_mosquitto
def test_a_broker_that_takes_few_at_once_is_not_overrun() -> None:
    """MQTT 5 brokers end a connection that goes over their receive maximum."""
    with start_broker(FEW) as broker:
        inbox, events = Inbox(), Inbox()
        link = link_to(broker, "eager")
        link.subscribe("t", inbox)
        link.watch(lambda event: events(Message(event, b"")))
        with link:
            link.wait_up(WAIT_S)
            for number in range(200):
                link.publish(Message("t", str(number).encode(), 1))
            assert [int(inbox.take().payload) for _ in range(200)] == list(range(200))
            assert events.take().topic == "up"
            assert events.nothing_more()


@needs_mosquitto
def test_what_waits_for_the_first_link_does_not_overrun_the_broker_either() -> None:
    with start_broker(FEW) as broker:
        inbox, events, link = Inbox(), Inbox(), link_to(broker, "eager")
        link.subscribe("t", inbox)
        link.watch(lambda event: events(Message(event, b"")))
        for number in range(200):
            link.publish(Message("t", str(number).encode(), 1))
        with link:
            assert [int(inbox.take().payload) for _ in range(200)] == list(range(200))
            assert events.take().topic == "up"
            assert events.nothing_more()


@needs_mosquitto
@pytest.mark.parametrize("early", [False, True])
def test_what_is_longer_than_the_broker_takes_costs_itself_and_not_the_link(
    early: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """mosquitto ends the connection, and paho sends again what was not acknowledged: a loop without end."""
    with start_broker(mosquitto_with("max_packet_size 60000", without="max_packet_size")) as broker:
        inbox, events, link = Inbox(), Inbox(), link_to(broker, "big")
        link.subscribe("t", inbox)
        link.watch(lambda event: events(Message(event, b"")))
        if early:  # it waits in paho, and the limit is heard later
            link.publish(Message("t", b"x" * 70_000, 1))
        with link:
            link.wait_up(WAIT_S)
            if not early:
                link.publish(Message("t", b"x" * 70_000, 1))
            exact = 60_000 - 1 - 3 - (2 + 1) - 2 - 1  # fixed header, length, topic, packet id, no properties
            link.publish(Message("t", b"y" * exact, 1))
            link.publish(Message("t", b"z" * (exact + 1), 1))
            link.publish(Message("t", b"last", 1))
            assert [len(inbox.take().payload) for _ in range(2)] == [exact, 4]
            assert (events.take().topic, events.nothing_more()) == ("up", True)
            assert link.dropped == 2
    assert "a message of 70010 bytes was not sent: the broker takes 60000" in caplog.text
    assert "xxx" not in caplog.text


@needs_mosquitto
def test_a_broker_without_retention_or_quality_one_is_asked_for_neither() -> None:
    """It refuses such a will, and ends the connection for such a message."""
    with start_broker(mosquitto_with("max_qos 0", "retain_available false")) as broker:
        inbox, events = Inbox(), Inbox()
        link = link_to(broker, "humble", will=Message("will", b"x", 1, retain=True))
        link.subscribe("t", inbox)
        link.watch(lambda event: events(Message(event, b"")))
        link.publish(Message("t", b"early", 1, retain=True))
        with link:
            link.wait_up(WAIT_S)
            link.publish(Message("t", b"late", 1, retain=True))
            assert [inbox.take().payload for _ in range(2)] == [b"early", b"late"]
            assert (events.take().topic, events.nothing_more()) == ("up", True)
            assert not link._client._out_messages


@needs_mosquitto
def test_what_one_broker_did_not_acknowledge_is_fitted_to_the_next() -> None:
    humble = mosquitto_with(
        "max_packet_size 60000", "max_qos 0", "retain_available false", without="max_packet_size"
    )
    with start_broker("mosquitto") as first, start_broker(humble) as second:
        inbox, events = Inbox(), Inbox()
        link = MqttTransport(LinkOptions("roamer", (first.url, second.url)))
        link.subscribe("t", inbox)
        link.watch(lambda event: events(Message(event, b"")))
        with link:
            link.wait_up(WAIT_S)
            assert first.pid is not None
            os.kill(first.pid, signal.SIGSTOP)
            link.publish(Message("t", b"x" * 70_000, 1))
            link.publish(Message("t", b"kept", 1, retain=True))
            until(lambda: len(link._client._out_messages) == 2)
            first.kill()
            assert [events.take().topic for _ in range(3)] == ["up", "down", "up"]
            assert inbox.take().payload == b"kept"
            assert (link.dropped, events.nothing_more()) == (1, True)


@needs_mosquitto
@pytest.mark.parametrize("topic", ["t/\x01", "t" + "/t" * 250])
def test_a_message_that_ends_the_link_is_not_sent_for_ever(topic: str) -> None:
    with start_broker("mosquitto") as broker:
        inbox, events, link = Inbox(), Inbox(), link_to(broker, "poisoned")
        link.subscribe("fine", inbox)
        link.watch(lambda event: events(Message(event, b"")))
        with link:
            link.wait_up(WAIT_S)
            link.publish(Message(topic, b"x", 1))
            assert [events.take().topic for _ in range(5)] == ["up", "down", "up", "down", "up"]
            assert events.nothing_more()
            assert link.dropped == 1
            link.publish(Message("fine", b"after", 1))
            assert inbox.take().payload == b"after"
