"""The driver against the simulated chip: values, freshness, and everything that goes wrong on a bus."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

import pytest

from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import ConfigError, SensorAbsentError, SensorBusError
from firmware_py.energy import ina219_registers as reg
from firmware_py.energy.meters.base import Pace, Sample
from firmware_py.energy.meters.ina219 import Ina219, Wiring, accuracy_of, choose_pga, config_of
from firmware_py.energy.simulated_bus import Chip, SimulatedBus
from tests.firmware_py.energy.supplies import Fixed

WIRING = Wiring(0x40, 0.1, 3.0, 5.1)


@dataclass(slots=True)
class Rig:
    supply: Fixed
    bus: SimulatedBus
    clock: VirtualClock
    meter: Ina219

    def collect(self, duration_s: float) -> list[Sample]:
        samples = []
        end_s = self.clock.now_s() + duration_s
        while self.clock.now_s() < end_s:
            self.clock.sleep(self.meter.due_s - self.clock.now_s())
            if (sample := self.meter.read()) is not None:
                samples.append(sample)
        return samples


@pytest.fixture
def rig() -> Rig:
    return make_rig(WIRING)


def make_rig(wiring: Wiring, chip: Chip | None = None) -> Rig:
    clock, supply = VirtualClock(), Fixed(5.0, 0.6)
    bus = SimulatedBus(supply, chip or Chip(wiring.shunt_ohm, noise=0.0), clock, random.Random(0), 0x40)
    return Rig(supply, bus, clock, Ina219(bus, wiring, clock, simulated=True))


@pytest.mark.parametrize(
    ("shunt_ohm", "max_a", "pga"),
    [
        (0.1, 0.4, 0),
        (0.1, 0.8, 1),
        (0.1, 1.6, 2),
        (0.1, 3.2, 3),
        (0.01, 5.0, 1),
        (0.02, 5.0, 2),
        (0.01, 4.0, 0),
    ],
)
def test_the_finest_range_that_carries_the_board(shunt_ohm: float, max_a: float, pga: int) -> None:
    assert choose_pga(Wiring(0x40, shunt_ohm, max_a, 5.0)) == pga


def test_a_shunt_that_saturates_is_refused_with_one_that_fits() -> None:
    """A 0.1 ohm breakout at a Pi 5's 5 A: 0.5 V, saturates at 3.2 A and browns the board out."""
    with pytest.raises(ConfigError, match="500 mV at 5 A") as caught:
        choose_pga(Wiring(0x40, 0.1, 5.0, 5.1))
    assert "0.016 ohm" in caught.value.hint


def test_too_high_a_supply_is_refused() -> None:
    with pytest.raises(ConfigError, match="absolute maximum"):
        choose_pga(Wiring(0x40, 0.01, 3.0, 28.0))


def test_bus_range_follows_the_supply() -> None:
    assert not config_of(WIRING, Pace.BUSY).wide
    assert config_of(replace(WIRING, supply_v=19.0), Pace.BUSY).wide


def test_accuracy_is_the_datasheets() -> None:
    grade_a = accuracy_of(replace(WIRING, over_temperature=False))
    assert grade_a.gain == pytest.approx(0.01)
    assert grade_a.offset_a == pytest.approx(200e-6 / 0.1)
    assert accuracy_of(WIRING).gain == pytest.approx(0.02)
    assert accuracy_of(replace(WIRING, grade="B")).gain == pytest.approx(0.015)


def test_a_calibration_leaves_the_reference_the_offset_and_what_warmth_moves() -> None:
    cold = accuracy_of(replace(WIRING, over_temperature=False, reference_u95=0.001))
    assert (cold.gain_voltage, cold.gain_current) == (0.005, 0.0)
    assert cold.shunt == pytest.approx(0.001 + 2e-3 / 1.5)  # grade A at PGA /8: 2 mA of 1.5 A
    warm = accuracy_of(replace(WIRING, reference_u95=0.001))
    assert warm.gain_voltage == 0.010
    assert warm.gain_current == pytest.approx(0.005)
    assert warm.shunt == pytest.approx(cold.shunt + 0.003)
    assert accuracy_of(replace(WIRING, grade="B", reference_u95=0.001)).gain_current == pytest.approx(0.002)
    assert accuracy_of(replace(WIRING, reference_u95=0.02)).shunt > accuracy_of(WIRING).shunt


def test_busy_pace_is_over_350_hz_even_with_the_slowest_chip() -> None:
    meter = make_rig(WIRING).meter
    assert meter.capabilities.busy.rate_hz / reg.CONVERSION_MAX_RATIO > 350.0


