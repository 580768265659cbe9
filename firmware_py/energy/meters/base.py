"""What every power meter offers: fresh samples of volt and ampere, and how far they may be off."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from types import TracebackType
from typing import NamedTuple, Self

from firmware_py.contracts.records import record


class Pace(Enum):
    """How often a meter delivers: `IDLE` is cheap to read, `BUSY` resolves single answers' bursts."""

    IDLE = "idle"
    BUSY = "busy"


class Sample(NamedTuple):
    """One fresh conversion.

    `at_s` is the host's monotonic second at which it was found ready (late by up to one poll).
    `voltage_v` and `current_a` are NaN when `over_range`: a saturated value is unknown, not large.
    """

    at_s: float
    voltage_v: float
    current_a: float
    over_range: bool = False


@record(frozen=True, slots=True)
class Cadence:
    """One pace of one meter: seconds between samples (nominal) and the share of them observed."""

    period_s: float
    duty: float

    @property
    def rate_hz(self) -> float:
        """Samples per second, nominal."""
        return 1.0 / self.period_s


@record(frozen=True, slots=True)
class Accuracy:
    """Maximum errors by specification, for the type B rows of an uncertainty budget.

    `gain_voltage`, `gain_current`, `shunt`: relative; `offset_a`: ampere; `step_v`, `step_a`: one
    quantisation step; `time_base`: relative error of the host clock that measures a window.
    """

    gain_voltage: float
    gain_current: float
    offset_a: float
    shunt: float
    step_v: float = 0.0
    step_a: float = 0.0
    time_base: float = 1e-4  # crystal of the board, far better in practice (tens of ppm)

    @property
    def gain(self) -> float:
        """Relative error of power that multiplies every sample: parts that share a cause add linearly."""
        return self.gain_voltage + self.gain_current


@record(frozen=True, slots=True)
class Capabilities:
    """What a meter is: its source name in replies, whether it is simulated, paces, accuracy."""

    source: str
    simulated: bool
    accuracy: Accuracy
    idle: Cadence
    busy: Cadence

    def cadence(self, pace: Pace) -> Cadence:
        """The cadence of one pace."""
        return self.idle if pace is Pace.IDLE else self.busy


class Meter(ABC):
    """A power meter. Not thread-safe: one thread owns it.

    Use: `start(pace)`, then again and again wait until `due_s` and `read()`; `check()` before the
    samples since `start` or the last `check` are believed.
    """

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this meter is and how good."""

    @property
    @abstractmethod
    def due_s(self) -> float:
        """The monotonic second from which the next `read` may find a fresh sample."""

    @abstractmethod
    def start(self, pace: Pace) -> None:
        """(Re)configure and begin to convert; forgets what was not read.

        Raises:
            SensorAbsentError: nothing answers.
            SensorBusError: the bus failed.
        """

    @abstractmethod
    def read(self) -> Sample | None:
        """The next fresh sample, or None when there is none yet. A sample is delivered once.

        Raises:
            SensorAbsentError: nothing answers.
            SensorBusError: the bus failed, or the sensor stopped converting.
        """

    @abstractmethod
    def check(self) -> None:
        """Make sure that the sensor still is as `start` set it up; sets it up again if not.

        Raises:
            SensorBusError: it was not (a brown-out, a foreign writer): samples so far are void.
            SensorAbsentError: nothing answers.
        """

    @abstractmethod
    def close(self) -> None:
        """Power down and release; a second call does nothing and nothing is raised."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
