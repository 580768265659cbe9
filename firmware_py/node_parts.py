"""What a node is made of: tasks, interpreters, board and the functions that `compose` hands in."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from firmware_py.black_box import BlackBox
from firmware_py.caches.results import ResultCache
from firmware_py.contracts.clock import Clock
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.manifest import Manifest
from firmware_py.contracts.node_state import CostLine, Reconciled, ServedTask
from firmware_py.contracts.records import record
from firmware_py.contracts.reply import UNKNOWN_ENERGY, Energy, Method, ModelRef
from firmware_py.contracts.run import RunRecord
from firmware_py.energy.uncharged import UnchargedWork
from firmware_py.inference.engine import Engine
from firmware_py.resources.governor import Ask
from firmware_py.tasks.intent import IntentTask


@record(frozen=True, slots=True)
class Served:
    """One task of this node: its bundle's manifest, its model's name, its tokenizer and labels."""

    manifest: Manifest
    model: ModelRef
    task: IntentTask

    def info(self) -> ServedTask:
        """What a birth message says of it."""
        task, model = self.manifest.task, self.model
        return ServedTask(task.name, task.kind, task.languages, model.name, model.version, model.sha256)


@record(frozen=True, slots=True)
class Slot:
    """Interpreters for one thread at a time: one engine per task, the lock that guards them, its place in the box."""

    engines: Mapping[str, Engine]
    lock: threading.Lock
    number: int = 0


@record(frozen=True, slots=True)
class Board:
    """What a node says of its board.

    `power_source` is the meter's name, `none` as long as there is none or its sensor never answered; `power_w` is the
    rail's power now, None when unknown; `energy_method` is how joules are known at
    this moment. `reconciled` says what was metered and charged since it was last asked, None while the meter does
    not read; there is none without a meter.
    """

    profile: str
    simulated: bool
    power_source: Callable[[], str]
    power_w: Callable[[], float | None]
    cost_lines: Callable[[], tuple[CostLine, ...]]
    energy_method: Callable[[], Method]
    reconciled: Callable[[], Reconciled | None] | None = None


@record(frozen=True, slots=True)
class NodeParts:
    """What `compose` hands in.

    `limits`: what a run may spend, from the request's ask and the number of stages, in the board's present state.
    `charge`: the joules of a finished run.
    `price`: the joules of work that no meter window can see, such as a cache hit.
    `learn`: takes a finished run into the cost model.
    `uncharged`: is told when a run begins and, at its end, whether it stays without a charge.
    `heal`: one step of re-testing delegates that are out; waits for no child, locks the slot while it uses it.
    `calibrate`: one sentence towards knowing the board's watts; returns seconds until the next, infinite when done.
    `results`: the cache of answers; None: off.
    `closing`: runs once, when the node has stopped.
    `box`: remembers what was being answered if this process dies; None: nothing keeps this process.
    """

    clock: Clock
    board: Board
    served: Mapping[str, Served]
    slots: Sequence[Slot]
    limits: Callable[[Ask, int], Limits]
    charge: Callable[[RunRecord], Energy]
    learn: Callable[[RunRecord], None]
    heal: Callable[[Slot], None]
    queue_bound: int = 64
    ageing_s: float = 0.5
    inline_s: float = 0.005
    results: ResultCache | None = None
    calibrate: Callable[[Slot], float] = lambda _: math.inf
    price: Callable[[RunRecord], Energy] = lambda _: UNKNOWN_ENERGY
    uncharged: UnchargedWork = field(default_factory=UnchargedWork)
    closing: Callable[[], None] = lambda: None
    box: BlackBox | None = None


@record(frozen=True, slots=True)
class Load:
    """What a heartbeat says: requests waiting, and answered, refused and failed since the start."""

    queue: int
    answered: int
    refused: int
    failed: int
