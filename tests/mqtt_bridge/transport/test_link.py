"""A link to a real broker: made again, taken over, ended, and what it leaves behind."""

from __future__ import annotations

import os
import queue
import socket
import threading

import pytest
from paho.mqtt.client import MQTTMessage

from firmware_py.contracts.errors import BrokerUnreachableError
from mqtt_bridge.broker.process import BrokerProcess, start_broker
from mqtt_bridge.testing.transport_contract import WAIT_S, Inbox, until
from mqtt_bridge.transport.base import LinkOptions, Message
from mqtt_bridge.transport.mqtt import MqttTransport
from tests.brokers import TAKEN_OVER, ClosingBroker, link_to, needs_mosquitto


def test_our_socket_waits_for_nobody(broker: BrokerProcess) -> None:
    """Without TCP_NODELAY a QoS 1 round trip costs 44 ms (Nagle and delayed acknowledgement)."""
    with link_to(broker, "tuned") as link:
        link.wait_up(WAIT_S)
        found = link.socket
        assert found is not None
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000


def test_a_broker_that_is_not_there_is_named_and_waited_for() -> None:
    with start_broker() as broker:
        broker.stop()
        with link_to(broker, "early") as link:
            with pytest.raises(BrokerUnreachableError, match=str(broker.ports.v5)):
                link.wait_up(0.2)
            broker.start()
            link.wait_up(WAIT_S)


def test_the_next_broker_of_the_list_takes_over() -> None:
    with start_broker() as first, start_broker() as second:
        inbox = Inbox()
        link = MqttTransport(LinkOptions("roamer", (first.url, second.url)))
        link.subscribe("t", inbox)
        events = Inbox()
        link.watch(lambda event: events(Message(event, b"")))
        with link, link_to(second, "fixed") as fixed:
            link.wait_up(WAIT_S)
            fixed.wait_up(WAIT_S)
            first.kill()
            assert [events.take().topic for _ in range(3)] == ["up", "down", "up"]
            fixed.publish(Message("t", b"x", 1))
            assert inbox.take().payload == b"x"


@needs_mosquitto
def test_a_goodbye_waits_for_what_the_broker_sends_as_it_is_acknowledged() -> None:
    """mosquitto keeps to its 256 in flight and sends what it queued even when the filter has ended."""
    with start_broker("mosquitto") as broker:
        a, b, marks, handled = link_to(broker, "a"), link_to(broker, "b"), Inbox(), Inbox()
        begun, go = threading.Event(), threading.Event()

        def slow(message: Message) -> None:
            begun.set()
            go.wait(WAIT_S)
            handled(message)

        a.subscribe("mark", marks)
        b.subscribe("t", slow)
        with a, b:
            for link in (a, b):
                link.wait_up(WAIT_S)
            for number in range(600):
                a.publish(Message("t", str(number).encode(), 1))
            a.publish(Message("mark", b"x", 1))
            assert begun.wait(WAIT_S)
            marks.take()
            b.leave("t")
            closing = threading.Thread(target=b.close)
            closing.start()
            go.set()
            closing.join(WAIT_S)
            assert handled.messages.qsize() == 600


@pytest.mark.parametrize("word", [b"", b"\xe0\x01\x89"])
def test_a_broker_that_ends_links_at_once_keeps_nobody_from_the_next(
    broker: BrokerProcess, word: bytes
) -> None:
    with ClosingBroker(word) as flapping:
        link = MqttTransport(LinkOptions("roamer", (flapping.url, broker.url)))
        link.watch(lambda event: link.publish(Message("t", event.encode(), 1)))
        with link:
            until(lambda: link.connected and str(link.broker) == broker.url)
            assert flapping.links == 1


