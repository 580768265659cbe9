"""Builds nodes over the tiny bundle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from firmware_py.agent import CiuicNode
from firmware_py.backends.health import DelegateHealth
from firmware_py.backends.scripted import Script, ScriptedGraph, pass_through
from firmware_py.bundles.read import Unpacked
from firmware_py.caches.models import ModelCache
from firmware_py.contracts.clock import Clock
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.manifest import Manifest
from firmware_py.contracts.reply import UNKNOWN_ENERGY, ModelRef
from firmware_py.inference.engine import Engine, StageCosts, Weights
from firmware_py.node_parts import Board, NodeParts, Served, Slot
from firmware_py.tasks.intent import IntentTask
from tests.firmware_py.agent.rig import CLOCK, Make


@pytest.fixture
def make(tiny: Unpacked) -> Iterator[Make]:
    """Builds nodes over the tiny bundle and closes them."""
    nodes: list[CiuicNode] = []

    def build(
        script: Script = pass_through,
        *,
        slots: int = 1,
        better: Script | None = None,
        costs: StageCosts | None = None,
        clock: Clock = CLOCK,
        manifest: Manifest = tiny.manifest,
        **parts: Any,
    ) -> CiuicNode:
        """`better` runs the graphs of a delegate above the last one."""
        health = DelegateHealth(clock)
        weights = replace(Weights.load(tiny), manifest=manifest)

        def runner(name: str, run: Script) -> ModelCache:
            return ModelCache(manifest.graphs, lambda g: ScriptedGraph(g, run), name)

        def slot() -> Slot:
            scripts = {"scripted": script} if better is None else {"better": better, "scripted": script}
            runners = [runner(name, run) for name, run in scripts.items()]
            return Slot({"home": Engine(weights, runners, clock, health, costs)}, threading.Lock())

        task = IntentTask(manifest, tiny.read(manifest.tokenizer.name))
        given: dict[str, Any] = {
            "clock": clock,
            "board": Board("simulated", False, lambda: "none", lambda: None, tuple, lambda: "none"),
            "served": {"home": Served(manifest, ModelRef("tiny-en", "0.0.1", tiny.sha256), task)},
            "slots": [slot() for _ in range(slots)],
            "limits": lambda a, stages: Limits(a.due_s, a.rule, None, a.qos.energy_j),
            "charge": lambda record: UNKNOWN_ENERGY,
            "learn": lambda record: None,
            "heal": lambda slot: None,
        }
        node = CiuicNode("n1", NodeParts(**(given | parts)))
        nodes.append(node)
        return node

    yield build
    for node in nodes:
        node.close()
