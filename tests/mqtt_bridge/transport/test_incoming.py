"""What other clients write into a PUBLISH costs them their message, and nobody the link."""

from __future__ import annotations

import itertools
import json
import shutil
import socket
from collections.abc import Iterator

import pytest

from mqtt_bridge.broker.process import BrokerProcess, start_broker
from mqtt_bridge.testing.transport_contract import WAIT_S, Inbox, until
from mqtt_bridge.transport.base import LinkOptions, Protocol
from mqtt_bridge.transport.incoming import MAX_PACKET_BYTES, cut_down, unreadable
from mqtt_bridge.transport.mqtt import MqttTransport
from mqtt_bridge.transport.outgoing import variable

QUALITY_0, QUALITY_1 = 0x30, 0x32
TOPIC = "a/b"
USER_PROPERTY = b"\x26\x00\x00\x00\x00"
_numbers = itertools.count()


def field(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


USED = (
    b"\x02\x00\x00\x00\x09"
    + b"\x03"
    + field(b"application/json")
    + b"\x08"
    + field(b"reply/x")
    + b"\x09"
    + field(b"\x00\xff")
)
SKIPPED = {
    "payload format": b"\x01\x02",
    "user property": b"\x26" + field(b"\xff") + field(b"\xfe"),
    "subscription": b"\x0b\xff\xff\x7f",
    "alias": b"\x23\x00\x01",
    "of one byte": b"\x2a\x01",
    "of two bytes": b"\x21\x00\x05",
    "of four bytes": b"\x11\x00\x00\x00\x05",
    "text": b"\x1f" + field(b"\xed\xa0\x80"),
    "binary": b"\x16" + field(b"\x00"),
}
UNREADABLE = {
    "unknown": b"\x7f\x00",
    "long identifier": b"\x81\x00\x00",
    "cut number": b"\x02\x00\x00",
    "cut text": b"\x03\x00\x05abc",
    "cut length": b"\x03\x00",
    "cut user property": b"\x26" + field(b"a") + b"\x00",
    "endless number": b"\x0b\xff\xff\xff\xff",
    "no UTF-8": b"\x03" + field(b"\xff"),
    "surrogate": b"\x08" + field(b"\xed\xa0\x80"),
    "null": b"\x03" + field(b"\x00"),
    "byte order mark": b"\x08" + field("\ufeff".encode()),
    "twice": 2 * (b"\x09" + field(b"a")),
}


def body(properties: bytes, payload: bytes = b"hi", topic: str = TOPIC, packet_id: bytes = b"") -> bytearray:
    head = field(topic.encode()) + packet_id
    return bytearray(head + variable(len(properties)) + properties + payload)


@pytest.mark.parametrize("odd", SKIPPED.values(), ids=SKIPPED)
@pytest.mark.parametrize("packet_id", [b"", b"\x00\x07"])
def test_properties_that_are_not_used_are_left_out(odd: bytes, packet_id: bytes) -> None:
    first = QUALITY_1 if packet_id else QUALITY_0
    packet = body(odd + USED + odd, packet_id=packet_id)
    assert cut_down(first, packet) == body(USED, packet_id=packet_id)


@pytest.mark.parametrize("odd", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_keeps_its_packet_id_only(odd: bytes) -> None:
    assert cut_down(QUALITY_1, body(odd, b"", packet_id=b"\x00\x07")) == b"\x00\x01\xff\x00\x07\x00"
    assert cut_down(QUALITY_0, body(odd, b"")) == b"\x00\x01\xff\x00"


def test_properties_that_go_beyond_the_packet_cannot_be_read() -> None:
    assert cut_down(QUALITY_0, body(USED, b"")[:-1]) == b"\x00\x01\xff\x00"


def test_three_has_no_properties() -> None:
    assert unreadable(QUALITY_1, body(b"", packet_id=b"\x00\x07"), five=False) == b"\x00\x01\xff\x00\x07"


def test_a_million_properties_are_walked_once() -> None:
    """A walk that copies what is left would take hours; pytest ends it after minutes."""
    assert cut_down(QUALITY_0, body(1_000_000 * USER_PROPERTY + USED)) == body(USED)


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerProcess]:
    if shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin") is None:
        pytest.skip("mosquitto is not installed")
    with start_broker("mosquitto") as found:
        yield found


class Evil:
    """A client that writes bytes."""

    def __init__(self, broker: BrokerProcess) -> None:
        self._socket = socket.create_connection(("127.0.0.1", broker.ports.v5), WAIT_S)
        self._send(0x10, b"\x00\x04MQTT\x05\x02\x00\x3c\x00" + field(f"evil-{next(_numbers)}".encode()))
        self._socket.recv(256)

    def __enter__(self) -> Evil:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def publish(self, properties: bytes, payload: bytes, quality: int) -> None:
        packet_id = next(_numbers).to_bytes(2, "big") if quality else b""
        self._send(0x30 | quality << 1, body(properties, payload, packet_id=packet_id))
        if quality:
            assert self._socket.recv(64)[0] == 0x40

    def _send(self, first: int, packet: bytes | bytearray) -> None:
        self._socket.sendall(bytes([first]) + variable(len(packet)) + packet)


class Victim:
    """A link of ours that listens, and every event of it."""

    def __init__(self, broker: BrokerProcess) -> None:
        options = LinkOptions(f"victim-{next(_numbers)}", (broker.url,), receive_maximum=4)
        self.link = MqttTransport(options)
        self.inbox = Inbox()
        self.events: list[str] = []
        self.link.watch(self.events.append)
        self.link.subscribe(TOPIC, self.inbox)

    def __enter__(self) -> Victim:
        self.link.start()
        self.link.wait_up(WAIT_S)
        return self

    def __exit__(self, *_error: object) -> None:
        self.link.close()

    def still_hears(self, evil: Evil) -> None:
        evil.publish(b"", b"end", 1)
        assert self.inbox.take().payload == b"end"
        assert self.events == ["up"]


@pytest.mark.parametrize("quality", [0, 1])
def test_a_payload_format_that_does_not_exist_is_passed_over(broker: BrokerProcess, quality: int) -> None:
    with Victim(broker) as victim, Evil(broker) as evil:
        for number in range(20):
            evil.publish(b"\x01\x02" + USED, str(number).encode(), quality)
            found = victim.inbox.take()
            assert found.payload == str(number).encode()
            assert (found.response_topic, found.correlation) == ("reply/x", b"\x00\xff")
        victim.still_hears(evil)


def test_what_cannot_be_read_is_counted_and_acknowledged(broker: BrokerProcess) -> None:
    """More than the receive maximum: without an acknowledgement nothing would come behind them."""
    odd = UNREADABLE["byte order mark"]
    with Victim(broker) as victim, Evil(broker) as evil:
        for _ in range(20):
            evil.publish(odd, b"x", 1)
        until(lambda: victim.link.unread == 20)
        assert victim.link.dropped == 20
        victim.still_hears(evil)


def test_a_legal_message_of_properties_alone_is_read(broker: BrokerProcess) -> None:
    with Victim(broker) as victim, Evil(broker) as evil:
        evil.publish(52_000 * USER_PROPERTY, json.dumps({"v": 1}).encode(), 1)
        assert victim.inbox.take().payload == b'{"v": 1}'
        victim.still_hears(evil)


class Scripted:
    """A broker of one connection without a limit of its own: says yes to CONNECT and SUBSCRIBE, then sends."""

    def __init__(self, protocol: Protocol) -> None:
        self.five = protocol == "5"
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(WAIT_S)
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"

    def welcome(self) -> bytearray:
        """Let one client in; its CONNECT."""
        self._peer, _address = self._server.accept()
        self._peer.settimeout(WAIT_S)
        connect = self.read()
        extra = b"\x00" if self.five else b""
        self.send(0x20, b"\x00\x00" + extra)
        self.send(0x90, bytes(self.read()[:2]) + extra + b"\x01")
        return connect

    def read(self) -> bytearray:
        """What follows the fixed header of the next packet, which is short; a ping is answered as a broker must.

        On a machine that stood still for the keep-alive's 5 s a PINGREQ may come before anything else.
        """
        first, length = self._peer.recv(1), self._peer.recv(1)[0]
        if first == b"\xc0":
            self.send(0xD0, b"")
            return self.read()
        return bytearray(self._peer.recv(length, socket.MSG_WAITALL))

    def send(self, first: int, packet: bytes) -> None:
        self._peer.sendall(bytes([first]) + variable(len(packet)) + packet)

    def close(self) -> None:
        self._peer.close()
        self._server.close()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_message_that_is_too_long_is_forgotten_while_it_is_read(protocol: Protocol) -> None:
    broker, inbox, held = Scripted(protocol), Inbox(), []
    head = field(TOPIC.encode())
    rest = b"\x00" if broker.five else b""
    with MqttTransport(LinkOptions("victim", (broker.url,), protocol)) as link:
        link.subscribe(TOPIC, inbox)
        connect = broker.welcome()
        assert ((b"\x27" + MAX_PACKET_BYTES.to_bytes(4, "big")) in connect) == broker.five
        link.wait_up(WAIT_S)
        client = link._client
        read = client._sock_recv

        def spy(size: int) -> bytes:
            held.append(len(client._in_packet["packet"]))
            return read(size)

        client._sock_recv = spy  # type: ignore[method-assign,assignment]
        broker.send(QUALITY_1, head + b"\x00\x07" + rest + bytes(40 * MAX_PACKET_BYTES))
        assert broker.read()[:2] == b"\x00\x07"  # acknowledged
        broker.send(QUALITY_0, head + rest + bytes(MAX_PACKET_BYTES - len(head + rest)))
        assert len(inbox.take().payload) == MAX_PACKET_BYTES - len(head + rest)
        assert link.dropped == 1
        assert 0 < max(held[:-1]) <= MAX_PACKET_BYTES
        broker.close()
