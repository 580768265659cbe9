"""Brokers that we start: found, ready, bound to loopback, gone with their parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from firmware_py.contracts.errors import BrokerUnreachableError, ToolMissingError
from mqtt_bridge.broker import mosquitto, process
from mqtt_bridge.broker.kind import Ports
from mqtt_bridge.broker.process import BrokerProcess, choose
from mqtt_bridge.testing.transport_contract import WAIT_S, until

ROOT = Path(__file__).parents[3]


def test_it_listens_on_loopback_only(broker: BrokerProcess) -> None:
    assert broker.pid is not None
    listening = [
        found.laddr.ip
        for found in psutil.Process(broker.pid).net_connections("tcp")
        if found.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


def test_it_ends_with_a_parent_that_is_killed(kind: str) -> None:
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
