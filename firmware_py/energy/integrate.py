"""Joules of a window from fresh samples, with an uncertainty budget. Pure.

Energy is the mean power of the cycles inside the window times its length on the host's clock. Which
cycle lies where follows from regressing the samples' stamps on their conversion index: a host that was
late for one sample does not move its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median

from firmware_py.contracts.errors import SensorBusError, SensorRangeError
from firmware_py.contracts.records import record
from firmware_py.energy.meters.base import Accuracy, Cadence, Capabilities, Sample
from firmware_py.energy.uncertainty import Part, effective_dof, half_width95

MIN_SAMPLES = 6
MIN_COVERAGE = 0.6  # of the window's length; below, the host slept through too much of it
MAX_RELATIVE_U95 = 0.20
_BEFORE_S, _BEHIND_S = 5e-3, 1e-2  # of a span: samples whose cycles may reach into it; stamps are late
_SHORTEST_LOAD_S = 5e-4  # no stage of a shipped model, nor a scheduler's burst, is shorter than this


@record(frozen=True, slots=True)
class Span:
    """A stretch of monotonic seconds."""

    begin_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """Seconds from begin to end."""
        return self.end_s - self.begin_s


@record(frozen=True, slots=True)
class EnergyEstimate:
    """Joules through the rail during `length_s` of `span`, with half-width of the 95 % interval and budget.

    `length_s` is shorter than the span where only stretches of it were asked for.
    """

    span: Span
    length_s: float
    energy_j: float
    u95_j: float
    parts: tuple[Part, ...]
    rate_hz: float
    samples: int
    coverage: float

    @property
    def power_w(self) -> float:
        """Mean power."""
        return self.energy_j / self.length_s

    @property
    def dof(self) -> float:
        """Effective degrees of freedom of the estimated (normal) parts."""
        return effective_dof(self.parts)

    @property
    def type_a_j(self) -> float:
        """Standard uncertainty of what differs from window to window (no gain, offset, shunt)."""
        return math.sqrt(sum(part.variance for part in self.parts if not part.rectangular))


def regress_ends(stamps_s: Sequence[float], nominal_s: float) -> tuple[list[int], float, float]:
    """Conversion index of each sample, period and end of index 0.

    A stamp is late by up to a poll, never early: the period is the least-squares slope, the origin the
    earliest stamp relative to it. Missed conversions leave gaps in the index.
    """
    index = [0]
    if len(stamps_s) > 2:
        middle_s = median(after_s - before_s for before_s, after_s in pairwise(stamps_s))
        period_s = middle_s if 0.8 * nominal_s < middle_s < 1.25 * nominal_s else nominal_s
    else:
        period_s = nominal_s
    for before_s, after_s in pairwise(stamps_s):
        index.append(index[-1] + max(1, round((after_s - before_s) / period_s)))
    count = len(index)
    if index[-1] > 0:
        mean_k = sum(index) / count
        mean_t = sum(stamps_s) / count
        spread = sum((k - mean_k) ** 2 for k in index)
        slope = sum((k - mean_k) * (t - mean_t) for k, t in zip(index, stamps_s, strict=True)) / spread
        if 0.5 * nominal_s < slope < 2.0 * nominal_s:
            period_s = slope
    origin_s = min(t - k * period_s for k, t in zip(index, stamps_s, strict=True))
    return index, period_s, origin_s


@record(frozen=True, slots=True)
class Cycles:
    """Samples laid on the time line: cycle i ended at `ends_s[i]` and took `period_s`."""

    samples: tuple[Sample, ...]
    ends_s: tuple[float, ...]
    period_s: float


def align(samples: Sequence[Sample], cadence: Cadence) -> Cycles:
    """Lay samples (fresh, in order, of one pace) on the time line.

    Raises:
        SensorBusError: insufficient samples.
    """
    if len(samples) < MIN_SAMPLES:
        msg = f"insufficient samples: {len(samples)} in a window, {MIN_SAMPLES} are the least"
        raise SensorBusError(msg)
    index, period_s, origin_s = regress_ends([sample.at_s for sample in samples], cadence.period_s)
    return Cycles(tuple(samples), tuple(origin_s + k * period_s for k in index), period_s)


def integrate(cycles: Cycles, spans: Sequence[Span], cadence: Cadence, accuracy: Accuracy) -> EnergyEstimate:
    """Gross joules of a window, or of stretches of it.

    Args:
        cycles: aligned samples; may reach beyond the spans on both sides.
        spans: what to integrate over: disjoint, in order.
        cadence: of the pace they were taken at.
        accuracy: of the meter.

    Raises:
        SensorRangeError: a sample within was at full scale: its value is unknown.
        SensorBusError: insufficient samples: too few, too sparse, or the interval is wider than 20 %.
    """
    seen: list[Sample] = []
    weights: list[float] = []
    weighted_v = weighted_a = 0.0
    for sample, end_s in zip(cycles.samples, cycles.ends_s, strict=True):
        begin_s = end_s - cycles.period_s
        weight = 0.0
        for span in spans:
            overlap_s = min(end_s, span.end_s) - max(begin_s, span.begin_s)
            if overlap_s > 0.0:
                weight += overlap_s
        if weight <= 0.0:
            continue
        if sample.over_range:
            msg = "a sample of the window stands at full scale"
            raise SensorRangeError(msg)
        seen.append(sample)
        weights.append(weight)
        weighted_v += weight * sample.voltage_v
        weighted_a += weight * sample.current_a
    seen_s, length_s = math.fsum(weights), math.fsum(span.length_s for span in spans)
    coverage = seen_s / length_s
    if len(seen) < MIN_SAMPLES or coverage < MIN_COVERAGE:
        msg = f"insufficient samples: {len(seen)} cover {coverage:.0%} of {length_s:.2f} s"
        raise SensorBusError(msg)
    power_w = math.fsum(w * s.voltage_v * s.current_a for w, s in zip(weights, seen, strict=True)) / seen_s
    means = _Means(power_w, weighted_v / seen_s, weighted_a / seen_s)
    unseen = max(0.0, 1.0 - cadence.duty * min(1.0, coverage))
    # What the samples do not show counts by how much of a load pulse the gap between them can hide.
    gap_s = unseen * cycles.period_s
    rows = _budget(means, seen, unseen * min(1.0, gap_s / _SHORTEST_LOAD_S), accuracy)
    parts = tuple(Part(row.name, row.size * length_s, row.rectangular, row.dof) for row in rows)
    energy_j = power_w * length_s
    u95_j = half_width95(parts)
    if u95_j > MAX_RELATIVE_U95 * abs(energy_j):
        msg = f"insufficient samples: the 95 % interval is +-{u95_j / max(abs(energy_j), 1e-12):.0%} wide"
        raise SensorBusError(msg)
    whole = Span(spans[0].begin_s, spans[-1].end_s)
    return EnergyEstimate(whole, length_s, energy_j, u95_j, parts, 1.0 / cycles.period_s, len(seen), coverage)


def energy_over(samples: Sequence[Sample], span: Span, meter: Capabilities) -> EnergyEstimate:
    """Gross joules of a span out of a whole record that was taken at the busy pace.

    Raises:
        SensorBusError: insufficient samples.
        SensorRangeError: a sample within was at full scale.
    """
    near = [one for one in samples if span.begin_s - _BEFORE_S < one.at_s < span.end_s + _BEHIND_S]
    return integrate(align(near, meter.busy), [span], meter.busy, meter.accuracy)


@record(frozen=True, slots=True)
class _Means:
    power_w: float
    voltage_v: float
    current_a: float


def _budget(means: _Means, samples: Sequence[Sample], unseen: float, accuracy: Accuracy) -> list[Part]:
    """Rows in watt.

    Type A: the samples are a systematic sample of the window. Its variance follows from successive
    differences with the finite population correction, here `unseen` (Wolter, Introduction to Variance
    Estimation, 2nd ed., section 8.2, estimator v2): batch means would count a burst as error although
    it was seen whole. Differences of one lag count each sample twice, hence 2(n-1)/3 degrees of freedom
    (von Neumann 1941). The correction holds for a load that is white below the gap between samples; one
    with pulses longer than the gap is seen better, by gap over pulse: `integrate` counts with the shortest.
    """
    count = len(samples)
    powers = [sample.voltage_v * sample.current_a for sample in samples]
    differences = math.fsum((b - a) ** 2 for a, b in pairwise(powers))
    variance = differences / (2.0 * (count - 1)) / count * unseen
    step_w = means.current_a * _rounding([sample.voltage_v for sample in samples], accuracy.step_v)
    step_w += means.voltage_v * _rounding([sample.current_a for sample in samples], accuracy.step_a)
    power_w = abs(means.power_w)
    return [
        Part("samples", math.sqrt(variance), dof=max(1.0, 2.0 * (count - 1) / 3.0)),
        Part("gain", accuracy.gain * power_w, rectangular=True),
        Part("offset", accuracy.offset_a * means.voltage_v, rectangular=True),
        Part("shunt", accuracy.shunt * power_w, rectangular=True),
        Part("resolution", abs(step_w), rectangular=True),
        Part("time base", accuracy.time_base * power_w, rectangular=True),
    ]


def _rounding(values: Sequence[float], step: float) -> float:
    """The most by which rounding to a step can shift a mean of many values.

    Half a step when all are alike; scatter of r steps (one standard deviation) shrinks it by
    exp(-2 pi² r²), the fundamental of the rounding error's characteristic function (Widrow and Kollár,
    Quantization Noise, 2008, chapter 4). The scatter of rounding itself is taken off first.
    """
    if step <= 0.0:
        return 0.0
    mean = fmean(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / len(values)
    scatter2 = max(0.0, variance / step**2 - 1.0 / 12.0)
    return 0.5 * step * math.exp(-2.0 * math.pi**2 * scatter2)
