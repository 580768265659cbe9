"""Brokers for tests, of the kinds that are here: one for each module, and mosquitto with lines of its own.

The conftest of a folder names the fixtures that its tests may ask for.
"""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from mqtt_bridge.broker import mosquitto
from mqtt_bridge.broker.kind import BrokerKind, Ports
from mqtt_bridge.broker.process import KINDS, BrokerProcess, start_broker
from mqtt_bridge.transport.base import LinkOptions
from mqtt_bridge.transport.mqtt import MqttTransport

TAKEN_OVER = b"\xe0\x01\x8e"  # a DISCONNECT that says so

needs_mosquitto = pytest.mark.skipif(mosquitto.executable() is None, reason="mosquitto is not installed")


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of broker that can be started here."""
    name: str = request.param
    if not KINDS[name].available():
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture(scope="module")
def broker(kind: str) -> Iterator[BrokerProcess]:
    """One of that kind, for the whole module: who kills it starts it again."""
    with start_broker(kind) as found:
        yield found


class ClosingBroker:
    """A broker of MQTT 5 that confirms every link and ends it at the first PUBLISH, after `last` as its last packet."""

    def __init__(self, last: bytes = b"") -> None:
        self.links = 0  # how many it ended
        self._last = last
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _address = self._server.accept()
                with peer, contextlib.suppress(ConnectionError):
                    self._serve(peer)

    def _serve(self, peer: socket.socket) -> None:
        with peer.makefile("rb") as stream:
            while first := stream.read(1):
                packet = _body(stream)
                if first[0] >> 4 == 1:
                    peer.sendall(b"\x20\x03\0\0\0")
                elif first[0] >> 4 == 8:
                    peer.sendall(b"\x90\x04" + packet[:2] + b"\0\x01")
                elif first[0] >> 4 == 3:
                    break
            self.links += 1
            peer.sendall(self._last)
            peer.shutdown(socket.SHUT_WR)
            stream.read()  # closed with bytes unread, the socket would take back what was just said


def _body(stream: io.BufferedReader) -> bytes:
    """What follows the fixed header of a packet."""
    length = shift = 0
    while True:
        digit = stream.read(1)[0]
        length |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:
            return stream.read(length)


def mosquitto_with(*more: str, without: str | None = None) -> BrokerKind:
    """mosquitto with these lines behind its own, of which one setting is left out."""

    def write(folder: Path, ports: Ports) -> list[str]:
        own = [line for line in mosquitto.config_lines(ports.v5) if line.split()[0] != without]
        return mosquitto.write_config(folder, [*own, *more])

    return replace(mosquitto.KIND, write=write)


def link_to(broker: BrokerProcess, name: str, **options: Any) -> MqttTransport:
    """A link that is not started."""
    return MqttTransport(LinkOptions(name, (broker.url,), **options))
