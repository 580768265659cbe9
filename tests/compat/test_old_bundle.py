"""A bundle that the first version wrote and signed is still verified, read and answered from.

The files beside this were made by `firmware_py.testing.tiny_bundle` and signed with a key that was
deleted; they are never made again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from firmware_py.bundles.read import read_bundle
from firmware_py.bundles.verify import Trust
from firmware_py.compose import build_node
from firmware_py.config import AgentConfig
from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.golden import parse_golden
from firmware_py.contracts.request import Qos, Request

OLD = Path(__file__).parent / "bundle_v1"


def test_signature_manifest_and_members_are_read() -> None:
    bundle = read_bundle(OLD / "tiny.bundle", Trust(OLD))
    assert (bundle.manifest.name, bundle.manifest.task.kind) == ("tiny-en", "intent")
    assert len(parse_golden(bundle.files[bundle.manifest.golden.name])) == 4


def answer(text: str, store: Path) -> dict[str, Any]:
    """What a node that serves the old bundle says."""
    config = AgentConfig(
        profile="simulated",
        model=(str(OLD / "tiny.bundle"),),
        store=str(store),
        trust=str(OLD),
        meter="off",
    )
    with build_node(config) as node:  # seconds on a busy machine: the request arrives after it
        request = Request("1", "home", {"text": text}, Qos(60.0), arrived_s=SystemClock().now_s())
        result = node.answer(request).result
    assert result is not None
    return dict(result)


def test_a_node_answers_from_it(tmp_path: Path) -> None:
    assert answer("turn off the lights", tmp_path)["label"] == "turn_off"


def test_its_slots_are_found_as_they_were(tmp_path: Path) -> None:
    slots = answer("turn on the kitchen lights", tmp_path)["slots"]
    assert [(slot["name"], slot["text"]) for slot in slots] == [("area", "kitchen")]
