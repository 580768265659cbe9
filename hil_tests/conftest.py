"""A node to drive from outside: yours (`CIUIC_HIL_BROKER=mqtt://host:port`), or a simulated one here.

Only wire forms, topics and the transport are used, so that what passes here passes for any device
that speaks MQTT. A rig's own environments and drivers come later and replace `node`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from mqtt_bridge.transport.base import LinkOptions, Protocol, Transport
from mqtt_bridge.transport.mqtt import MqttTransport
from mqtt_bridge.transport.rpc import Client, ClientOptions, new_id

ROOT = Path(__file__).resolve().parent.parent
MESH = os.environ.get("CIUIC_HIL_MESH", "home")
UP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Node:
    """A node that answers at a broker; `name` is null when it is one of yours."""

    broker_url: str
    broker_url_v311: str  # another one where the broker has a listener for each version
    name: str | None
    simulated: bool | None


@pytest.fixture(scope="session")
def broker_urls() -> Iterator[tuple[str, str]]:
    """`CIUIC_HIL_BROKER`, or a broker of our own on loopback: where MQTT 5 and where 3.1.1 clients connect."""
    given = os.environ.get("CIUIC_HIL_BROKER")
    if given:
        yield given, given
        return
    with _child([sys.executable, "-m", "ciuic", "broker", "--port", "0"]) as out:
        urls = re.findall(r"mqtt://[\w.:]+", _line(out, "the broker"))
        yield urls[0], urls[-1]


@pytest.fixture(scope="session")
def node(broker_urls: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The node under test, answering."""
    if os.environ.get("CIUIC_HIL_BROKER"):
        yield Node(*broker_urls, None, None)
        return
    bundle = ROOT / "models" / "home-en.bundle"
    if not bundle.exists():
        pytest.skip("models/home-en.bundle is not built (`ciuic model build home-en`)")
    state = tmp_path_factory.mktemp("node")
    command = [sys.executable, "-m", "ciuic", "node", "run", "--simulate", "--broker", broker_urls[0]]
    command += ["--id", "hil-node", "--model", str(bundle), "--state", str(state)]
    with _child(command) as out:
        assert "hil-node" in _line(out, "the node")
        yield Node(*broker_urls, "hil-node", simulated=True)


@pytest.fixture(params=["5", "3.1.1"])
def client(node: Node, request: pytest.FixtureRequest) -> Iterator[Client]:
    """Our client, speaking each MQTT version."""
    with link(node, request.param) as transport:
        yield Client(transport, ClientOptions(transport.options.client_id, MESH))


@pytest.fixture
def raw(node: Node) -> Iterator[Transport]:
    """A bare link, to send what our client would not."""
    with link(node, "5") as transport:
        yield transport


@contextmanager
def link(node: Node, protocol: Protocol) -> Iterator[Transport]:
    """A connected transport with a name of its own."""
    url = node.broker_url if protocol == "5" else node.broker_url_v311
    options = LinkOptions(f"hil-{new_id()[:8]}", (url,), protocol)
    with MqttTransport(options) as transport:
        transport.wait_up(UP_TIMEOUT_S)
        yield transport


@contextmanager
def _child(command: list[str]) -> Iterator[IO[str]]:
    """A child process whose standard output is read; it ends with the block."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        yield process.stdout
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _line(out: IO[str], who: str) -> str:
    line = out.readline().strip()
    if not line:
        pytest.fail(f"{who} ended before it was ready; its last words are above")
    return line
