"""The meter of a board and what prices answers with it, or without one."""

from __future__ import annotations

import logging
import zlib
from contextlib import ExitStack
from dataclasses import dataclass

from device_profiles.profile import BoardProfile
from firmware_py.backends.simulated import LoadListener
from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import HardwareError
from firmware_py.costs import CostModel
from firmware_py.energy.ledger import Ledger
from firmware_py.energy.open import SimulatedBoard, open_meter, start_plant
from firmware_py.energy.plant_link import PlantClient
from firmware_py.energy.watch import EnergyWatch

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EnergyParts:
    """What prices answers and watches the rail."""

    ledger: Ledger
    watch: EnergyWatch | None = None
    listener: LoadListener | None = None

    def power_w(self) -> float | None:
        """The rail's power now, None when unknown."""
        return None if self.watch is None else self.watch.power_w()


def metered(
    profile: BoardProfile, simulated: bool, costs: CostModel, clock: Clock, stack: ExitStack
) -> EnergyParts | None:
    """The first rail's sensor, watched; None, said once, when there is none to read."""
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
    try:
        meter = open_meter(rail, clock, board)
    except HardwareError as error:  # absent, or on a bus that is busy or hangs: the node answers all the same
        return _unmetered(error.message)
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
