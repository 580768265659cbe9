"""Every transport on every broker keeps the same contract."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from mqtt_bridge.broker.process import BrokerProcess
from mqtt_bridge.testing.transport_contract import TransportContract
from mqtt_bridge.transport.base import LinkOptions, Protocol, Transport
from mqtt_bridge.transport.memory import MemoryBroker, MemoryTransport
from mqtt_bridge.transport.mqtt import MqttTransport

PROTOCOLS: tuple[Protocol, ...] = ("5", "3.1.1")
_numbers = itertools.count()


class MemoryBed:
    def __init__(self, protocol: Protocol, stack: contextlib.ExitStack) -> None:
        self.five = protocol == "5"
        self._protocol = protocol
        self._stack = stack
        self._broker = MemoryBroker()

    def link(self, name: str, **options: Any) -> Transport:
        link = MemoryTransport(self._broker, LinkOptions(name, (), self._protocol, **options))
        self._stack.callback(link.close)
        return link

    def outage(self) -> None:
        self._broker.stop()
        self._broker.restart()


class MqttBed:
    """Client ids get a number per test: the broker lives for the whole module."""

    def __init__(self, protocol: Protocol, broker: BrokerProcess, stack: contextlib.ExitStack) -> None:
        self.five = protocol == "5"
        self._protocol = protocol
        self._broker = broker
        self._stack = stack
        self._number = next(_numbers)

    def link(self, name: str, **options: Any) -> Transport:
        url = self._broker.url if self.five else self._broker.url_v311
        link = MqttTransport(LinkOptions(f"{name}-{self._number}", (url,), self._protocol, **options))
        self._stack.callback(link.close)
        return link

    def outage(self) -> None:
        self._broker.kill()
        self._broker.start()


class TestMemoryTransport(TransportContract):
    @pytest.fixture(params=PROTOCOLS)
    def bed(self, request: pytest.FixtureRequest) -> Iterator[MemoryBed]:
        with contextlib.ExitStack() as stack:
            yield MemoryBed(request.param, stack)


class TestMqttTransport(TransportContract):
    @pytest.fixture(params=PROTOCOLS)
    def bed(self, request: pytest.FixtureRequest, broker: BrokerProcess) -> Iterator[MqttBed]:
        with contextlib.ExitStack() as stack:
            yield MqttBed(request.param, broker, stack)
