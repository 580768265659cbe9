"""A node out of its parts, and the parts without a node."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from firmware_py.agent import CiuicNode
from firmware_py.caches.results import ResultCache
from firmware_py.compose.ground import Ground, open_ground
from firmware_py.compose.models import open_model, open_slot
from firmware_py.compose.places import ROOT, node_name, shipped
from firmware_py.compose.spare_time import calibration, check, in_turn, prove
from firmware_py.config import AgentConfig
from firmware_py.contracts.clock import Clock, SystemClock
from firmware_py.contracts.errors import ConfigError
from firmware_py.contracts.limits import Limits
from firmware_py.energy.statement import Statements
from firmware_py.inference.retests import Retests
from firmware_py.node_parts import Board, NodeParts, Served, Slot
from firmware_py.resources.governor import Ask, Policy, decide
from firmware_py.resources.state import BoardState, StateReader


@dataclass(frozen=True, slots=True)
class Assembly:
    """A board's parts put together, before a node or a benchmark uses them."""

    ground: Ground
    served: Mapping[str, Served]
    slots: tuple[Slot, ...]
    limits: Callable[[Ask, int], Limits]
    heal: Callable[[Slot], None]
    calibrate: Callable[[Slot], float]


@contextmanager
def assembled(config: AgentConfig, clock: Clock | None = None) -> Iterator[Assembly]:
    """The parts without a node, for benchmarks and evaluation.

    Raises:
        ProfileError: the board profile is absent or invalid.
        BundleError: a bundle is refused; its code says why.
        ConfigError: a setting does not fit this machine.
    """
    with ExitStack() as stack:
        yield _assemble(config, clock or SystemClock(), stack)


def build_node(config: AgentConfig, clock: Clock | None = None) -> CiuicNode:
    """A node that answers; closing it stops threads, meter and plant.

    Raises:
        ProfileError: the board profile is absent or invalid.
        BundleError: a bundle is refused; its code says why.
        ConfigError: a setting does not fit this machine.
    """
    with ExitStack() as stack:
        made = _assemble(config, clock or SystemClock(), stack)
        ground = made.ground
        energy = ground.energy
        parts = NodeParts(
            clock=ground.clock,
            board=Board(
                profile=ground.profile.name,
                simulated=ground.simulated,
                power_source=energy.source,
                power_w=energy.power_w,
                cost_lines=ground.costs.lines,
                energy_method=lambda: energy.ledger.method,
                reconciled=None if energy.watch is None else Statements(energy.ledger, energy.watch).take,
            ),
            served=made.served,
            slots=made.slots,
            limits=made.limits,
            charge=energy.ledger.charge,
            price=energy.ledger.price,
            uncharged=energy.ledger.uncharged,
            learn=ground.costs.learn,
            heal=made.heal,
            calibrate=made.calibrate,
            queue_bound=config.queue_bound,
            ageing_s=config.ageing_s,
            inline_s=config.inline_s,
            results=ResultCache(config.cache_entries, config.cache_bytes) if config.cache_entries else None,
            closing=stack.pop_all().close,
            box=ground.box,
        )
    return CiuicNode(node_name(config), parts)


def _assemble(config: AgentConfig, clock: Clock, stack: ExitStack) -> Assembly:
    ground = open_ground(config, clock, stack)
    models = [open_model(shipped(path), ground) for path in config.model]
    if not models:
        msg = "no bundle to serve"
        raise ConfigError(msg, hint="Name one with --model.")
    served = {model.served.manifest.task.name: model.served for model in models}
    if len(served) != len(models):
        twice = Counter(model.served.manifest.task.name for model in models).most_common(1)[0][0]
        msg = f"two bundles serve the task {twice}"
        raise ConfigError(msg, hint="Give one bundle per task.")
    reader = StateReader(ROOT, ground.profile.thermal_zones, ground.clock)
    policy = Policy(power_limit_w=config.power_limit_w or None)
    unknown, metered = BoardState(), policy.power_limit_w is not None

    def limits(ask: Ask, stages: int) -> Limits:
        # A simulated board has no heat of its own; this machine's is not its business.
        state = unknown if ground.simulated else reader.state()
        power_w = ground.energy.power_w() if metered else None
        if power_w is not None:
            state = BoardState(state.temperature_c, power_w)
        return decide(state, ask, policy, stages)

    slots = tuple(open_slot(number, models, ground, stack) for number in range(config.slots))
    if ground.watch is not None:
        ground.watch.start()
    retests = Retests(ground.health, lambda delegate, child: prove(delegate, child, models, ground))
    stack.callback(retests.close)
    learners = [calibration(model, ground, limits, lambda: retests.proving) for model in models]
    if ground.energy.watch is not None:
        ground.energy.watch.start()  # not before: the work of starting would be learned as the board's idle draw
    return Assembly(
        ground=ground,
        served=served,
        slots=slots,
        limits=limits,
        heal=lambda slot: retests.step(lambda delegate: check(delegate, slot, models, ground)),
        # One slot's worker only: others would work through its rests, and all learn the same watts.
        calibrate=lambda slot: in_turn(learners, slot) if slot is slots[0] else math.inf,
    )
