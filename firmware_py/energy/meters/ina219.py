"""The INA219, register by register, from its datasheet (TI SBOS448G; see `ina219_registers`).

Power is computed on the host from registers 01 and 02. Current and power registers are never used as
values (coarser, and they overflow); register 03 is only *read*, because that is what clears the
conversion-ready flag (section 8.6.3.2). The calibration register is set to its power-on value, 0, with
which current and power stay 0 (section 8.6.1, note 2): what another program left there would raise the math
overflow flag, and with it void samples that are good.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import ConfigError, SensorAbsentError, SensorBusError
from firmware_py.energy import ina219_registers as reg
from firmware_py.energy.bus import Bus
from firmware_py.energy.meters.base import Accuracy, Cadence, Capabilities, Meter, Pace, Sample

_LOG = logging.getLogger(__name__)

# (BADC, SADC) codes. The two inputs convert one after the other, so the shunt part takes most of a cycle.
IDLE_ADC = (3, 15)  # bus 12 bit, shunt x128: 14.6 Hz, shunt seen 99 % of the time
BUSY_ADC = (2, 10)  # bus 11 bit (276 us), shunt x4 (2.13 ms): 415 Hz, 377 Hz at the maximum time, seen 88 %
BUSY_ADC_SIMULATED = (2, 11)  # shunt x8: 220 Hz; each sample of a simulated chip asks another process
_POLLS_PER_PERIOD = 12  # a poll that comes too early is repeated after this fraction of a period
_EARLY, _EARLIER = 0.985, 0.87  # aim before the expected end: a poll that is always late cannot show it
_IDLE_EARLY = 0.998  # a wake-up costs more than a lost conversion is worth while nothing runs
_TRACKING = 0.05  # how fast the period estimate follows (the ADC clock is 10 % off at most)
_LEAST, _MOST = 2.0 - reg.CONVERSION_MAX_RATIO, reg.CONVERSION_MAX_RATIO
_TRACKED_CYCLES = 4  # after a longer gap the number of cycles in it is no longer certain
_SILENT_POLLS = 3 * _POLLS_PER_PERIOD  # so many polls in vain: the chip stopped

CALIBRATED_AT = 0.5  # of the maximum current, the least load at which to calibrate
# 75 ppm/K, the limit of Vishay's Power Metal Strip resistors WSL (10 to 100 mOhm, VMN-PL0407), times 40 K.
SHUNT_DRIFT = 3e-3


@dataclass(frozen=True, slots=True)
class Wiring:
    """How the chip is wired: address, shunt, the most current to carry, supply, and how good it is.

    `grade` is A or B; `over_temperature` takes the datasheet's limits for -25 to 85 degrees C instead
    of 25 degrees C; `shunt_tolerance` is relative. After a one-point calibration of the current, at no less than
    half of `max_current_a`, `reference_u95` is the reference's: half-width of its 95 % interval, relative.
    `busy_adc` is the pair of converter codes (bus, shunt) of the busy pace.
    """

    address: int
    shunt_ohm: float
    max_current_a: float
    supply_v: float
    grade: str = "A"
    over_temperature: bool = True
    shunt_tolerance: float = 0.01
    reference_u95: float | None = None
    busy_adc: tuple[int, int] = BUSY_ADC


def choose_pga(wiring: Wiring) -> int:
    """The finest PGA code whose full scale carries the board's maximum current.

    Raises:
        ConfigError: the shunt saturates the chip before the board's maximum, or the supply is too high.
    """
    if wiring.shunt_ohm <= 0.0 or wiring.max_current_a <= 0.0:
        msg = (
            f"shunt {wiring.shunt_ohm:g} ohm and maximum current {wiring.max_current_a:g} A must be positive"
        )
        raise ConfigError(msg)
    if wiring.supply_v > reg.BUS_ABSOLUTE_MAX_V:
        msg = f"{wiring.supply_v:g} V is above the INA219's absolute maximum of {reg.BUS_ABSOLUTE_MAX_V:g} V"
        raise ConfigError(msg, hint="Do not connect this rail; use a sensor for higher voltage.")
    drop_v = wiring.shunt_ohm * wiring.max_current_a
    for pga, full_v in enumerate(reg.SHUNT_FULL_V):
        if drop_v <= full_v * (1.0 + 1e-9):
            return pga
    msg = (
        f"a shunt of {wiring.shunt_ohm:g} ohm drops {drop_v * 1e3:.0f} mV at {wiring.max_current_a:g} A, "
        f"the INA219 reads {reg.SHUNT_FULL_V[3] * 1e3:.0f} mV at most"
    )
    ohm = reg.SHUNT_FULL_V[1] / wiring.max_current_a
    raise ConfigError(
        msg, hint=f"Wire a shunt of at most {ohm:.3f} ohm and set shunt_ohm in the board profile."
    )


def accuracy_of(wiring: Wiring) -> Accuracy:
    """The chip's maximum errors at this wiring (datasheet section 7.5, page 5).

    A calibration takes the current's gain and the shunt's tolerance away, both as they were on that day. It leaves
    what the reference did not know, the offset that the one point took for gain, and what warmth moves: the chip by
    as much as its limits over temperature are wider, the shunt by its coefficient. The volts keep their limit.
    """
    at = 1 if wiring.over_temperature else 0
    gain_current = reg.CURRENT_GAIN[wiring.grade][at]
    offset_a = reg.OFFSET_V[wiring.grade][choose_pga(wiring)] / wiring.shunt_ohm
    shunt = wiring.shunt_tolerance
    if wiring.reference_u95 is not None:
        gain_current -= reg.CURRENT_GAIN[wiring.grade][0]
        shunt = wiring.reference_u95 + offset_a / (CALIBRATED_AT * wiring.max_current_a) + at * SHUNT_DRIFT
    return Accuracy(
        gain_voltage=reg.BUS_GAIN[wiring.grade][at],
        gain_current=gain_current,
        offset_a=offset_a,
        shunt=shunt,
        step_v=reg.BUS_STEP_V * 2 ** (12 - reg.resolution_bits(wiring.busy_adc[0])),
        step_a=reg.SHUNT_STEP_V / wiring.shunt_ohm,
    )


def config_of(wiring: Wiring, pace: Pace) -> reg.Config:
    """Register 00 for a pace: continuous shunt and bus, finest range that carries the board."""
    bus_adc, shunt_adc = wiring.busy_adc if pace is Pace.BUSY else IDLE_ADC
    wide = wiring.supply_v * 1.05 > reg.BUS_FULL_V[0]
    return reg.Config(wide, choose_pga(wiring), bus_adc, shunt_adc, reg.MODE_SHUNT_BUS_CONTINUOUS)


class Ina219(Meter):
    """One INA219 on a bus, which it owns and closes."""

    def __init__(self, bus: Bus, wiring: Wiring, clock: Clock, *, simulated: bool = False) -> None:
        self._bus = bus
        self._clock = clock
        self._address = wiring.address
        self._shunt_ohm = wiring.shunt_ohm
        self._configs = {pace: config_of(wiring, pace) for pace in Pace}
        cadences = {
            pace: Cadence(c.shunt_s + c.bus_s, c.shunt_s / (c.shunt_s + c.bus_s))
            for pace, c in self._configs.items()
        }
        self._capabilities = Capabilities(
            "ina219", simulated, accuracy_of(wiring), cadences[Pace.IDLE], cadences[Pace.BUSY]
        )
        self._config = self._configs[Pace.IDLE]
        self._period_s = cadences[Pace.IDLE].period_s
        self._due_s = 0.0
        self._early = 0
        self._caught_s = 0.0
        self._nominal_s = self._period_s
        self._closed = False

    @property
    def capabilities(self) -> Capabilities:
        """See `Meter.capabilities`."""
        return self._capabilities

    @property
    def due_s(self) -> float:
        """See `Meter.due_s`."""
        return self._due_s

    def start(self, pace: Pace) -> None:
        """See `Meter.start`; writing the mode also clears a stale conversion-ready flag.

        The calibration goes first, so that no conversion after the mode is written still overflows.
        """
        self._config = self._configs[pace]
        self._period_s = self._nominal_s = self._capabilities.cadence(pace).period_s
        self._write_config()

    def read(self) -> Sample | None:
        """See `Meter.read`. A poll is one register; a sample two more: the shunt and the clearing read."""
        now_s = self._clock.now_s()
        (bus,) = self._bus.read(self._address, (reg.BUS,))
        if not bus & reg.CNVR:
            self._early += 1
            if self._early > _SILENT_POLLS:
                self._early = 0
                self.check()
                msg = f"INA219 at 0x{self._address:02x} stopped converting"
                raise SensorBusError(msg)
            self._due_s = now_s + self._period_s / _POLLS_PER_PERIOD
            return None
        shunt, _ = self._bus.read(self._address, (reg.SHUNT, reg.POWER))
        self._track(now_s)
        return self._sample(now_s, bus, reg.signed(shunt))

    def check(self) -> None:
        """See `Meter.check`: compares what was written; a chip that restarted stands at 0x399F."""
        word, calibration = self._bus.read(self._address, (reg.CONFIG, reg.CALIBRATION))
        if word == self._config.encode() and not calibration:
            return
        self._write_config()
        why = "it restarted by itself" if word == reg.POR_CONFIG else "somebody else configured it"
        had = f"configuration 0x{word:04x}, calibration 0x{calibration:04x}"
        msg = f"INA219 at 0x{self._address:02x} had {had}: {why}"
        raise SensorBusError(msg, hint="Check its supply; no other program may use this address.")

    def close(self) -> None:
        """See `Meter.close`."""
        if self._closed:
            return
        self._closed = True
        try:
            self._bus.write(self._address, reg.CONFIG, reg.MODE_POWER_DOWN)
        except (SensorAbsentError, SensorBusError) as error:
            _LOG.debug("INA219 not powered down: %s", error)
        self._bus.close()

    def _write_config(self) -> None:
        self._bus.write(self._address, reg.CALIBRATION, 0)
        self._bus.write(self._address, reg.CONFIG, self._config.encode())
        now_s = self._clock.now_s()
        self._early = 0
        self._caught_s = now_s
        self._due_s = now_s + self._period_s

    def _track(self, now_s: float) -> None:
        """Follow the chip's own clock, so that polls land just after its conversions.

        Only a conversion that a poll in vain preceded is known to be fresh: two such tell the period. A
        first poll that finds a sample may be late by any amount: aim earlier until one is not.
        """
        caught = self._early > 0
        if caught:
            past_s = now_s - self._caught_s
            cycles = max(1, round(past_s / self._period_s))
            if cycles <= _TRACKED_CYCLES:
                self._period_s += _TRACKING * (past_s / cycles - self._period_s)
                self._period_s = max(_LEAST * self._nominal_s, min(_MOST * self._nominal_s, self._period_s))
            self._caught_s = now_s
        early = _EARLY if caught else _EARLIER
        if self._config is self._configs[Pace.IDLE]:
            early = _IDLE_EARLY
        self._due_s = now_s + early * self._period_s
        self._early = 0

    def _sample(self, now_s: float, bus: int, shunt: int) -> Sample:
        config = self._config
        bus_counts = bus >> 3
        if (
            bus & reg.OVF
            or abs(shunt) >= reg.SHUNT_FULL_COUNTS[config.pga]
            or bus_counts >= reg.BUS_FULL_COUNTS[config.wide]
        ):
            return Sample(now_s, math.nan, math.nan, over_range=True)
        return Sample(now_s, bus_counts * reg.BUS_STEP_V, shunt * reg.SHUNT_STEP_V / self._shunt_ohm)
