"""The smbus2 door: bytes on the wire, and foreign errors translated."""

from __future__ import annotations

import errno
import random
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import SensorAbsentError, SensorBusError
from firmware_py.energy import ina219_registers as reg
from firmware_py.energy.bus import LateBus, LinuxBus
from firmware_py.energy.simulated_bus import Chip, SimulatedBus, Span


class Message:
    """As smbus2's i2c_msg: an address, a direction, bytes."""

    def __init__(self, address: int, data: bytearray, *, is_read: bool) -> None:
        self.address, self.data, self.is_read = address, data, is_read

    @classmethod
    def read(cls, address: int, length: int) -> Message:
        return cls(address, bytearray(length), is_read=True)

    @classmethod
    def write(cls, address: int, data: Sequence[int]) -> Message:
        return cls(address, bytearray(data), is_read=False)

    def __bytes__(self) -> bytes:
        return bytes(self.data)


class Steady:
    def means(self, spans: Sequence[Span]) -> list[tuple[float, float]]:
        return [(5.0, -0.2)] * len(spans)


class Adapter:
    """A kernel adapter in front of the simulated chip; fails with `error` when that is set."""

    error: int | None = None
    clock = VirtualClock()

    def __init__(self, number: int) -> None:
        if number != 1:
            raise FileNotFoundError(errno.ENOENT, "no such bus")
        self.chip = SimulatedBus(Steady(), Chip(0.1, noise=0.0), self.clock, random.Random(0))
        self.pointer = 0

    def i2c_rdwr(self, *messages: Message) -> None:
        if self.error is not None:
            raise OSError(self.error, "as the kernel says")
        for message in messages:
            if message.is_read:
                (word,) = self.chip.read(message.address, (self.pointer,))
                message.data[:] = word.to_bytes(2, "big")
            else:
                self.pointer = message.data[0]
                if len(message.data) == 3:
                    self.chip.write(message.address, self.pointer, int.from_bytes(message.data[1:], "big"))

    def close(self) -> None:
        pass


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "smbus2", SimpleNamespace(SMBus=Adapter, i2c_msg=Message))
    monkeypatch.setattr(Adapter, "error", None)
    return Adapter


def test_registers_are_big_endian_both_ways(adapter: Any) -> None:
    bus = LinuxBus(1)
    assert bus.read(0x40, (reg.CONFIG,)) == (0x399F,)
    bus.write(0x40, reg.CONFIG, 0x0117)
    adapter.clock.advance(1.0)
    config, shunt = bus.read(0x40, (reg.CONFIG, reg.SHUNT))
    assert config == 0x0117
    assert reg.signed(shunt) == -2000
    bus.close()
    bus.close()
    with pytest.raises(SensorBusError, match="closed"):
        bus.read(0x40, (reg.CONFIG,))


@pytest.mark.parametrize(
    ("number", "expected", "text"),
    [
        (errno.ENXIO, SensorAbsentError, "nobody answers"),
        (errno.EREMOTEIO, SensorAbsentError, "nobody answers"),
        (errno.EIO, SensorBusError, "failed"),
        (errno.ETIMEDOUT, SensorBusError, "hangs"),
        (errno.EACCES, SensorAbsentError, "permission"),
    ],
)
def test_kernel_errors_become_ours(
    adapter: Any, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception], text: str
) -> None:
    bus = LinuxBus(1)
    monkeypatch.setattr(adapter, "error", number)
    with pytest.raises(expected, match=text) as caught:
        bus.read(0x40, (reg.CONFIG,))
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.usefixtures("adapter")
def test_a_bus_that_is_not_there_is_an_absent_sensor() -> None:
    with pytest.raises(SensorAbsentError, match="I2C bus 7"):
        LinuxBus(7)


def test_without_smbus2_the_sensor_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smbus2", None)
    with pytest.raises(SensorAbsentError, match="smbus2 is not installed"):
        LinuxBus(1)


def test_the_real_library_has_the_form_that_the_door_uses() -> None:
    smbus2 = pytest.importorskip("smbus2")
    assert bytes(smbus2.i2c_msg.read(0x40, 2)) == b"\x00\x00"
    assert list(smbus2.i2c_msg.write(0x40, (0, 0x39, 0x9F))) == [0, 0x39, 0x9F]
    with pytest.raises(SensorAbsentError):
        LinuxBus(250)


def test_a_late_bus_is_opened_by_a_transfer_and_anew_after_nobody_answered(
    adapter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that failed without being gone is kept: the driver's next transfer goes over it."""
    number, opened = 7, []

    def open_bus() -> LinuxBus:
        opened.append(LinuxBus(number))
        return opened[-1]

    bus = LateBus(open_bus)
    for transfer in (lambda: bus.read(0x40, (reg.CONFIG,)), lambda: bus.write(0x40, reg.CONFIG, 0x0117)):
        with pytest.raises(SensorAbsentError, match="I2C bus 7"):
            transfer()
    number = 1
    bus.write(0x40, reg.CONFIG, 0x0117)
    assert bus.read(0x40, (reg.CONFIG,)) == (0x0117,)
    for error, buses in ((errno.EIO, 1), (errno.ENXIO, 1), (errno.ENXIO, 2)):
        monkeypatch.setattr(adapter, "error", error)
        with pytest.raises((SensorAbsentError, SensorBusError)):
            bus.read(0x40, (reg.CONFIG,))
        assert len(opened) == buses
    monkeypatch.setattr(adapter, "error", None)
    assert bus.read(0x40, (reg.CONFIG,)) == (0x399F,), "the test's adapter has a fresh chip each time"
    with pytest.raises(SensorBusError, match="closed"):
        opened[0].read(0x40, (reg.CONFIG,))
    bus.close()
    bus.close()
    for used in (bus, opened[-1]):
        with pytest.raises(SensorBusError, match="closed"):
            used.read(0x40, (reg.CONFIG,))
    assert len(opened) == 3
