"""Builds the meter of a profile's rail: real on its bus, or simulated on a plant. Used by `compose`."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from device_profiles.profile import PowerRail
from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import ConfigError
from firmware_py.energy.bus import Bus, LateBus, LinuxBus
from firmware_py.energy.ina219_registers import BUS_GAIN, CURRENT_GAIN
from firmware_py.energy.meters.base import Meter
from firmware_py.energy.meters.ina219 import (
    BUSY_ADC_SIMULATED,
    CALIBRATED_AT,
    SHUNT_DRIFT,
    Ina219,
    Wiring,
    choose_pga,
)
from firmware_py.energy.plant_link import PlantClient, PlantSetup
from firmware_py.energy.simulated_bus import Chip, SimulatedBus, draw_chip
from firmware_py.energy.uncertainty import Z95

_BREAKOUT_TOLERANCE = 0.01  # of a breakout's shunt, when the profile does not say
_DEFAULT_GRADE = "A"  # the wider limits, when the profile does not name the part


@dataclass(frozen=True, slots=True)
class SimulatedBoard:
    """A running plant, and the seed from which its sensor is drawn."""

    plant: PlantClient
    seed: int = 0


def wiring_of(rail: PowerRail) -> Wiring | None:
    """How the rail's INA219 is wired; None when the rail has no sensor that this build reads.

    Raises:
        ConfigError: the rail names an INA219 but lacks its shunt, maximum current or supply.
    """
    if rail.sensor != "ina219":
        return None
    if rail.shunt_ohm is None or rail.max_current_a is None or rail.supply_v is None:
        msg = f"rail {rail.name}: an ina219 needs shunt_ohm, max_current_a and supply_v"
        raise ConfigError(msg, hint="Set them for the rail in the board profile.")
    return Wiring(
        address=0x40 if rail.address is None else rail.address,
        shunt_ohm=rail.shunt_ohm,
        max_current_a=rail.max_current_a,
        supply_v=rail.supply_v,
        grade=rail.grade or _DEFAULT_GRADE,
        shunt_tolerance=_BREAKOUT_TOLERANCE if rail.shunt_tolerance is None else rail.shunt_tolerance,
        reference_u95=rail.reference_u95,
    )


def specimen(rng: random.Random, wiring: Wiring) -> Chip:
    """A chip and a shunt as they may be behind a wiring: within its limits, calibrated if it is."""
    pga, shunt = choose_pga(wiring), (wiring.shunt_ohm, wiring.shunt_tolerance)
    if wiring.reference_u95 is None:
        return draw_chip(rng, wiring.grade, shunt, pga=pga, warm=wiring.over_temperature)
    # What `shunt_ohm` was set to on the day of the calibration, at 25 degrees C, and what has moved since.
    chip = draw_chip(rng, wiring.grade, (wiring.shunt_ohm, 0.0), pga=pga)
    offset = chip.offset_v / (CALIBRATED_AT * wiring.max_current_a * wiring.shunt_ohm)
    read = (1.0 + chip.gain_shunt) * (1.0 + offset) / (1.0 + rng.gauss(0.0, wiring.reference_u95 / Z95))
    if not wiring.over_temperature:
        return replace(chip, shunt_ohm=wiring.shunt_ohm / read)
    (bus, warm_bus), (current, warm_current) = BUS_GAIN[wiring.grade], CURRENT_GAIN[wiring.grade]
    warmth = rng.uniform(-1.0, 1.0)  # one converter: both inputs drift together
    return replace(
        chip,
        shunt_ohm=wiring.shunt_ohm / read * (1.0 + rng.uniform(-SHUNT_DRIFT, SHUNT_DRIFT)),
        gain_bus=chip.gain_bus + warmth * (warm_bus - bus),
        gain_shunt=chip.gain_shunt + warmth * (warm_current - current),
    )


def open_meter(rail: PowerRail, clock: Clock, simulated: SimulatedBoard | None = None) -> Meter | None:
    """The rail's meter, which the caller closes; None when the rail has no sensor that this build reads.

    A simulated board gets the same driver on a simulated bus.

    Raises:
        ConfigError: the rail's shunt cannot carry the board's maximum current, or figures are missing.
        SensorAbsentError: the real bus is not there (smbus2 missing, no such device, no permission).
        SensorBusError: it is there, and busy or stuck.
    """
    return _meter(rail, clock, simulated, LinuxBus)


def late_meter(rail: PowerRail, clock: Clock, simulated: SimulatedBoard | None = None) -> Meter | None:
    """As `open_meter`, but a real bus is opened when the meter is first used, and anew while nobody answers.

    Raises:
        ConfigError: as `open_meter`; what is wrong with the bus its methods raise.
    """
    return _meter(rail, clock, simulated, lambda number: LateBus(lambda: LinuxBus(number)))


def _meter(
    rail: PowerRail, clock: Clock, simulated: SimulatedBoard | None, open_bus: Callable[[int], Bus]
) -> Meter | None:
    wiring = wiring_of(rail)
    if wiring is None:
        return None
    choose_pga(wiring)  # refuses before anything is opened
    if simulated is not None:
        wiring = replace(wiring, busy_adc=BUSY_ADC_SIMULATED)
        rng = random.Random(simulated.seed)  # noqa: S311 (a specimen of a chip)
        chip = specimen(rng, wiring)
        bus = SimulatedBus(simulated.plant, chip, clock, rng, wiring.address)
        return Ina219(bus, wiring, clock, simulated=True)
    return Ina219(open_bus(1 if rail.bus is None else rail.bus), wiring, clock)


def start_plant(rail: PowerRail, busy_w: float | None, clock: Clock, seed: int = 0) -> PlantClient | None:
    """Start the plant process of a simulated board; None when the profile lacks a figure for it."""
    if rail.idle_w is None or rail.supply_v is None or busy_w is None:
        return None
    return PlantClient.start(PlantSetup(rail.idle_w, busy_w, rail.supply_v, seed), clock)
