"""Calibration works in bursts, walks every stage, and ends when joules are known or its time is over."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from firmware_py.backends.health import DelegateHealth
from firmware_py.backends.scripted import ScriptedGraph, pass_through
from firmware_py.caches.models import ModelCache
from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import GraphError
from firmware_py.contracts.reply import Energy, Method
from firmware_py.inference.calibration import BURST_S, REST_S, STRAINED_S, Calibration
from firmware_py.inference.engine import Engine, Weights
from firmware_py.tasks.intent import IntentTask

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from firmware_py.bundles.read import Unpacked
    from firmware_py.contracts.limits import Limits
    from firmware_py.contracts.manifest import Graph
    from firmware_py.contracts.run import RunRecord
    from firmware_py.contracts.seams import Tensors
    from firmware_py.inference.engine import Outcome
    from firmware_py.tasks.intent import Encoded

STAGE_S = 0.010


class Rig:
    """An engine in virtual time and a ledger that knows joules after so many runs."""

    def __init__(self, tiny: Unpacked, known_after: int, limit_s: float = 60.0) -> None:
        self.clock = VirtualClock()
        self.records: list[RunRecord] = []
        self._known_after = known_after
        task = IntentTask(tiny.manifest, tiny.read(tiny.manifest.tokenizer.name))
        runner = ModelCache(tiny.manifest.graphs, lambda graph: ScriptedGraph(graph, self._timed), "cpu")
        self.engine = Engine(Weights.load(tiny), [runner], self.clock, DelegateHealth(self.clock))
        rows = [task.encode({"text": text}) for text in ("turn on the kitchen light", "on")]
        self.calibration = Calibration(lambda: rows, self._charge, limit_s)

    def _timed(self, graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        self.clock.advance(STAGE_S)
        return pass_through(graph, tensors)

    def _charge(self, run: RunRecord) -> Energy:
        self.records.append(run)
        method: Method = "predicted" if len(self.records) >= self._known_after else "estimated"
        return Energy(0.001, 0.0005, method=method)

    def play(self, most: int = 10_000) -> list[float]:
        """Step until it ends; the rests it asked for."""
        rests: list[float] = []
        while len(rests) < most:
            rest_s = self.calibration.step(self.engine)
            rests.append(rest_s)
            if math.isinf(rest_s):
                break
            self.clock.advance(rest_s)
        return rests


def test_works_in_bursts_with_rests_between(tiny: Unpacked) -> None:
    """About a window of work, then a rest that shows the idle draw, and on."""
    rests = Rig(tiny, known_after=400).play()
    assert rests.count(REST_S) >= 3
    first = rests.index(REST_S)
    assert all(rest_s == 0.0 for rest_s in rests[:first])
    assert BURST_S <= (first + 1) * STAGE_S * 3 <= 3 * BURST_S


def test_ends_when_joules_are_known_and_stays_ended(tiny: Unpacked) -> None:
    """Once charges are predicted nothing runs any more."""
    rig = Rig(tiny, known_after=7)
    assert math.isinf(rig.play()[-1])
    assert len(rig.records) == 7
    assert math.isinf(rig.calibration.step(rig.engine))
    assert len(rig.records) == 7


def test_gives_up_after_its_time(tiny: Unpacked) -> None:
    """A meter that never reconciles does not keep the board busy for ever; 0 s means never."""
    rig = Rig(tiny, known_after=10**9, limit_s=5.0)
    rig.play()
    assert 5.0 <= rig.clock.now_s() < 5.5 + BURST_S
    off = Rig(tiny, known_after=1, limit_s=0.0)
    assert math.isinf(off.calibration.step(off.engine))
    assert off.records == []


def test_walks_by_the_most_careful_rule(tiny: Unpacked) -> None:
    """An unsure row goes to the last stage, so every stage's watts are seen."""
    rig = Rig(tiny, known_after=2)
    rig.play()
    assert {record.exit for record in rig.records} >= {3}
    assert all("/careful/" in record.configuration for record in rig.records)


def test_a_row_that_fails_ends_it(tiny: Unpacked) -> None:
    """A graph that fails on every rung is said once, not once a second."""
    rig = Rig(tiny, known_after=5)

    def broken(encoded: Encoded, limits: Limits, start_s: float | None = None) -> Outcome:
        raise GraphError("stage 1 failed on every rung")

    rig.engine.run = broken  # type: ignore[method-assign]
    with pytest.raises(GraphError):
        rig.calibration.step(rig.engine)
    assert math.isinf(rig.calibration.step(rig.engine))


def test_a_strained_board_is_left_alone(tiny: Unpacked) -> None:
    """No row runs while the board is hot; once it has cooled, rows run."""
    rig, hot = Rig(tiny, known_after=5), [True]
    row = IntentTask(tiny.manifest, tiny.read(tiny.manifest.tokenizer.name)).encode({"text": "on"})
    calibration = Calibration(lambda: [row], rig._charge, 60.0, lambda: not hot[0])
    assert [calibration.step(rig.engine) for _ in range(3)] == [STRAINED_S] * 3
    assert rig.records == []
    hot[0] = False
    assert calibration.step(rig.engine) == 0.0
    assert len(rig.records) == 1


def test_rows_are_read_once_and_not_by_the_start(tiny: Unpacked) -> None:
    """The start does not wait for what its first answer does not need; without rows it ends at its first step."""
    rig, read = Rig(tiny, known_after=9), 0
    row = IntentTask(tiny.manifest, tiny.read(tiny.manifest.tokenizer.name)).encode({"text": "on"})

    def rows() -> list[Encoded]:
        nonlocal read
        read += 1
        return [row]

    calibration = Calibration(rows, rig._charge, 60.0)
    assert read == 0
    assert [calibration.step(rig.engine) for _ in range(3)] == [0.0] * 3
    assert read == 1
    assert math.isinf(Calibration(list, rig._charge, 60.0).step(rig.engine))
