"""`ciuic broker`: a broker for who may not install one."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from mqtt_bridge.broker.process import free_port
from mqtt_bridge.testing.transport_contract import WAIT_S, Inbox
from mqtt_bridge.transport.base import LinkOptions, Message, Protocol
from mqtt_bridge.transport.mqtt import MqttTransport
from tests.commands import CIUIC, ENVIRONMENT, ROOT, ciuic


@contextmanager
def _running(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The verb's process and the line that says it is ready."""
    command = [*CIUIC, "broker", *words]
    with subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


def _refused(*words: str, **variables: str) -> str:
    """What a call says that ends by itself with a usage error."""
    done = ciuic("broker", *words, env=ENVIRONMENT | variables)
    assert done.returncode == 2, done.stderr
    assert "\nhint: " in done.stderr
    return done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_both_versions_where_it_says_until_a_signal(kind: str, number: signal.Signals) -> None:
    with _running("--port", "0", "--kind", kind) as (process, line):
        assert line.startswith(f"broker {kind}: serves on mqtt://127.0.0.1:")
        urls = re.findall(r"mqtt://[\d.:]+", line)
        versions: tuple[tuple[Protocol, str], ...] = (("5", urls[0]), ("3.1.1", urls[-1]))
        for version, url in versions:
            inbox, link = Inbox(), MqttTransport(LinkOptions("me", (url,), version))
            link.subscribe("t", inbox)
            with link:
                link.wait_up(WAIT_S)
                link.publish(Message("t", b"x", 1))
                assert inbox.take().payload == b"x"
        (child,) = psutil.Process(process.pid).children()
        listening = [found.laddr.ip for found in child.net_connections("tcp") if found.status == "LISTEN"]
        assert set(listening) == {"127.0.0.1"}
        process.send_signal(number)
        assert process.wait(WAIT_S) == 0
        assert not child.is_running()
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_it_listens_on_the_port_that_was_asked_and_a_second_one_is_told(kind: str) -> None:
    port = free_port()
    with _running("--port", str(port), "--kind", kind) as (_process, line):
        assert f"serves on mqtt://127.0.0.1:{port}" in line
        told = _refused("--port", str(port), "--kind", kind)
        assert (
            f"error: port {port} of 127.0.0.1 cannot be had: Address already in use [config_invalid]" in told
        )
        assert f"--broker mqtt://127.0.0.1:{port}" in told


def test_the_port_behind_it_is_asked_for_where_each_version_needs_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} of" in _refused("--port", str(port - 1), "--kind", "iotcore")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--port", "65536"], "65536 is no port [config_invalid]"),
        (["--port", "-1"], "-1 is no port [config_invalid]"),
        (["--port", "x"], "[config_invalid]"),
        (["--kind", "emqx"], "[config_invalid]"),
        (["--kind", "mosquitto"], "mosquitto is not installed [tool_missing]"),
    ],
)
def test_what_cannot_be_started_is_a_usage_error(words: list[str], told: str) -> None:
    assert told in _refused(*words, CIUIC_MOSQUITTO="")


def test_a_broker_that_dies_ends_the_verb(kind: str) -> None:
    with _running("--port", "0", "--kind", kind) as (process, _line):
        (child,) = psutil.Process(process.pid).children()
        child.kill()
        assert process.wait(WAIT_S) == 1
        assert process.stderr is not None
        assert f"error: {kind} ended by itself" in process.stderr.read()
