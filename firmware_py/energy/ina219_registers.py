"""The INA219's register map as values: shared by the driver and the register-level simulator.

Source of every constant: Texas Instruments SBOS448G (August 2008, revised December 2015); the
section and page stand beside it. Tests compare them with the datasheet's printed tables.
"""

from __future__ import annotations

from dataclasses import dataclass

# Table of registers, section 8.6.1, page 18.
CONFIG, SHUNT, BUS, POWER, CURRENT, CALIBRATION = range(6)

POR_CONFIG = 0x399F  # section 8.6.2.1, page 19: 32 V, PGA /8, 12 bit, shunt and bus continuous
RESET_BIT = 0x8000  # RST, bit 15, self-clearing; section 8.6.2.1
CNVR = 0x0002  # conversion ready, bit 1 of register 02; section 8.6.3.2, page 23
OVF = 0x0001  # math overflow, bit 0 of register 02; section 8.6.3.2, page 23

SHUNT_STEP_V = 10e-6  # section 7.5 (DC accuracy), page 5
BUS_STEP_V = 4e-3  # section 7.5 (DC accuracy), page 5
SHUNT_FULL_COUNTS = (4000, 8000, 16000, 32000)  # +-40, 80, 160, 320 mV; section 8.6.3.1, pages 20-22
SHUNT_FULL_V = tuple(counts * SHUNT_STEP_V for counts in SHUNT_FULL_COUNTS)
BUS_FULL_COUNTS = (4000, 8000)  # 16 V, 32 V; section 8.6.3.2, page 23
BUS_FULL_V = tuple(counts * BUS_STEP_V for counts in BUS_FULL_COUNTS)
BUS_ABSOLUTE_MAX_V = 26.0  # section 7.1: never more on the pins, whatever BRNG says

# BADC/SADC codes and conversion seconds, section 8.6.2.1, page 20. Codes 4 to 7 mirror 0 to 3.
CONVERSION_S = {
    0: 84e-6, 1: 148e-6, 2: 276e-6, 3: 532e-6,
    8: 532e-6, 9: 1.06e-3, 10: 2.13e-3, 11: 4.26e-3,
    12: 8.51e-3, 13: 17.02e-3, 14: 34.05e-3, 15: 68.10e-3,
}  # fmt: skip
CONVERSION_MAX_RATIO = 586 / 532  # typical to maximum conversion time at 12 bit; section 7.5, page 5

# MODE codes, section 8.6.2.1, page 20.
MODE_POWER_DOWN = 0
MODE_ADC_OFF = 4
MODE_SHUNT_BIT = 1
MODE_BUS_BIT = 2
MODE_CONTINUOUS_BIT = 4
MODE_SHUNT_BUS_CONTINUOUS = 7

# Maximum errors, section 7.5, page 5: grade -> value. Gain at 25 degrees C and over -25 to 85 degrees C.
CURRENT_GAIN = {"A": (0.005, 0.010), "B": (0.003, 0.005)}
BUS_GAIN = {"A": (0.005, 0.010), "B": (0.005, 0.010)}
OFFSET_V = {"A": (100e-6, 125e-6, 150e-6, 200e-6), "B": (50e-6, 75e-6, 75e-6, 100e-6)}


@dataclass(frozen=True, slots=True)
class Config:
    """Register 00 in fields: `wide` = 32 V range, `pga` 0..3 = /1../8, ADC codes, mode code."""

    wide: bool
    pga: int
    bus_adc: int
    shunt_adc: int
    mode: int

    def encode(self) -> int:
        """The 16-bit word."""
        return self.wide << 13 | self.pga << 11 | self.bus_adc << 7 | self.shunt_adc << 3 | self.mode

    @property
    def shunt_s(self) -> float:
        """Typical seconds of the shunt part of one cycle; 0 when the mode leaves it out."""
        return conversion_s(self.shunt_adc) if self.mode & MODE_SHUNT_BIT else 0.0

    @property
    def bus_s(self) -> float:
        """Typical seconds of the bus part of one cycle; 0 when the mode leaves it out."""
        return conversion_s(self.bus_adc) if self.mode & MODE_BUS_BIT else 0.0

    @property
    def converts(self) -> bool:
        """Whether the mode converts anything (not power-down, not ADC off)."""
        return self.mode not in {MODE_POWER_DOWN, MODE_ADC_OFF}


def decode_config(word: int) -> Config:
    """Register 00 as fields; bit 14 has no meaning and bit 15 never reads as 1."""
    return Config(bool(word >> 13 & 1), word >> 11 & 3, word >> 7 & 15, word >> 3 & 15, word & 7)


def conversion_s(code: int) -> float:
    """Typical conversion seconds of an ADC code (codes 4 to 7 mirror 0 to 3: bit 2 is don't-care)."""
    return CONVERSION_S[code if code & 8 else code & 3]


def averages(code: int) -> int:
    """How many 12-bit conversions an ADC code averages (1 for the plain resolutions)."""
    return 1 << (code & 7) if code & 8 else 1


def resolution_bits(code: int) -> int:
    """Bits of one conversion: 9 to 12; averaging modes convert at 12."""
    return 12 if code & 8 else 9 + (code & 3)


def signed(word: int) -> int:
    """A 16-bit two's complement word as an integer; the sign bits of every PGA setting extend it."""
    return word - 0x10000 if word & 0x8000 else word


def unsigned(value: int) -> int:
    """An integer within +-32767 as a 16-bit two's complement word."""
    return value & 0xFFFF