def test_who_hears_that_another_client_took_its_id_waits_and_tells_where(
    broker: BrokerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    told: queue.Queue[str] = queue.Queue()
    with ClosingBroker(TAKEN_OVER) as taking:
        link = MqttTransport(LinkOptions("twin", (taking.url, broker.url)))
        link.watch(lambda event: link.publish(Message("t", event.encode(), 1)))
        link.when_rivalled(lambda found: told.put(str(found)))
        with link:
            assert told.get(timeout=WAIT_S) == taking.url
            assert not link.connected
            assert taking.links == 2
    assert f"another client uses the id twin at {taking.url}: waiting for 5 s [name_taken]" in caplog.text


def test_two_clients_with_one_id_do_not_storm_the_broker(
    broker: BrokerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """Each takes the link from the other a few times; then one says why, waits, and comes when the other has gone."""
    ups = Inbox()
    twins = [link_to(broker, "twin") for _ in range(2)]
    for twin in twins:
        twin.watch(lambda event: ups(Message(event, b"")))
        twin.start()
    until(lambda: "does another client use the id twin? (--node" in caplog.text)
    assert "name_taken" not in caplog.text
    threading.Event().wait(2.0)
    assert ups.messages.qsize() < 60
    until(lambda: any(twin.connected for twin in twins))
    serving = next(twin for twin in twins if twin.connected)
    other = next(twin for twin in twins if twin is not serving)
    serving.close()
    other.wait_up(WAIT_S)
    other.close()


def test_what_cannot_be_read_costs_the_connection_and_not_the_thread(
    broker: BrokerProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """paho raises on properties that it does not know, and a lax broker passes them on; no other client of our id is blamed."""
    inbox, events, link = Inbox(), Inbox(), link_to(broker, "reader")
    link.subscribe("t", inbox)
    link.watch(lambda event: events(Message(event, b"")))
    with link:
        link.wait_up(WAIT_S)
        honest, faults = (
            link._client.loop_read,
            [KeyError(99), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x")],
        )

        def loop_read() -> int:
            if faults:
                raise faults.pop()
            return int(honest())

        monkeypatch.setattr(link._client, "loop_read", loop_read)
        link.publish(Message("t", b"one", 1))
        until(lambda: not faults and link.connected)
        link.publish(Message("t", b"two", 1))
        while inbox.take().payload != b"two":
            pass
        assert [events.take().topic for _ in range(3)] == ["up", "down", "up"]
    assert "what came could not be read" in caplog.text
    assert "another client" not in caplog.text


def test_a_topic_that_is_no_text_is_acknowledged_and_dropped(broker: BrokerProcess) -> None:
    """Else it would hold a place of the receive maximum for as long as the link lives."""
    link = link_to(broker, "reader")
    with link:
        link.wait_up(WAIT_S)
        acknowledged: list[tuple[int, int]] = []
        link._client.ack = lambda mid, qos: acknowledged.append((mid, qos))  # type: ignore[method-assign,assignment,return-value]
        message = MQTTMessage(7, b"\xff")
        message.qos = 1
        link._on_message(link._client, None, message)
        assert (acknowledged, link.dropped) == ([(7, 1)], 1)


def test_a_link_gives_its_wake_pipe_back_when_it_is_closed_and_not_before() -> None:
    with start_broker() as broker:
        link = link_to(broker, "ended")
        with link:
            link.wait_up(WAIT_S)
            link.call_soon(link._begin_stop)
            link._thread.join(WAIT_S)
            os.fstat(link._poller._wake.fileno())  # another thread may be in `call_soon`
        never = link_to(broker, "never")
        never.close()
        never.call_soon(lambda: None)
        for gone in (link, never):
            with pytest.raises(OSError, match="Bad file"):
                os.fstat(gone._poller._wake.fileno())


def test_a_job_for_a_closed_link_writes_nowhere(broker: BrokerProcess) -> None:
    """The numbers of its wake pipe belong to somebody else by then."""
    link = link_to(broker, "gone")
    with link:
        link.wait_up(WAIT_S)
    pipes = [os.pipe2(os.O_NONBLOCK) for _ in range(8)]
    link.call_soon(lambda: None)
    for read, write in pipes:
        with pytest.raises(BlockingIOError):
            os.read(read, 1)
        os.close(read)
        os.close(write)
