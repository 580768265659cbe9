"""Collects fresh samples into windows of about a second. Pure: samples in, windows out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firmware_py.energy.integrate import MIN_SAMPLES, Cycles, EnergyEstimate, Span, align, integrate
from firmware_py.energy.meters.base import Accuracy, Cadence, Capabilities, Pace, Sample

WINDOW_S = 1.0
SHORTEST_S = 0.3  # a window that a change of pace cuts shorter is dropped
_OVERLAP = 2  # samples handed on: the cycle that crosses the border belongs to both windows


@dataclass(frozen=True, slots=True)
class Window:
    """A closed window: gross joules with budget, and the samples they came from."""

    gross: EnergyEstimate
    cycles: Cycles
    cadence: Cadence
    accuracy: Accuracy

    def part(self, spans: Sequence[Span]) -> EnergyEstimate:
        """Joules of stretches of this window (disjoint, in order).

        Raises:
            SensorBusError: too few samples lie in them.
            SensorRangeError: one of them is at full scale.
        """
        return integrate(self.cycles, spans, self.cadence, self.accuracy)


class WindowBuilder:
    """One window at a time; the next begins where the last ended, or after a stop where samples go on."""

    def __init__(self, capabilities: Capabilities) -> None:
        self._capabilities = capabilities
        self._cadence = capabilities.idle
        self._begin_s = 0.0
        self._samples: list[Sample] = []

    def begin(self, at_s: float, pace: Pace) -> None:
        """Forget everything and begin at a monotonic second."""
        self._cadence = self._capabilities.cadence(pace)
        self._begin_s = at_s
        self._samples = []

    def add(self, sample: Sample) -> bool:
        """Take a sample; True when it completes the window, which must then be closed."""
        self._samples.append(sample)
        return sample.at_s >= self._begin_s + WINDOW_S

    def close(self) -> Window:
        """The finished window; the next one begins at its end, or at the newest sample if that is far past it.

        Raises:
            SensorRangeError: a sample was at full scale.
            SensorBusError: too few samples.
        """
        return self._close(self._begin_s + WINDOW_S)

    def cut(self) -> Window | None:
        """What there is so far as a shorter window; None if it is too short. Raises as `close`."""
        least_s = max(SHORTEST_S, (MIN_SAMPLES + 1) * self._cadence.period_s)
        if not self._samples or self._samples[-1].at_s - self._begin_s < least_s:
            return None
        return self._close(self._samples[-1].at_s)

    def _close(self, end_s: float) -> Window:
        samples, span = self._samples, Span(self._begin_s, end_s)
        newest_s = samples[-1].at_s
        if newest_s > end_s + WINDOW_S:  # the process stood still: windows without a sample are not owed
            self._begin_s, self._samples = newest_s, []
        else:
            self._begin_s, self._samples = end_s, samples[-_OVERLAP:]
        accuracy = self._capabilities.accuracy
        cycles = align(samples, self._cadence)
        return Window(integrate(cycles, [span], self._cadence, accuracy), cycles, self._cadence, accuracy)
