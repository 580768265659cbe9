"""An I2C bus with one INA219 on it, at register level: the real driver reads it.

Modelled after TI SBOS448G: registers and reset values (8.6), shunt then bus one after the other
(8.4), averaging, quantisation, conversion-ready and overflow flags (8.6.3.2), and errors drawn once
within the grade's maxima (7.5): gain shared by both inputs (one converter, one reference), offset of
the shunt input, noise, the converter's own clock. What flows through it comes from a `Supply`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import SensorAbsentError, SensorBusError
from firmware_py.energy import ina219_registers as reg

Span = tuple[float, float]
# One LSB of noise at 12 bit; the datasheet gives none, differential nonlinearity is 0.1 LSB.
_SHUNT_NOISE_V = 8e-6
_BUS_NOISE_V = 2e-3
_PGA_GAIN = 4e-4  # current-sense gain error, typical; section 7.5


class Supply(Protocol):
    """What the sensor's pins see: a plant, here or in its own process."""

    def means(self, spans: Sequence[Span]) -> list[tuple[float, float]]:
        """Mean volt and ampere over each span of monotonic seconds, none of it in the future."""


@dataclass(frozen=True, slots=True)
class Chip:
    """One specimen: relative gain errors, offset in volt, clock (conversion time over typical).

    `shunt_ohm` is the true resistance, `transfer_s` what one register costs on the wire (virtual
    time only; in real time the process boundary costs enough).
    """

    shunt_ohm: float
    gain_bus: float = 0.0
    gain_shunt: float = 0.0
    offset_v: float = 0.0
    clock_ratio: float = 1.0
    noise: float = 1.0
    transfer_s: float = 0.0


def draw_chip(rng: random.Random, grade: str, shunt: Span, *, pga: int = 3, warm: bool = False) -> Chip:
    """A specimen drawn evenly within its grade's maxima.

    Args:
        rng: where chance comes from.
        grade: A or B.
        shunt: nominal ohm and relative tolerance.
        pga: the PGA code that will be used (the offset's maximum depends on it).
        warm: take the limits over temperature instead of those at 25 degrees C.
    """
    at = 1 if warm else 0
    both = rng.uniform(-1.0, 1.0)
    limit = reg.CURRENT_GAIN[grade][at]
    gain_shunt = max(-limit, min(limit, both * limit + rng.uniform(-_PGA_GAIN, _PGA_GAIN)))
    offset = reg.OFFSET_V[grade][pga]
    return Chip(
        shunt_ohm=shunt[0] * (1.0 + rng.uniform(-shunt[1], shunt[1])),
        gain_bus=both * reg.BUS_GAIN[grade][at],
        gain_shunt=gain_shunt,
        offset_v=rng.uniform(-offset, offset),
        clock_ratio=rng.uniform(2.0 - reg.CONVERSION_MAX_RATIO, reg.CONVERSION_MAX_RATIO),
    )


