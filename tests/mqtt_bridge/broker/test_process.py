"""Brokers that we start: found, ready, bound to loopback, gone with their parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from paho.mqtt.client import MQTTMessage

from firmware_py.contracts.errors import BrokerUnreachableError, ConfigError, ToolMissingError
from mqtt_bridge.broker import mosquitto, process
from mqtt_bridge.broker.kind import Ports
from mqtt_bridge.broker.process import BrokerProcess, choose, start_broker
from mqtt_bridge.testing.transport_contract import WAIT_S, Inbox, until
from mqtt_bridge.transport.address import parse_broker
from mqtt_bridge.transport.base import LinkOptions, Message
from mqtt_bridge.transport.mqtt import MqttTransport
from tests.brokers import link_to, mosquitto_with, needs_mosquitto

ROOT = Path(__file__).parents[3]
FEW = mosquitto_with("max_inflight_messages 3", without="max_inflight_messages")


def test_it_listens_on_loopback_only(broker: BrokerProcess) -> None:
    assert broker.pid is not None
    listening = [
        found.laddr.ip
        for found in psutil.Process(broker.pid).net_connections("tcp")
        if found.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


def test_a_payload_over_the_codecs_limit_still_arrives(broker: BrokerProcess) -> None:
    """The node must see it to say why it is too large."""
    inbox, link = Inbox(), link_to(broker, "big")
    link.subscribe("big", inbox)
    with link:
        link.wait_up(WAIT_S)
        link.publish(Message("big", b"x" * (64 * 1024 + 1), 1))
        assert len(inbox.take().payload) == 64 * 1024 + 1


def test_our_socket_waits_for_nobody(broker: BrokerProcess) -> None:
    """Without TCP_NODELAY a QoS 1 round trip costs 44 ms (Nagle and delayed acknowledgement)."""
    with link_to(broker, "tuned") as link:
        link.wait_up(WAIT_S)
        found = link.socket
        assert found is not None
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000


def test_it_ends_with_a_parent_that_is_killed(broker: BrokerProcess) -> None:
    kind = broker.kind.name
    code = (
        "import sys, time\n"
        "from mqtt_bridge.broker.process import start_broker\n"
        f"with start_broker({kind!r}) as b:\n"
        "    print(b.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_mosquitto_is_preferred_and_iotcore_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIUIC_MOSQUITTO", "")
    assert choose().name == "iotcore"
    monkeypatch.delenv("CIUIC_MOSQUITTO")
    if mosquitto.executable() is not None:
        assert choose().name == "mosquitto"


def test_an_unknown_or_absent_kind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIUIC_MOSQUITTO", "")
    for kind in ("mosquitto", "emqx"):
        with pytest.raises(ToolMissingError):
            choose(kind)


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


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "mqtt://h:port", "mqtts://h:8883", "mqtt://h:99999"])
def test_a_broker_address_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        parse_broker(url)


def test_a_broker_address_keeps_its_password_to_itself() -> None:
    found = parse_broker("mqtt://me:secret%40@h:1884")
    assert (found.username, found.password, found.port) == ("me", "secret@", 1884)
    assert "secret" not in f"{found} {found!r}"
    assert parse_broker("h").port == 1883


@needs_mosquitto
def test_access_by_pattern_binds_the_client_level(tmp_path: Path) -> None:
    """With users told apart, a client can neither ask as another nor read another's replies."""
    acl = tmp_path / "acl"
    acl.write_text("\n".join(mosquitto.acl_lines("home", ("node",))) + "\n")
    acl.chmod(0o600)
    with start_broker(mosquitto_with(f"acl_file {acl}")) as broker:
        url = broker.url.removeprefix("mqtt://")
        node = MqttTransport(LinkOptions("n", (f"mqtt://node:x@{url}",)))
        # Who a client is, its user name says; the client id is anybody's choice.
        mallory = MqttTransport(LinkOptions("alice", (f"mqtt://mallory:x@{url}",)))
        asked, overheard = Inbox(), Inbox()
        node.subscribe("ciuic/v1/home/svc/home/infer/+", asked)
        mallory.subscribe("ciuic/v1/home/reply/#", overheard)
        with node, mallory:
            for link in (node, mallory):
                link.wait_up(WAIT_S)
            mallory.publish(Message("ciuic/v1/home/svc/home/infer/alice", b"as alice", 1))
            mallory.publish(Message("ciuic/v1/home/svc/home/infer/mallory", b"as mallory", 1))
            assert asked.take().payload == b"as mallory"
            node.publish(Message("ciuic/v1/home/reply/alice/1", b"for alice", 1))
            node.publish(Message("ciuic/v1/home/reply/mallory/1", b"for mallory", 1))
            assert overheard.take().payload == b"for mallory"


def test_a_broker_that_binds_client_ids_may_be_given_them() -> None:
    lines = "\n".join(mosquitto.acl_lines("home", ("node",), "%c"))
    assert "infer/%c" in lines
    assert "%u" not in lines


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


def test_two_clients_with_one_id_do_not_storm_the_broker(
    broker: BrokerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    """Each takes the link from the other; both back off, not hundreds of times a second, and say why."""
    ups = Inbox()
    twins = [link_to(broker, "twin") for _ in range(2)]
    for twin in twins:
        twin.watch(lambda event: ups(Message(event, b"")))
        twin.start()
    threading.Event().wait(3.0)
    for twin in twins:
        twin.close()
    assert ups.messages.qsize() < 80
    assert "does another client use the id twin? (--node" in caplog.text


def test_what_cannot_be_read_costs_the_connection_and_not_the_thread(
    broker: BrokerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """paho raises on properties that it does not know, and a lax broker passes them on."""
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
        while faults or not link.connected:
            threading.Event().wait(0.01)
        link.publish(Message("t", b"two", 1))
        while inbox.take().payload != b"two":
            pass
        assert [events.take().topic for _ in range(3)] == ["up", "down", "up"]


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


def test_a_port_that_somebody_else_took_is_not_taken_for_the_brokers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        broker = BrokerProcess(choose(), tmp_path, Ports(port, port))
        with pytest.raises(BrokerUnreachableError, match=str(port)):
            broker.start()
        assert broker.pid is None


def test_a_broker_that_ended_is_not_up_because_its_port_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else may take the port between our look and the broker's bind."""
    ends = replace(choose(), write=lambda _folder, _ports: ["false"])
    broker = BrokerProcess(ends, tmp_path, Ports(1, 1))
    answers = iter([False])

    def accepts(_port: int) -> bool:
        if next(answers, True):
            assert broker._process is not None
            broker._process.wait(WAIT_S)
            return True
        return False

    monkeypatch.setattr(process, "_accepts", accepts)
    with pytest.raises(BrokerUnreachableError):
        broker.start()
    assert broker.pid is None


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
