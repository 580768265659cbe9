"""A simulated board in virtual time: plant, bus, driver, ledger, watch, and a script of runs."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.reply import Energy
from firmware_py.contracts.run import GraphKey, RunRecord, StageRun
from firmware_py.costs import CostModel
from firmware_py.energy.ledger import Ledger
from firmware_py.energy.meters.ina219 import Ina219, Wiring, choose_pga
from firmware_py.energy.plant import Plant, PlantSpec
from firmware_py.energy.simulated_bus import SimulatedBus, draw_chip
from firmware_py.energy.watch import EnergyWatch

PI_5 = Wiring(0x40, 0.01, 5.0, 5.1, grade="B")
BUSY_W = 1.03


@dataclass(slots=True)
class Board:
    """Everything of one simulated board on one virtual clock."""

    clock: VirtualClock
    plant: Plant
    bus: SimulatedBus
    meter: Ina219
    costs: CostModel
    ledger: Ledger
    watch: EnergyWatch
    rng: random.Random
    answers: list[tuple[Energy, float]] = field(default_factory=list)  # charged, true joules

    def play(self, until_s: float, rate_hz: float = 0.0, stage_s: float = 0.004) -> None:
        """Let time pass; requests of one to three stages come at random."""
        events: list[tuple[float, Callable[[], None]]] = []
        at_s = self.clock.now_s()
        while rate_hz > 0.0:
            at_s += self.rng.expovariate(rate_hz)
            stages = []
            begin_s = at_s
            at_s += 2e-4
            for stage in range(self.rng.choice((1, 1, 2, 3))):
                run_s = stage_s * (0.7 + 0.3 * stage) * self.rng.uniform(0.95, 1.15)
                stages.append(StageRun(GraphKey(16, stage + 1, 4), "xnnpack", at_s, run_s))
                at_s += run_s + 5e-5
            if at_s > until_s - 0.1:
                break
            for one in stages:
                events.append((one.start_s, partial(self.plant.busy, one.start_s, str(one.graph))))
                end_s = one.start_s + one.run_s
                events.append((end_s, partial(self.plant.idle, end_s)))
            run = RunRecord("sha", "16/w4-4-4/balanced/dyn8", tuple(stages), len(stages), begin_s, at_s, 5)
            events.append((at_s, partial(self._answer, run)))
        events.sort(key=lambda event: event[0])
        next_event = 0
        while self.clock.now_s() < until_s:
            horizon_s = max(self.clock.now_s(), min(self.meter.due_s, self.clock.now_s() + 0.1))
            while next_event < len(events) and events[next_event][0] <= horizon_s:
                events[next_event][1]()
                next_event += 1
            self.watch.step()

    def _answer(self, run: RunRecord) -> None:
        energy = self.ledger.charge(run)
        self.costs.learn(run)
        self.answers.append((energy, self.plant.net_j(run.start_s, run.end_s)))


def make_board(seed: int = 0, *, busy_w: float | None = BUSY_W, wiring: Wiring = PI_5) -> Board:
    """A board with its own draw of plant and chip."""
    rng, clock = random.Random(seed), VirtualClock()
    plant = Plant(PlantSpec(3.3, BUSY_W, 5.1, seed=seed))
    shunt = (wiring.shunt_ohm, wiring.shunt_tolerance)
    chip = draw_chip(rng, wiring.grade, shunt, pga=choose_pga(wiring), warm=True)
    bus = SimulatedBus(plant, chip, clock, rng, wiring.address)
    meter = Ina219(bus, wiring, clock, simulated=True)
    costs = CostModel(busy_w)
    ledger = Ledger(costs, source="ina219", simulated=True)
    return Board(clock, plant, bus, meter, costs, ledger, EnergyWatch(meter, ledger, clock), rng)


@pytest.fixture
def new_board() -> Callable[..., Board]:
    """Makes boards by seed."""
    return make_board


@pytest.fixture
def board() -> Board:
    """Board number 0."""
    return make_board(0)
