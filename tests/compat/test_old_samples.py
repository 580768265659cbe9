"""Files that crossed a room in the first release are still read, with the same meaning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from firmware_py.contracts.manifest import parse_manifest
from firmware_py.contracts.measurement import parse_measurement
from firmware_py.contracts.node_state import (
    Birth,
    CostLine,
    EnergyReport,
    Heartbeat,
    Reconciled,
    ServedTask,
    State,
)
from firmware_py.contracts.reply import parse_reply
from firmware_py.contracts.request import parse_request
from firmware_py.contracts.run import GraphKey
from mqtt_bridge.node.roll import Roll, Seen
from mqtt_bridge.transport.base import Message
from mqtt_bridge.wire import topics
from mqtt_bridge.wire.schema import SCHEMAS

HERE = Path(__file__).parent


def _sample(name: str) -> Any:
    return json.loads((HERE / f"{name}.v1.json").read_text(encoding="utf-8"))


def test_the_first_request() -> None:
    request = parse_request(_sample("request"))
    assert request.input["text"] == "turn on the kitchen lights"
    assert request.deadline_s == 0.5
    assert request.session is not None
    assert request.session.seq == 2


def test_the_first_reply() -> None:
    reply = parse_reply(_sample("reply"))
    assert reply.status == "ok"
    assert reply.result is not None
    assert reply.result["slots"][0]["end"] == 19
    assert reply.energy.method == "predicted"
    assert reply.route.simulated
    assert reply.error is None


def test_the_first_manifest() -> None:
    manifest = parse_manifest(_sample("manifest"))
    assert manifest.task.kind == "intent"
    assert {graph.key for graph in manifest.graphs} >= {GraphKey(16, 1, 4), GraphKey(32, 3, 4)}
    assert manifest.exit_rules["thrifty"] == (0.7, 0.7, 0.0)
    assert len({member.name for member in manifest.members()}) == len(manifest.members()) == 12


def test_the_first_report_of_metered_joules() -> None:
    """Nodes only write it: its fields keep name, type and meaning, and new ones are added beside them."""
    sample = _sample("energy")
    jsonschema.Draft202012Validator(SCHEMAS["energy"]).validate(sample)
    sums = Reconciled(3, 3.0, 41.5, 0.0621, 0.0094, 0.0598, 4.8173, 4.9021)
    told = EnergyReport("pi5", 1795392000000, sums, "ina219", "predicted", True).to_dict()
    assert {key: told.get(key) for key in sample} == sample


def test_the_first_heartbeat() -> None:
    """As the report of joules; what it did not say yet need not be said: whose cost lines are, messages dropped."""
    sample = _sample("heartbeat")
    jsonschema.Draft202012Validator(SCHEMAS["heartbeat"]).validate(sample)
    costs = (
        CostLine("16/w4-4-4/balanced/dyn8", 0.0021, 0.0004, 0.0043, 0.0006, "0" * 64),
        CostLine("32/w4-4-4/balanced/dyn8", 0.0052, 0.0009, bundle_sha256="0" * 64),
    )
    told = Heartbeat("pi5", 1795392000000, 2, 41, 3, 1, 3.25, "ina219", True, "predicted", costs).to_dict()
    jsonschema.Draft202012Validator(SCHEMAS["heartbeat"]).validate(json.loads(json.dumps(told)))
    for line in told["costs"]:
        assert line.pop("bundle_sha256") == "0" * 64
    assert told.pop("dropped") == 0
    assert told | {"costs": list(told["costs"])} == sample


def test_the_first_birth_and_state() -> None:
    """Nodes still write them so, and who asks still reads them: the tasks that are served, and who is up."""
    birth, state = _sample("birth"), _sample("state")
    tasks = (ServedTask("home", "intent", ("en",), "home-en", "0.1.0", "0" * 64),)
    epoch, began = 1795392000000, "2026-11-23T00:00:00+00:00"
    written = {
        "birth": Birth("pi5", epoch, "raspberry-pi-5", True, tasks, began).to_dict(),
        "state": State("pi5", epoch, "ready").to_dict(),
    }
    roll = Roll()
    said: tuple[tuple[topics.Kind, Any], ...] = (("birth", birth), ("state", state))
    for name, sample in said:
        jsonschema.Draft202012Validator(SCHEMAS[name]).validate(sample)
        told = json.loads(json.dumps(written[name]))
        assert {key: told.get(key) for key in sample} == sample
        roll.hear(Message(topics.build(name, "home", node="pi5"), json.dumps(sample).encode()))
    assert roll.seen() == (Seen("pi5", "ready", ("home",), "raspberry-pi-5", simulated=True),)
    assert roll.up() == {"pi5": ("home",)}


def test_the_first_measurement() -> None:
    """Three rows and checks of `docs/measurements/engine.json` as it was first committed."""
    sample = _sample("measurement")
    measurement = parse_measurement(sample)
    assert measurement.to_dict() == sample
    whole, first, start = measurement.rows
    assert (whole.n, whole.latency_s, first.exit) == (1200, sample["rows"][0]["latency_s"], 1)
    assert whole.configuration is None, "it mixes lengths"
    assert start.memory_bytes == sample["rows"][2]["memory_bytes"]
    assert [check.ok for check in measurement.checks] == [check["ok"] for check in sample["checks"]]
    assert measurement.date.isoformat() == sample["date"]
