"""Two bundles on one node: what one of them takes is no forecast of what the other takes."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from device_profiles.loader import load_profile
from firmware_py.agent import CiuicNode
from firmware_py.backends.scripted import ScriptedGraph
from firmware_py.bundles.write import member, write_bundle
from firmware_py.compose import assembled, build_node
from firmware_py.config import AgentConfig
from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.node_state import CostLine
from firmware_py.contracts.reply import Energy, Reply
from firmware_py.contracts.request import Qos, Request
from firmware_py.contracts.run import RunRecord
from firmware_py.contracts.seams import Tensors
from firmware_py.energy.ledger import Ledger
from firmware_py.testing.tiny_bundle import tiny_files

WAIT_S = 10.0
STAGE_S = {"fast": 0.001, "slow": 0.020}
UNSURE = "on"  # exit 1 does not accept, exit 2 does


def busy_w() -> float:
    """Watts above idle that the profile knows, as no meter teaches others here."""
    watt = load_profile("simulated").simulation.busy_w
    assert watt is not None
    return watt


def write_task(path: Path, task: str) -> str:
    """The tiny bundle for another task; its graphs' files bear the task's name."""
    manifest, files = tiny_files()
    graphs = []
    for graph in manifest.graphs:
        name = f"{task}-{graph.file.name}"
        files[name] = files.pop(graph.file.name)
        graphs.append(replace(graph, file=member(name, files[name])))
    heads = tuple(replace(head, task=task) for head in manifest.heads)
    changed = replace(
        manifest, task=replace(manifest.task, name=task), name=task, graphs=tuple(graphs), heads=heads
    )
    return write_bundle(path, changed, files)


class Pair:
    """Builds nodes that serve both tasks, in virtual time that only stages take."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        self.entered, self.open = threading.Event(), threading.Event()
        self.open.set()
        self.sha256 = {task: write_task(folder / f"{task}.bundle", task) for task in STAGE_S}
        self.config = AgentConfig(
            node="n1",
            profile="simulated",
            model=tuple(str(folder / f"{task}.bundle") for task in STAGE_S),
            store=str(folder / "store"),
            allow_unsigned=True,
            meter="off",
            self_test="never",
            cache_entries=0,
        )

    def node(self, *, turned: bool = False) -> CiuicNode:
        models = self.config.model[::-1] if turned else self.config.model
        return build_node(replace(self.config, model=models), self.clock)

    def ask(
        self, node: CiuicNode, task: str, deadline_s: float = 10.0, energy_j: float | None = None
    ) -> Reply:
        return node.answer(self.request(task, deadline_s, energy_j))

    def request(self, task: str, deadline_s: float = 10.0, energy_j: float | None = None) -> Request:
        qos = Qos(deadline_s=deadline_s, energy_j=energy_j)
        return Request("1", task, {"text": UNSURE}, qos, arrived_s=self.clock.now_s())

    def teach(self, node: CiuicNode) -> None:
        for _ in range(100):
            for task in STAGE_S:
                assert self.ask(node, task).route.exit == 2

    def lines(self, node: CiuicNode) -> dict[str, CostLine]:
        """The cost lines by task."""
        by_bundle = {line.bundle_sha256: line for line in node.board.cost_lines()}
        assert len(by_bundle) == len(node.board.cost_lines())
        return {task: by_bundle[sha256] for task, sha256 in self.sha256.items()}


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    made, run = Pair(tmp_path), ScriptedGraph.run

    def timed(graph: ScriptedGraph, tensors: Tensors) -> Tensors:
        if not made.open.is_set():
            made.entered.set()
            assert made.open.wait(WAIT_S)
        made.clock.advance(STAGE_S[graph._graph.file.name.partition("-")[0]])
        return run(graph, tensors)

    monkeypatch.setattr(ScriptedGraph, "run", timed)
    return made


def code(reply: Reply) -> str | None:
    return None if reply.error is None else reply.error.code


def test_each_bundle_has_its_own_cost_lines(pair: Pair) -> None:
    with pair.node() as node:
        pair.teach(node)
        for task, line in pair.lines(node).items():
            assert line.configuration == "8/w4-4-4/balanced/fp32"
            assert line.run_s == pytest.approx(2 * STAGE_S[task])
            assert line.run_sd_s < 0.1 * line.run_s
            assert line.energy_j == pytest.approx(2 * STAGE_S[task] * busy_w())


