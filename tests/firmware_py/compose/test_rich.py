"""A node over a bundle with exit 0 and narrower graphs: what a reply says, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from firmware_py.agent import CiuicNode
from firmware_py.compose import assembled, build_node
from firmware_py.config import AgentConfig
from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.reply import Reply
from firmware_py.contracts.request import Qos, Request
from firmware_py.testing.tiny_bundle import write_tiny_bundle


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    """The rich bundle on the simulated board, self-test and all, without a meter."""
    write_tiny_bundle(tmp_path / "rich.bundle", rich=True)
    return AgentConfig(
        node="n1",
        profile="simulated",
        model=(str(tmp_path / "rich.bundle"),),
        store=str(tmp_path / "store"),
        allow_unsigned=True,
        meter="off",
    )


def ask(node: CiuicNode, text: str, rule: str) -> Reply:
    now_s = SystemClock().now_s()
    return node.answer(
        Request("1", "home", {"text": text}, Qos(deadline_s=60.0, accuracy=rule), arrived_s=now_s)
    )


def test_an_answer_of_exit_0_has_a_route_and_joules_of_its_own(config: AgentConfig) -> None:
    with build_node(config) as node:
        reply = ask(node, "turn on the kitchen light", "thrifty")
        route, energy = reply.route, reply.energy
        assert reply.status == "ok"
        assert (route.exit, route.exits, route.widths, route.delegate) == (0, 3, (), "host")
        assert reply.time.run_s is not None
        assert reply.time.run_s > 0.0
        # The host's seconds at the profile's watts: small, an estimate, and not nothing.
        assert (energy.method, energy.simulated) == ("estimated", True)
        assert energy.energy_j == pytest.approx(1.03 * reply.time.run_s, rel=0.01)
        assert energy.u95_j is not None
        assert energy.u95_j > 0.0
        (line,) = [line for line in node.board.cost_lines() if "/thrifty/" in line.configuration]
        assert (line.configuration, line.energy_j is not None) == ("8/w4-4-4/thrifty/fp32", True)
        assert line.run_s == pytest.approx(reply.time.run_s)
        strange = ask(node, "sing a song", "thrifty")
        assert (strange.status, strange.route.exit, strange.result) == ("out_of_scope", 0, None)
        deeper = ask(node, "on", "thrifty")
        assert (deeper.route.exit, deeper.route.widths, deeper.route.delegate) == (1, (4,), "scripted")


def test_a_node_keeps_full_width_and_loads_no_narrow_graph_ahead(config: AgentConfig) -> None:
    with assembled(config) as assembly:
        engine = assembly.slots[0].engines["home"]
        (runner,) = engine.runners.values()
        graphs = engine.weights.manifest.graphs
        full = sum(graph.file.size_bytes for graph in graphs if graph.key.width == 4)
        cache: Any = getattr(runner, "_runner", runner)
        assert cache.resident_bytes == full < sum(graph.file.size_bytes for graph in graphs)
    with build_node(config) as node:
        assert ask(node, "on", "careful").route.widths == (4, 4, 4)