@pytest.mark.parametrize("ratio", [0.9, 1.0, 1.1])
def test_every_conversion_is_read_once(ratio: float) -> None:
    rig = make_rig(WIRING, Chip(0.1, noise=0.0, clock_ratio=ratio))
    rig.meter.start(Pace.BUSY)
    samples = rig.collect(1.0)
    cycles = 1.0 / (rig.meter.capabilities.busy.period_s * ratio)
    assert cycles - 4 <= len(samples) <= cycles + 1


def test_values_come_from_the_raw_registers(rig: Rig) -> None:
    rig.meter.start(Pace.BUSY)
    for sample in rig.collect(0.1):
        assert sample.voltage_v == pytest.approx(5.0, abs=4e-3)
        assert sample.current_a == pytest.approx(0.6, abs=1e-4)
    assert rig.bus.read(0x40, (reg.CALIBRATION,)) == (0,)


def test_negative_current_is_negative(rig: Rig) -> None:
    rig.supply.amperes = -0.25
    rig.meter.start(Pace.BUSY)
    assert rig.collect(0.05)[-1].current_a == pytest.approx(-0.25, abs=1e-4)


@pytest.mark.parametrize(("volts", "amperes"), [(5.0, 3.3), (5.0, -3.3), (16.2, 0.6)])
def test_full_scale_is_flagged_and_never_a_value(rig: Rig, volts: float, amperes: float) -> None:
    rig.supply.volts, rig.supply.amperes = volts, amperes
    rig.meter.start(Pace.BUSY)
    samples = rig.collect(0.05)
    assert samples
    for sample in samples:
        assert sample.over_range
        assert math.isnan(sample.voltage_v)
        assert math.isnan(sample.current_a)


def test_math_overflow_is_flagged(rig: Rig) -> None:
    rig.meter.start(Pace.BUSY)
    rig.bus.write(0x40, reg.CALIBRATION, 0xFFFE)  # by somebody else
    rig.supply.amperes = 3.0
    assert rig.collect(0.05)[-1].over_range


@pytest.mark.parametrize("calibration", [0x1000, 0x5000, 0xFFFE])
def test_what_another_program_left_in_the_chip_voids_nothing(rig: Rig, calibration: int) -> None:
    """A service that read current and power before ours sets register 05 and leaves it."""
    rig.bus.write(0x40, reg.CALIBRATION, calibration)
    rig.supply.amperes = 3.0
    for pace in Pace:
        rig.meter.start(pace)
        samples = rig.collect(0.5)
        assert samples
        assert not any(sample.over_range for sample in samples)
    rig.bus.write(0x40, reg.CALIBRATION, calibration)  # now it does while ours runs
    with pytest.raises(SensorBusError, match="somebody else"):
        rig.meter.check()
    assert not any(sample.over_range for sample in rig.collect(0.1))


def test_a_chip_that_restarted_is_found_and_set_up_again(rig: Rig) -> None:
    rig.meter.start(Pace.BUSY)
    rig.collect(0.05)
    rig.bus.power_cycle()
    with pytest.raises(SensorBusError, match="restarted by itself"):
        rig.meter.check()
    assert rig.bus.read(0x40, (reg.CONFIG,)) == (config_of(WIRING, Pace.BUSY).encode(),)
    rig.meter.check()
    assert len(rig.collect(0.1)) > 30


def test_a_foreign_configuration_is_found(rig: Rig) -> None:
    rig.meter.start(Pace.BUSY)
    rig.bus.write(0x40, reg.CONFIG, 0x019F)
    with pytest.raises(SensorBusError, match="somebody else"):
        rig.meter.check()


def test_a_chip_that_stopped_converting_is_an_error(rig: Rig) -> None:
    rig.meter.start(Pace.BUSY)
    rig.collect(0.05)
    rig.bus.read(0x40, (reg.POWER,))
    rig.bus.write(0x40, reg.CONFIG, 0)
    with pytest.raises(SensorBusError, match="somebody else"):
        rig.collect(0.1)


def test_bus_errors_pass_through(rig: Rig) -> None:
    rig.meter.start(Pace.BUSY)
    rig.bus.nack_next = 1
    with pytest.raises(SensorBusError):
        rig.collect(0.01)
    rig.bus.absent = True
    with pytest.raises(SensorAbsentError):
        rig.meter.start(Pace.IDLE)


def test_close_powers_down_and_survives_a_dead_bus(rig: Rig) -> None:
    rig.meter.start(Pace.BUSY)
    rig.bus.stuck = True
    rig.meter.close()
    other = make_rig(WIRING)
    other.meter.start(Pace.BUSY)
    other.meter.close()
    other.bus._closed = False
    assert reg.decode_config(other.bus.read(0x40, (reg.CONFIG,))[0]).mode == reg.MODE_POWER_DOWN
