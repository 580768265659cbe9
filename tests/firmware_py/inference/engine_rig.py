"""An engine over scripted graphs in virtual time, and what such graphs do wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from firmware_py.backends.health import DelegateHealth
from firmware_py.backends.scripted import Script, ScriptedGraph, pass_through
from firmware_py.bundles.read import Unpacked
from firmware_py.caches.models import ModelCache
from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import (
    DelegateError,
)
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.manifest import Graph
from firmware_py.contracts.seams import Tensors
from firmware_py.inference.engine import Engine, Outcome, Weights
from firmware_py.tasks.intent import IntentTask

STAGE_S = 0.010
SURE, UNSURE, STRANGE = "turn on the kitchen light", "on", "sing the lights"


class Rig:
    """An engine over scripted graphs in virtual time; `scripts` maps delegate to behaviour."""

    def __init__(
        self, tiny: Unpacked, scripts: Mapping[str, Script] | None = None, costs: Any = None
    ) -> None:
        self.clock = VirtualClock()
        self.health = DelegateHealth(self.clock)
        self.task = IntentTask(tiny.manifest, tiny.read(tiny.manifest.tokenizer.name))
        self.ran: list[tuple[str, str]] = []
        runners = [
            self._runner(tiny, name, script) for name, script in (scripts or {"cpu": pass_through}).items()
        ]
        self.engine = Engine(Weights.load(tiny), runners, self.clock, self.health, costs)

    def _runner(self, tiny: Unpacked, name: str, script: Script) -> ModelCache:
        def timed(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
            self.ran.append((name, str(graph.key)))
            self.clock.advance(STAGE_S)
            return script(graph, tensors)

        return ModelCache(tiny.manifest.graphs, lambda graph: ScriptedGraph(graph, timed), name)

    def run(self, text: str, due_s: float = 10.0, **limits: Any) -> Outcome:
        given = {"rule": "balanced"} | limits
        return self.engine.run(self.task.encode({"text": text}), Limits(due_s=due_s, **given))


def broken(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
    """An interpreter that fails."""
    raise RuntimeError


def absent(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
    """A delegate whose device went away."""
    msg = "tpu: unplugged"
    raise DelegateError(msg)


def not_a_number(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
    """A delegate that computes nonsense without an error."""
    return {"h_out": np.full_like(tensors["h"], np.nan)}


def from_stage(stage: int, script: Script) -> Script:
    """Well until a stage, then the script."""
    return lambda graph, tensors: (script if graph.key.stage >= stage else pass_through)(graph, tensors)