class SimulatedBus:
    """A bus with one chip. Faults on demand: `absent`, `stuck`, `nack_next`, `power_cycle()`."""

    def __init__(
        self, supply: Supply, chip: Chip, clock: Clock, rng: random.Random, address: int = 0x40
    ) -> None:
        self._supply = supply
        self._chip = chip
        self._clock = clock
        self._rng = rng
        self._address = address
        self.absent = False
        self.stuck = False
        self.nack_next = 0
        self._closed = False
        self.power_cycle()

    def power_cycle(self) -> None:
        """The chip loses its supply and starts again with power-on values."""
        self._calibration = 0
        self._shunt = self._bus = 0
        self._ready = False
        self._overflow = False
        self._configure(reg.POR_CONFIG)

    def read(self, address: int, registers: Sequence[int]) -> tuple[int, ...]:
        """See `bus.Bus.read`."""
        self._touch(address)
        words = []
        for register in registers:
            self._pass(3)
            words.append(self._word(register))
        return tuple(words)

    def write(self, address: int, register: int, value: int) -> None:
        """See `bus.Bus.write`."""
        self._touch(address)
        self._pass(2)
        if register == reg.CONFIG:
            if value & reg.RESET_BIT:
                self.power_cycle()
            else:
                self._convert()
                self._configure(value & 0xBFFF)
        elif register == reg.CALIBRATION:
            self._calibration = value & 0xFFFE  # bit 0 is void; section 8.6.4.1

    def close(self) -> None:
        """See `bus.Bus.close`."""
        self._closed = True

    # --- the wire ------------------------------------------------------------------------------

    def _touch(self, address: int) -> None:
        if self._closed or self.stuck:
            msg = "simulated I2C bus hangs" if self.stuck else "simulated I2C bus is closed"
            raise SensorBusError(msg)
        if self.absent or address != self._address:
            msg = f"simulated I2C bus: nobody answers at 0x{address:02x}"
            raise SensorAbsentError(msg)
        if self.nack_next > 0:
            self.nack_next -= 1
            msg = "simulated I2C bus: a byte was not acknowledged"
            raise SensorBusError(msg)

    def _pass(self, byte_count: int) -> None:
        if self._chip.transfer_s:
            self._clock.sleep(self._chip.transfer_s * byte_count / 3)

    # --- the chip ------------------------------------------------------------------------------

    def _configure(self, word: int) -> None:
        config = reg.decode_config(word)
        self._config_word = word
        self._config = config
        ratio = self._chip.clock_ratio
        self._shunt_s = config.shunt_s * ratio
        self._cycle_s = (config.shunt_s + config.bus_s) * ratio
        self._start_s = self._clock.now_s()
        self._shunt_done = self._bus_done = 0
        if config.converts:  # power-down and ADC-off leave the flag as it is; section 8.6.3.2
            self._ready = False

    def _cycles(self, now_s: float, part_s: float) -> int:
        """How many times the part of a cycle that ends `part_s` after its start is complete."""
        if not self._config.converts or self._cycle_s <= 0.0:
            return 0
        count = max(0, int((now_s - self._start_s - part_s) / self._cycle_s + 1.0))
        return count if self._config.mode & reg.MODE_CONTINUOUS_BIT else min(count, 1)

    def _convert(self) -> None:
        """Bring both data registers up to now; only the newest conversion of each is worth asking for."""
        now_s = self._clock.now_s()
        spans: list[Span] = []
        mode = self._config.mode
        shunts = self._cycles(now_s, self._shunt_s) if mode & reg.MODE_SHUNT_BIT else 0
        buses = self._cycles(now_s, self._cycle_s) if mode & reg.MODE_BUS_BIT else 0
        if shunts > self._shunt_done:
            begin_s = self._start_s + (shunts - 1) * self._cycle_s
            spans.append((begin_s, begin_s + self._shunt_s))
        if buses > self._bus_done:
            begin_s = self._start_s + (buses - 1) * self._cycle_s + self._shunt_s
            spans.append((begin_s, self._start_s + buses * self._cycle_s))
        if not spans:
            return
        seen = self._supply.means(spans)
        self._ready = self._ready or buses > self._bus_done or not mode & reg.MODE_BUS_BIT
        if shunts > self._shunt_done:
            self._shunt_done = shunts
            self._shunt = self._quantise_shunt(seen[0][1])
        if buses > self._bus_done:
            self._bus_done = buses
            self._bus = self._quantise_bus(seen[-1][0])
        current = self._shunt * self._calibration // 4096  # section 8.5.2
        self._overflow = abs(current) > 0x7FFF or abs(current) * self._bus // 5000 > 0xFFFF

    def _quantise_shunt(self, current_a: float) -> int:
        chip, code = self._chip, self._config.shunt_adc
        volts = current_a * chip.shunt_ohm * (1.0 + chip.gain_shunt) + chip.offset_v
        return self._quantise(
            volts, _SHUNT_NOISE_V, reg.SHUNT_STEP_V, code, reg.SHUNT_FULL_COUNTS[self._config.pga]
        )

    def _quantise_bus(self, voltage_v: float) -> int:
        full = reg.BUS_FULL_COUNTS[self._config.wide]
        volts = voltage_v * (1.0 + self._chip.gain_bus)
        return max(0, self._quantise(volts, _BUS_NOISE_V, reg.BUS_STEP_V, self._config.bus_adc, full))

    def _quantise(self, volts: float, noise_v: float, step_v: float, code: int, full: int) -> int:
        count = reg.averages(code)
        coarse = 1 << (12 - reg.resolution_bits(code))
        noise = self._rng.gauss(0.0, noise_v * coarse * self._chip.noise / count**0.5)
        counts = round((volts + noise) / (step_v * coarse)) * coarse
        return max(-full, min(full, counts))

    def _word(self, register: int) -> int:
        if register == reg.CONFIG:
            return self._config_word
        if register not in {reg.SHUNT, reg.BUS, reg.POWER, reg.CURRENT}:
            return self._calibration if register == reg.CALIBRATION else 0
        self._convert()
        if register == reg.SHUNT:
            return reg.unsigned(self._shunt)
        if register == reg.BUS:
            ready = reg.CNVR if self._ready else 0
            return self._bus << 3 | ready | (reg.OVF if self._overflow else 0)
        current = self._shunt * self._calibration // 4096
        if register == reg.CURRENT:
            return reg.unsigned(max(-0x8000, min(0x7FFF, current)))
        self._ready = False
        return abs(current) * self._bus // 5000 & 0xFFFF
