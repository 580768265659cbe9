"""The meter of a board and what prices answers with it, or without one."""

from __future__ import annotations

import logging
import zlib
from contextlib import ExitStack
from dataclasses import dataclass

from device_profiles.profile import BoardProfile
from firmware_py.backends.simulated import LoadListener
from firmware_py.contracts.clock import Clock
from firmware_py.costs import CostModel
from firmware_py.energy.ledger import Ledger
from firmware_py.energy.open import SimulatedBoard, late_meter, start_plant
from firmware_py.energy.plant_link import PlantClient
from firmware_py.energy.watch import EnergyWatch

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EnergyParts:
    """What prices answers and watches the rail."""

    ledger: Ledger
    watch: EnergyWatch | None = None
    listener: LoadListener | None = None

    def source(self) -> str:
        """The meter's name, `none` as long as its sensor has never answered."""
        return self.ledger.source if self.watch is not None and self.watch.answered else "none"

    def power_w(self) -> float | None:
        """The rail's power now, None when unknown."""
        return None if self.watch is None else self.watch.power_w()


def metered(
    profile: BoardProfile, simulated: bool, costs: CostModel, clock: Clock, stack: ExitStack
) -> EnergyParts | None:
    """The first rail's sensor, watched; None, said once, when there is none that this version reads.

    A sensor that does not answer yet is asked for by its watch: it may come later.

    Raises:
        ConfigError: the rail's wiring cannot be.
    """
    rail = next(iter(profile.rails), None)
    if rail is None:
        return _unmetered("the profile has no power rail")
    plant: PlantClient | None = None
    board: SimulatedBoard | None = None
    if simulated:
        seed = zlib.crc32(profile.name.encode())
        plant = start_plant(rail, profile.simulation.busy_w, clock, seed)
        if plant is None:
            return _unmetered(f"the profile of {profile.name} lacks the watts to simulate a sensor")
        stack.callback(plant.close)
        board = SimulatedBoard(plant, seed)
    meter = late_meter(rail, clock, board)
    if meter is None:
        return _unmetered(f"no sensor of rail {rail.name} that this version reads ({rail.sensor})")
    ledger = Ledger(costs, source=meter.capabilities.source, simulated=simulated)
    watch = EnergyWatch(meter, ledger, clock)
    stack.callback(watch.close)
    return EnergyParts(ledger, watch, plant)


def _unmetered(reason: str) -> EnergyParts | None:
    """Say once why nothing is measured."""
    _log.warning("%s: joules are estimated from the profile, or unknown", reason)
    return None
