"""Files that crossed a room in the first release are still read, with the same meaning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from firmware_py.contracts.manifest import parse_manifest
from firmware_py.contracts.reply import parse_reply
from firmware_py.contracts.request import parse_request
from firmware_py.contracts.run import GraphKey

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
