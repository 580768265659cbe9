"""From a profile's rail to a meter."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from device_profiles.profile import PowerRail
from firmware_py.contracts.clock import SystemClock, VirtualClock
from firmware_py.contracts.errors import ConfigError, SensorAbsentError
from firmware_py.energy.meters.base import Pace
from firmware_py.energy.meters.ina219 import CALIBRATED_AT, accuracy_of
from firmware_py.energy.open import SimulatedBoard, open_meter, specimen, start_plant, wiring_of
from firmware_py.testing.meter_contract import MeterBench, collect

RAIL = PowerRail("5v", "ina219", 250, 0x40, 0.1, 16.0, 3.0, 5.1, 3.0, "B", "test")


def test_a_rail_without_a_sensor_has_no_meter() -> None:
    assert wiring_of(replace(RAIL, sensor="none")) is None
    assert open_meter(replace(RAIL, sensor="ina3221"), VirtualClock()) is None


def test_the_profile_says_how_well_the_shunt_is_known() -> None:
    """1 % for a breakout; a better part says so, and a calibration names its reference."""
    for rail, known in (
        (RAIL, (0.01, None)),
        (replace(RAIL, shunt_tolerance=0.005), (0.005, None)),
        (replace(RAIL, reference_u95=0.002), (0.01, 0.002)),
    ):
        wiring = wiring_of(rail)
        assert wiring is not None
        assert (wiring.shunt_tolerance, wiring.reference_u95) == known


@pytest.mark.parametrize("reference_u95", [None, 0.001, 0.01])
@pytest.mark.parametrize("warm", [False, True])
def test_specimens_keep_what_their_wiring_says(reference_u95: float | None, warm: bool) -> None:
    """Current within its budget at any load; at the calibrated point and temperature within the reference alone."""
    wiring = wiring_of(replace(RAIL, reference_u95=reference_u95))
    assert wiring is not None
    wiring = replace(wiring, over_temperature=warm)
    limits, rng, errors = accuracy_of(wiring), random.Random(3), []
    at_a = CALIBRATED_AT * wiring.max_current_a
    for _ in range(1000):
        chip = specimen(rng, wiring)
        for current_a in (at_a, 0.3 * at_a, 2.0 * at_a):
            seen_v = current_a * chip.shunt_ohm * (1.0 + chip.gain_shunt) + chip.offset_v
            errors.append(seen_v / wiring.shunt_ohm / current_a - 1.0)
            most = limits.gain_current + limits.shunt + limits.offset_a / current_a
            assert abs(errors[-1]) <= 1.05 * most + 2.0 * (reference_u95 or 0.0)  # its tails: normal
        assert abs(chip.gain_bus) <= limits.gain_voltage
    calibrated = sorted(map(abs, errors[::3]))[949]
    if reference_u95 is not None and not warm:
        assert calibrated == pytest.approx(reference_u95, rel=0.1)
    else:
        assert calibrated > 0.003
    assert max(map(abs, errors)) > 0.4 * (limits.gain_current + limits.shunt)


@pytest.mark.parametrize(
    "rail", [replace(RAIL, shunt_ohm=None), replace(RAIL, max_current_a=None), replace(RAIL, supply_v=None)]
)
def test_missing_figures_are_named(rail: PowerRail) -> None:
    with pytest.raises(ConfigError, match="shunt_ohm, max_current_a and supply_v"):
        wiring_of(rail)


def test_a_shunt_that_cannot_carry_the_board_is_refused_before_a_bus_is_opened() -> None:
    with pytest.raises(ConfigError, match="500 mV at 5 A"):
        open_meter(replace(RAIL, max_current_a=5.0), VirtualClock())


def test_a_bus_that_is_not_there_is_an_absent_sensor() -> None:
    with pytest.raises(SensorAbsentError):
        open_meter(RAIL, VirtualClock())


def test_a_plant_needs_watts() -> None:
    assert start_plant(replace(RAIL, idle_w=None), 1.0, SystemClock()) is None
    assert start_plant(RAIL, None, SystemClock()) is None


def test_a_simulated_board_reads_its_plant_through_the_real_driver() -> None:
    clock = SystemClock()
    plant = start_plant(RAIL, 1.0, clock, seed=4)
    assert plant is not None
    with plant:
        meter = open_meter(RAIL, clock, SimulatedBoard(plant, seed=4))
        assert meter is not None
        with meter:
            assert meter.capabilities.simulated
            meter.start(Pace.BUSY)
            begin_s = clock.now_s()
            samples = collect(MeterBench(meter, clock), 0.25)
            power_w = sum(s.voltage_v * s.current_a for s in samples) / len(samples)
            ((true_j, _),) = plant.truth([(begin_s, begin_s + 0.25)])
            assert power_w == pytest.approx(true_j / 0.25, rel=0.08)
            plant.close()
            with pytest.raises(SensorAbsentError, match="gone"):
                collect(MeterBench(meter, clock), 0.25)
