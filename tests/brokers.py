"""Brokers for tests, of the kinds that are here: one for each module, and mosquitto with lines of its own.

The conftest of a folder names the fixtures that its tests may ask for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mqtt_bridge.broker import mosquitto
from mqtt_bridge.broker.kind import BrokerKind, Ports
from mqtt_bridge.broker.process import KINDS, BrokerProcess, start_broker
from mqtt_bridge.transport.base import LinkOptions
from mqtt_bridge.transport.mqtt import MqttTransport

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


def mosquitto_with(*more: str, without: str | None = None) -> BrokerKind:
    """mosquitto with these lines behind its own, of which one setting is left out."""

    def write(folder: Path, ports: Ports) -> list[str]:
        own = [line for line in mosquitto.config_lines(ports.v5) if line.split()[0] != without]
        return mosquitto.write_config(folder, [*own, *more])

    return replace(mosquitto.KIND, write=write)


def link_to(broker: BrokerProcess, name: str, **options: Any) -> MqttTransport:
    """A link that is not started."""
    return MqttTransport(LinkOptions(name, (broker.url,), **options))
