"""The register map against the tables printed in TI SBOS448G."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_py.energy import ina219_registers as reg


def test_power_on_value_is_32_v_pga_8_12_bit_continuous() -> None:
    """Section 8.6.2.1: the defaults are shaded in the tables."""
    config = reg.decode_config(0x399F)
    assert config == reg.Config(wide=True, pga=3, bus_adc=3, shunt_adc=3, mode=7)
    assert config.encode() == reg.POR_CONFIG == 0b0011100110011111


@pytest.mark.parametrize(
    ("code", "bits", "count", "micro_s"),
    [
        (0b0000, 9, 1, 84), (0b0001, 10, 1, 148), (0b0010, 11, 1, 276), (0b0011, 12, 1, 532),
        (0b0100, 9, 1, 84), (0b0101, 10, 1, 148), (0b0110, 11, 1, 276), (0b0111, 12, 1, 532),
        (0b1000, 12, 1, 532), (0b1001, 12, 2, 1060), (0b1010, 12, 4, 2130), (0b1011, 12, 8, 4260),
        (0b1100, 12, 16, 8510), (0b1101, 12, 32, 17020), (0b1110, 12, 64, 34050), (0b1111, 12, 128, 68100),
    ],
)  # fmt: skip
def test_adc_settings(code: int, bits: int, count: int, micro_s: int) -> None:
    assert reg.resolution_bits(code) == bits
    assert reg.averages(code) == count
    assert reg.conversion_s(code) == pytest.approx(micro_s * 1e-6)


@pytest.mark.parametrize(("pga", "milli_v"), [(0, 40), (1, 80), (2, 160), (3, 320)])
def test_full_scale_of_the_shunt(pga: int, milli_v: int) -> None:
    assert reg.SHUNT_FULL_COUNTS[pga] * 10e-6 == pytest.approx(milli_v * 1e-3)


@pytest.mark.parametrize(
    ("volts", "word"), [(-0.320, 0x8300), (-0.02, 0xF830), (-1e-5, 0xFFFF), (0.32, 0x7D00), (0.0, 0)]
)
def test_examples_of_the_shunt_register(volts: float, word: int) -> None:
    """Section 8.6.3.1 works -320 mV out as 8300h; the table of full-scale words has 7D00h."""
    assert reg.signed(word) * reg.SHUNT_STEP_V == pytest.approx(volts, abs=1e-12)
    assert reg.unsigned(round(volts / reg.SHUNT_STEP_V)) == word


@given(st.integers(-0x8000, 0x7FFF))
def test_twos_complement_round_trip(value: int) -> None:
    assert reg.signed(reg.unsigned(value)) == value


@given(st.booleans(), st.integers(0, 3), st.integers(0, 15), st.integers(0, 15), st.integers(0, 7))
def test_config_round_trip(wide: bool, pga: int, bus_adc: int, shunt_adc: int, mode: int) -> None:
    config = reg.Config(wide, pga, bus_adc, shunt_adc, mode)
    assert reg.decode_config(config.encode()) == config
    assert config.encode() & ~0x3FFF == 0


def test_modes_tell_which_inputs_convert() -> None:
    def spans(mode: int) -> tuple[bool, bool, bool]:
        config = reg.Config(wide=False, pga=0, bus_adc=3, shunt_adc=3, mode=mode)
        return config.shunt_s > 0.0, config.bus_s > 0.0, config.converts

    assert spans(0) == (False, False, False)
    assert spans(1) == (True, False, True)
    assert spans(2) == (False, True, True)
    assert spans(3) == (True, True, True)
    assert spans(4) == (False, False, False)
    assert spans(5) == (True, False, True)
    assert spans(6) == (False, True, True)
    assert spans(7) == (True, True, True)
