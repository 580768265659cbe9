"""The I2C door: a protocol of 16-bit registers, and smbus2 behind it. Only this file touches smbus2."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from firmware_py.contracts.errors import SensorAbsentError, SensorBusError

# What Linux I2C adapters answer when nobody acknowledged the address, and when the bus hangs
# (Documentation/i2c/fault-codes.rst of the kernel).
_ABSENT = {errno.ENXIO, errno.EREMOTEIO, errno.ENODEV, errno.ENOENT}
_STUCK = {errno.ETIMEDOUT, errno.EBUSY, errno.EAGAIN}

T = TypeVar("T")


class Bus(Protocol):
    """16-bit big-endian registers behind a one-byte pointer, as TI's monitors have them."""

    def read(self, address: int, registers: Sequence[int]) -> tuple[int, ...]:
        """Read registers one after the other in one transaction.

        Raises:
            SensorAbsentError: nobody acknowledges the address, or the bus is not there.
            SensorBusError: the transfer failed or timed out.
        """

    def write(self, address: int, register: int, value: int) -> None:
        """Write one register; raises as `read` does."""

    def close(self) -> None:
        """Release the bus; a second call does nothing."""


class LateBus:
    """A bus that its first transfer opens, and the next one anew while nobody is there.

    A kernel module that loads after this process, or an adapter that is plugged in again, costs only the transfers
    until then. The caller sets the pauses between them.
    """

    def __init__(self, open_bus: Callable[[], Bus]) -> None:
        self._open = open_bus
        self._bus: Bus | None = None
        self._closed = False

    def read(self, address: int, registers: Sequence[int]) -> tuple[int, ...]:
        """See `Bus.read`."""
        return self._transfer(lambda bus: bus.read(address, registers))

    def write(self, address: int, register: int, value: int) -> None:
        """See `Bus.write`."""
        self._transfer(lambda bus: bus.write(address, register, value))

    def close(self) -> None:
        """See `Bus.close`."""
        self._closed = True
        self._leave()

    def _transfer(self, transfer: Callable[[Bus], T]) -> T:
        if self._closed:
            msg = "the I2C bus is closed"
            raise SensorBusError(msg)
        if self._bus is None:
            self._bus = self._open()
        try:
            return transfer(self._bus)
        except SensorAbsentError:
            self._leave()
            raise

    def _leave(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.close()


class LinuxBus:
    """`/dev/i2c-<n>` through smbus2: one ioctl per call, with repeated starts inside."""

    def __init__(self, number: int) -> None:
        try:
            import smbus2
        except ModuleNotFoundError as error:
            msg = "smbus2 is not installed: no I2C sensor can be read"
            raise SensorAbsentError(
                msg, hint='Install the device role (in a checkout: pip install ".[device]").'
            ) from error
        self._number = number
        self._message: Any = smbus2.i2c_msg
        try:
            self._bus: Any = smbus2.SMBus(number)
        except OSError as error:
            raise self._translate(error, None) from error

    def read(self, address: int, registers: Sequence[int]) -> tuple[int, ...]:
        """See `Bus.read`."""
        parts = []
        answers = []
        for register in registers:
            answer = self._message.read(address, 2)
            answers.append(answer)
            parts.append(self._message.write(address, (register,)))
            parts.append(answer)
        self._transfer(address, parts)
        return tuple(int.from_bytes(bytes(answer), "big") for answer in answers)

    def write(self, address: int, register: int, value: int) -> None:
        """See `Bus.write`."""
        self._transfer(address, [self._message.write(address, (register, value >> 8 & 0xFF, value & 0xFF))])

    def close(self) -> None:
        """See `Bus.close`."""
        if self._bus is not None:
            self._bus.close()
            self._bus = None

    def _transfer(self, address: int, parts: list[Any]) -> None:
        if self._bus is None:
            msg = f"I2C bus {self._number} is closed"
            raise SensorBusError(msg)
        try:
            self._bus.i2c_rdwr(*parts)
        except OSError as error:
            raise self._translate(error, address) from error

    def _translate(self, error: OSError, address: int | None) -> SensorAbsentError | SensorBusError:
        where = f"I2C bus {self._number}" + ("" if address is None else f", address 0x{address:02x}")
        name = errno.errorcode.get(error.errno or 0, "unknown error")
        if error.errno in _ABSENT:
            return SensorAbsentError(f"{where}: nobody answers ({name})")
        if error.errno in _STUCK:
            return SensorBusError(f"{where}: the bus hangs ({name})")
        if error.errno in {errno.EACCES, errno.EPERM}:
            return SensorAbsentError(f"{where}: no permission", hint="Add the user to the group i2c.")
        return SensorBusError(f"{where}: transfer failed ({name})")