def test_a_deadline_is_held_against_the_bundles_own_seconds(pair: Pair) -> None:
    with pair.node() as node:
        pair.teach(node)
        fast, slow = pair.ask(node, "fast", 0.008).route, pair.ask(node, "slow", 0.035).route
    assert (fast.exit, fast.fallback) == (2, None)
    assert (slow.exit, slow.fallback) == (1, "exit 1: no time for the next stage")


def test_joules_are_held_against_the_bundles_own(pair: Pair) -> None:
    """Each may spend what its two stages cost and a tenth more, then a tenth less."""
    with pair.node() as node:
        pair.teach(node)
        for task, stage_s in STAGE_S.items():
            both_j = 2 * stage_s * busy_w()
            enough = pair.ask(node, task, energy_j=1.1 * both_j).route
            assert (enough.exit, enough.over_budget, enough.fallback) == (2, False, None)
            short = pair.ask(node, task, energy_j=0.9 * both_j).route
            assert (short.exit, short.fallback) == (1, "exit 1: no joules for the next stage")


def test_nodes_built_anew_in_another_order_keep_them_apart(pair: Pair) -> None:
    for turned in (False, True):
        with pair.node(turned=turned) as node:
            assert node.board.cost_lines() == ()
            pair.teach(node)
            lines = pair.lines(node)
        for task, line in lines.items():
            assert line.run_s == pytest.approx(2 * STAGE_S[task])


def test_a_slow_bundle_does_not_keep_a_fast_one_from_running_inline(pair: Pair) -> None:
    """`inline_s` is 5 ms: the fast one's runs take 2 ms, the slow one's 40 ms, the mean of both 21 ms."""
    with pair.node() as node:
        pair.teach(node)
        told: list[Reply] = []
        quick = {task: node.try_inline(pair.request(task), told.append) for task in STAGE_S}
    assert quick == {"fast": True, "slow": False}


def test_who_waits_waits_for_what_is_before_it(pair: Pair) -> None:
    """Four fast runs are over in 8 ms, four slow ones in 160 ms; each alone takes a stage to exit 1."""
    with pair.node() as node:
        pair.teach(node)
        told: list[Reply] = []
        pair.open.clear()
        node.submit(pair.request("fast"), told.append)
        assert pair.entered.wait(WAIT_S)
        try:
            for _ in range(4):
                node.submit(pair.request("fast"), told.append)
            node.submit(pair.request("fast", 0.015), told.append)  # after 8 ms, for 1 ms
            assert told == []
            node.submit(pair.request("slow", 0.025), told.append)  # after 10 ms, for 20 ms
            assert code(told.pop()) == "deadline_unreachable"
            for _ in range(4):
                node.submit(pair.request("slow"), told.append)
            assert told == []
            node.submit(pair.request("fast", 0.150), told.append)  # after 170 ms
            reply = told.pop()
        finally:
            pair.open.set()
    assert code(reply) == "deadline_unreachable"
    assert reply.error is not None
    assert reply.error.retry_after_s == pytest.approx(0.170)


def test_each_bundle_calibrates_itself_one_after_the_other(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one's answers stayed `estimated` until requests for it had taught their own watts."""
    charged: list[str] = []

    def charge(_: Ledger, run: RunRecord) -> Energy:
        charged.append(run.bundle_sha256)
        return Energy(0.001, 0.0005, method="predicted" if charged.count(charged[-1]) == 3 else "estimated")

    monkeypatch.setattr(Ledger, "charge", charge)
    with assembled(replace(pair.config, meter="auto"), pair.clock) as assembly:
        (slot,) = assembly.slots
        watch = assembly.ground.energy.watch
        assert watch is not None
        watch.answered = True
        rests = [assembly.calibrate(slot) for _ in range(7)]
    assert charged == 3 * [pair.sha256["fast"]] + 3 * [pair.sha256["slow"]]
    assert [math.isfinite(rest_s) for rest_s in rests] == 4 * [True] + 3 * [
        False
    ]  # the second begins at once
