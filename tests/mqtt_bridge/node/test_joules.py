"""What a node says of its meter: sums over an in-process broker, and a simulated board behind a real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from firmware_py.compose import build_node
from firmware_py.config import AgentConfig
from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.node_state import EnergyReport, Reconciled
from firmware_py.testing.tiny_bundle import write_tiny_bundle
from mqtt_bridge.broker.process import start_broker
from mqtt_bridge.compose import BridgeConfig, build_mesh_node
from mqtt_bridge.node.joules import JoulesTold
from mqtt_bridge.testing.transport_contract import WAIT_S, Inbox, until
from mqtt_bridge.transport.base import LinkOptions
from mqtt_bridge.transport.memory import MemoryBroker, MemoryTransport
from mqtt_bridge.transport.mqtt import MqttTransport
from mqtt_bridge.wire.schema import SCHEMAS

TOPIC = "ciuic/v1/home/node/n1/energy"
SUMS = Reconciled(2, 2.0, 3.5, 0.25, 0.125, 0.5, 1.0, 2.0)
REPORT = EnergyReport("n1", 7, SUMS, "ina219", "predicted", True)
# A board calibrates for 15 s, and its first windows tell the idle draw; where the machine is busy with other
# things, samples are too far apart, and window after window is dropped.
PATIENT_S = 240.0
CLOCK = SystemClock()


class Told:
    """A node's link whose reports are scripted, and an observer; then nothing new is to tell."""

    def __init__(self, *reports: EnergyReport | None) -> None:
        self.left: Iterator[EnergyReport | None] = iter(reports)
        self.asked = 0
        self.broker, self.inbox = MemoryBroker(), Inbox()
        self.observer = MemoryTransport(self.broker, LinkOptions("observer", ()))
        self.observer.subscribe(TOPIC, self.inbox)
        self.observer.start()
        self.observer.wait_up(WAIT_S)
        self.link = MemoryTransport(self.broker, LinkOptions("n1", ()))
        self.joules = JoulesTold(self.link, TOPIC, self._report, period_s=0.02)
        self.joules.start()

    def _report(self) -> EnergyReport | None:
        self.asked += 1
        return next(self.left, None)

    def close(self) -> None:
        self.joules.stop()
        self.link.close()
        self.observer.close()


@pytest.fixture
def made(request: pytest.FixtureRequest) -> Iterator[Told]:
    told = Told(*request.param)
    yield told
    told.close()


@pytest.mark.parametrize("made", [(None, REPORT, None, REPORT)], indirect=True)
def test_what_was_reconciled_is_told_and_silence_is_silence(made: Told) -> None:
    made.link.start()
    for _ in range(2):
        message = made.inbox.take()
        assert (message.qos, message.retain, json.loads(message.payload)) == (0, False, REPORT.to_dict())
    until(lambda: made.asked > 6)
    assert made.inbox.nothing_more()


@pytest.mark.parametrize(
    "made", [(replace(REPORT, reconciled=replace(SUMS, u95_j=float("nan"))), REPORT)], indirect=True
)
def test_a_figure_that_cannot_be_said_is_not_the_last(made: Told) -> None:
    made.link.start()
    assert json.loads(made.inbox.take().payload) == REPORT.to_dict()


@pytest.mark.parametrize("made", [(REPORT,)], indirect=True)
def test_nothing_is_taken_from_the_ledger_while_the_link_is_down(made: Told) -> None:
    """A window is told once: one that nobody could hear must wait."""
    made.broker.stop()
    made.link.start()
    assert made.inbox.nothing_more()
    assert made.asked == 0
    made.broker.restart()
    assert json.loads(made.inbox.take().payload) == REPORT.to_dict()


@pytest.mark.parametrize("made", [(REPORT,) * 1000], indirect=True)
def test_who_stopped_says_no_more(made: Told) -> None:
    made.link.start()
    made.inbox.take()
    made.joules.stop()
    made.link.close()
    while not made.inbox.messages.empty():
        made.inbox.take()
    assert made.inbox.nothing_more()


def _config(folder: Path, meter: str) -> AgentConfig:
    write_tiny_bundle(folder / "tiny.bundle")
    model = (str(folder / "tiny.bundle"),)
    return AgentConfig(
        node="n1",
        profile="simulated",
        model=model,
        store=str(folder),
        allow_unsigned=True,
        meter=meter,
        self_test="never",
    )


def test_a_simulated_board_tells_what_its_meter_saw_of_its_runs(tmp_path: Path) -> None:
    """Calibration gives it runs; messages fit the schema and each window is in one of them."""
    inbox = Inbox()
    with start_broker() as broker:
        observer = MqttTransport(LinkOptions("observer", (broker.url,)))
        observer.subscribe(TOPIC, inbox)
        bridge = BridgeConfig(broker=(broker.url,), state="-", joules_s=1.0)
        with observer:
            observer.wait_up(WAIT_S)
            with build_mesh_node(bridge, build_node(_config(tmp_path, "auto"))):
                told: list[dict[str, Any]] = []
                give_up_s = CLOCK.now_s() + PATIENT_S
                while sum(report["windows"] for report in told) < 2:
                    left_s = max(give_up_s - CLOCK.now_s(), 0.0)
                    told.append(json.loads(inbox.messages.get(timeout=left_s).payload))
    for report in told:
        jsonschema.Draft202012Validator(SCHEMAS["energy"]).validate(report)
        assert (report["node"], report["source"], report["simulated"]) == ("n1", "ina219", True)
        assert 0.3 * report["windows"] <= report["window_s"] <= report["windows"] + 1e-6
    last = told[-1]
    assert sum(report["metered_j"] for report in told) == pytest.approx(last["total_metered_j"])
    assert sum(report["charged_j"] for report in told) == pytest.approx(last["total_charged_j"])
    assert last["total_charged_j"] > 0.0
    assert sum(report["runs"] for report in told) > 1.0


def test_a_board_without_a_meter_has_nothing_to_tell(tmp_path: Path) -> None:
    inbox = Inbox()
    with start_broker() as broker:
        observer = MqttTransport(LinkOptions("observer", (broker.url,)))
        observer.subscribe("ciuic/v1/home/node/n1/+", inbox)
        bridge = BridgeConfig(broker=(broker.url,), state="-", joules_s=1.0, heartbeat_s=0.2)
        agent = build_node(_config(tmp_path, "off"))
        assert agent.board.reconciled is None
        with observer, build_mesh_node(bridge, agent):
            observer.wait_up(WAIT_S)
            beats = 0
            while beats < 10:  # two seconds of them
                topic = inbox.take().topic
                assert topic != TOPIC
                beats += topic.endswith("/hb")
