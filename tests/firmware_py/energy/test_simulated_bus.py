"""The simulated chip behaves as the datasheet describes; seen through its registers only."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import SensorAbsentError, SensorBusError
from firmware_py.energy import ina219_registers as reg
from firmware_py.energy.simulated_bus import Chip, SimulatedBus, Span, draw_chip
from tests.firmware_py.energy.supplies import Fixed

AT = 0x40
QUIET = Chip(shunt_ohm=0.1, noise=0.0)
CYCLE_S = 2 * 532e-6


@dataclass(slots=True)
class Steps:
    """A supply whose current is its own second: i(t) = t, v constant; remembers what was asked."""

    volts: float = 5.0
    factor: float = 1.0
    asked: list[Span] = field(default_factory=list)

    def means(self, spans: Sequence[Span]) -> list[tuple[float, float]]:
        self.asked += spans
        return [(self.volts, self.factor * (begin_s + end_s) / 2.0) for begin_s, end_s in spans]


def bus_with(supply: Steps | Fixed, chip: Chip = QUIET) -> tuple[SimulatedBus, VirtualClock]:
    clock = VirtualClock()
    return SimulatedBus(supply, chip, clock, random.Random(0), AT), clock


def word(bus: SimulatedBus, register: int) -> int:
    return bus.read(AT, (register,))[0]


def test_power_on_values() -> None:
    bus, _ = bus_with(Fixed(5.0, 0.5))
    assert bus.read(AT, range(6)) == (0x399F, 0, 0, 0, 0, 0)


def test_reset_bit_restores_power_on_values() -> None:
    bus, clock = bus_with(Fixed(5.0, 0.5))
    bus.write(AT, reg.CONFIG, 0x019F)
    bus.write(AT, reg.CALIBRATION, 0x1000)
    clock.advance(1.0)
    bus.write(AT, reg.CONFIG, reg.RESET_BIT)
    assert bus.read(AT, range(6)) == (0x399F, 0, 0, 0, 0, 0)


def test_shunt_converts_before_bus() -> None:
    """Shunt and bus one after the other: the shunt register is new while CNVR is not yet set."""
    supply = Steps()
    bus, clock = bus_with(supply)
    clock.advance(600e-6)
    flag, shunt = bus.read(AT, (reg.BUS, reg.SHUNT))
    assert not flag & reg.CNVR
    assert len(supply.asked) == 1
    assert supply.asked[-1] == pytest.approx((0.0, 532e-6))
    clock.advance(CYCLE_S - 600e-6 + 1e-6)
    assert word(bus, reg.BUS) & reg.CNVR
    assert supply.asked[-1] == pytest.approx((532e-6, CYCLE_S))
    assert word(bus, reg.SHUNT) == shunt  # the second shunt conversion is still under way


def test_conversion_ready_stays_until_the_power_register_is_read() -> None:
    bus, clock = bus_with(Fixed(5.0, 0.5))
    clock.advance(CYCLE_S * 1.01)
    for register in (reg.BUS, reg.SHUNT, reg.BUS, reg.CURRENT, reg.CONFIG):
        word(bus, register)
    assert word(bus, reg.BUS) & reg.CNVR
    word(bus, reg.POWER)
    assert not word(bus, reg.BUS) & reg.CNVR
    clock.advance(CYCLE_S)
    assert word(bus, reg.BUS) & reg.CNVR


def test_writing_a_converting_mode_clears_conversion_ready_and_power_down_does_not() -> None:
    bus, clock = bus_with(Fixed(5.0, 0.5))
    clock.advance(CYCLE_S * 1.01)
    bus.write(AT, reg.CONFIG, 0x399F)
    assert not word(bus, reg.BUS) & reg.CNVR
    clock.advance(CYCLE_S * 1.01)
    assert word(bus, reg.BUS) & reg.CNVR
    bus.write(AT, reg.CONFIG, 0x3998)  # power-down
    clock.advance(1.0)
    assert word(bus, reg.BUS) & reg.CNVR


def test_triggered_mode_converts_once() -> None:
    supply = Steps(factor=100.0)
    bus, clock = bus_with(supply)
    clock.advance(1e-3)
    bus.write(AT, reg.CONFIG, 0x399B)  # shunt and bus, triggered
    clock.advance(CYCLE_S * 1.01)
    first = word(bus, reg.SHUNT)
    assert word(bus, reg.BUS) & reg.CNVR
    clock.advance(1.0)
    assert word(bus, reg.SHUNT) == first
    word(bus, reg.POWER)
    clock.advance(1.0)
    assert not word(bus, reg.BUS) & reg.CNVR


def test_power_down_keeps_the_last_values() -> None:
    bus, clock = bus_with(Fixed(5.0, 0.5))
    clock.advance(0.1)
    before = bus.read(AT, (reg.SHUNT, reg.BUS))
    bus.write(AT, reg.CONFIG, 0x3998)
    clock.advance(0.1)
    assert bus.read(AT, (reg.SHUNT,)) == before[:1]


@given(st.floats(-0.319, 0.319), st.floats(0.0, 31.9))
@settings(max_examples=60)
def test_quantisation_is_half_a_step(shunt_v: float, bus_v: float) -> None:
    bus, clock = bus_with(Fixed(bus_v, shunt_v / 0.1))
    clock.advance(0.01)
    assert reg.signed(word(bus, reg.SHUNT)) * reg.SHUNT_STEP_V == pytest.approx(shunt_v, abs=5.1e-6)
    assert (word(bus, reg.BUS) >> 3) * reg.BUS_STEP_V == pytest.approx(bus_v, abs=2.1e-3)


@pytest.mark.parametrize("pga", range(4))
def test_shunt_saturates_at_the_gain_setting(pga: int) -> None:
    for sign in (1.0, -1.0):
        bus, clock = bus_with(Fixed(5.0, sign * 10.0))
        bus.write(AT, reg.CONFIG, reg.Config(wide=True, pga=pga, bus_adc=3, shunt_adc=3, mode=7).encode())
        clock.advance(0.01)
        assert reg.signed(word(bus, reg.SHUNT)) == sign * reg.SHUNT_FULL_COUNTS[pga]


def test_overflow_flag_follows_the_calibration() -> None:
    """Current = shunt x calibration / 4096 leaves 16 bits: OVF (section 8.5.2, 8.6.3.2)."""
    bus, clock = bus_with(Fixed(5.0, 3.0))
    clock.advance(0.01)
    assert not word(bus, reg.BUS) & reg.OVF
    bus.write(AT, reg.CALIBRATION, 0xFFFE)
    clock.advance(0.01)
    assert word(bus, reg.BUS) & reg.OVF


def test_power_register_example_of_the_datasheet() -> None:
    """Section 9.2.2.1: 20 mV, 11.98 V, calibration 5000h: 10 A, 119.8 W."""
    chip = Chip(shunt_ohm=0.002, noise=0.0)
    bus, clock = bus_with(Fixed(11.98, 10.0), chip)
    bus.write(AT, reg.CALIBRATION, 0x5000)
    clock.advance(0.01)
    assert word(bus, reg.SHUNT) == 0x07D0
    assert word(bus, reg.BUS) >> 3 == 0x0BB3
    assert word(bus, reg.CURRENT) == 0x2710
    assert word(bus, reg.POWER) == 0x1766


def test_the_chips_own_clock_stretches_conversions() -> None:
    bus, clock = bus_with(Fixed(5.0, 0.5), Chip(shunt_ohm=0.1, clock_ratio=1.1))
    clock.advance(CYCLE_S * 1.05)
    assert not word(bus, reg.BUS) & reg.CNVR
    clock.advance(CYCLE_S * 0.06)
    assert word(bus, reg.BUS) & reg.CNVR


def test_averaging_reduces_noise() -> None:
    def spread(code: int) -> float:
        bus, clock = bus_with(Fixed(5.0, 0.5), Chip(shunt_ohm=0.1, noise=10.0))
        config = reg.Config(wide=True, pga=3, bus_adc=3, shunt_adc=code, mode=7)
        bus.write(AT, reg.CONFIG, config.encode())
        values = []
        for _ in range(200):
            clock.advance(config.shunt_s + config.bus_s)
            values.append(reg.signed(word(bus, reg.SHUNT)))
        return statistics.pstdev(values)

    assert spread(3) / spread(0b1100) == pytest.approx(4.0, rel=0.2)


@pytest.mark.parametrize("grade", ["A", "B"])
def test_specimens_stay_within_their_grade(grade: str) -> None:
    rng = random.Random(1)
    for warm in (False, True):
        for pga in range(4):
            chips = [draw_chip(rng, grade, (0.1, 0.01), pga=pga, warm=warm) for _ in range(200)]
            assert max(abs(chip.gain_shunt) for chip in chips) <= reg.CURRENT_GAIN[grade][warm]
            assert max(abs(chip.gain_bus) for chip in chips) <= reg.BUS_GAIN[grade][warm]
            assert 0.9 * reg.OFFSET_V[grade][pga] < max(abs(chip.offset_v) for chip in chips)
            assert max(abs(chip.offset_v) for chip in chips) <= reg.OFFSET_V[grade][pga]
            assert max(abs(chip.shunt_ohm - 0.1) for chip in chips) <= 0.001


def test_faults_on_demand() -> None:
    bus, _ = bus_with(Fixed(5.0, 0.5))
    bus.nack_next = 1
    with pytest.raises(SensorBusError, match="not acknowledged"):
        word(bus, reg.BUS)
    word(bus, reg.BUS)
    bus.stuck = True
    with pytest.raises(SensorBusError, match="hangs"):
        word(bus, reg.BUS)
    bus.stuck, bus.absent = False, True
    with pytest.raises(SensorAbsentError):
        word(bus, reg.BUS)
    bus.absent = False
    with pytest.raises(SensorAbsentError):
        bus.read(0x41, (reg.BUS,))
