"""The suite that every Meter passes: subclass it and give a `meter_bench` fixture.

It runs on the INA219 driver over a simulated bus and a real one, and on a replayed trace.
"""

# ruff: noqa: D102, S101 - a test suite: names say what is proved, and it asserts

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from firmware_py.contracts.clock import Clock
from firmware_py.energy.integrate import Span, align, integrate
from firmware_py.energy.meters.base import Meter, Pace, Sample

PACES = (Pace.IDLE, Pace.BUSY)


@dataclass(frozen=True, slots=True)
class MeterBench:
    """A meter and the clock that it runs by."""

    meter: Meter
    clock: Clock


def collect(bench: MeterBench, duration_s: float) -> list[Sample]:
    """Read whenever due for some seconds."""
    meter, clock = bench.meter, bench.clock
    samples = []
    end_s = clock.now_s() + duration_s
    while clock.now_s() < end_s:
        clock.sleep(min(meter.due_s, end_s) - clock.now_s())
        if (sample := meter.read()) is not None:
            samples.append(sample)
    return samples


class MeterContract:
    """What the watch relies on."""

    def test_it_says_what_it_is(self, meter_bench: MeterBench) -> None:
        facts = meter_bench.meter.capabilities
        assert facts.source
        for pace in PACES:
            assert facts.cadence(pace).rate_hz > 0.0
            assert 0.0 < facts.cadence(pace).duty <= 1.0
        assert facts.idle.rate_hz <= facts.busy.rate_hz
        assert facts.accuracy.gain >= 0.0

    @pytest.mark.parametrize("pace", PACES)
    def test_samples_come_at_its_cadence(self, meter_bench: MeterBench, pace: Pace) -> None:
        meter_bench.meter.start(pace)
        cadence = meter_bench.meter.capabilities.cadence(pace)
        samples = collect(meter_bench, 40.0 * cadence.period_s)
        assert 30 <= len(samples) <= 46  # a converter's clock may be a tenth off, and hosts miss some

    @pytest.mark.parametrize("pace", PACES)
    def test_stamps_rise_and_lie_in_the_past(self, meter_bench: MeterBench, pace: Pace) -> None:
        meter_bench.meter.start(pace)
        samples = collect(meter_bench, 20.0 * meter_bench.meter.capabilities.cadence(pace).period_s)
        stamps = [sample.at_s for sample in samples]
        assert stamps == sorted(set(stamps))
        assert stamps[-1] <= meter_bench.clock.now_s()

    def test_a_sample_is_delivered_once(self, meter_bench: MeterBench) -> None:
        meter_bench.meter.start(Pace.IDLE)
        cadence = meter_bench.meter.capabilities.idle
        assert len(collect(meter_bench, 3.5 * cadence.period_s)) >= 2
        clock, meter = meter_bench.clock, meter_bench.meter
        while meter.read() is None:
            clock.sleep(max(meter.due_s - clock.now_s(), 1e-4))
        assert meter.read() is None

    def test_start_forgets_what_was_not_read(self, meter_bench: MeterBench) -> None:
        meter_bench.meter.start(Pace.BUSY)
        meter_bench.clock.sleep(5.0 * meter_bench.meter.capabilities.busy.period_s)
        meter_bench.meter.start(Pace.IDLE)
        assert meter_bench.meter.read() is None

    def test_the_next_sample_is_due_within_two_cycles(self, meter_bench: MeterBench) -> None:
        meter_bench.meter.start(Pace.BUSY)
        cadence = meter_bench.meter.capabilities.busy
        collect(meter_bench, 10.0 * cadence.period_s)
        assert meter_bench.meter.due_s <= meter_bench.clock.now_s() + 2.0 * cadence.period_s

    def test_values_are_finite_or_flagged(self, meter_bench: MeterBench) -> None:
        meter_bench.meter.start(Pace.BUSY)
        samples = collect(meter_bench, 20.0 * meter_bench.meter.capabilities.busy.period_s)
        for sample in samples:
            assert math.isfinite(sample.voltage_v * sample.current_a) != sample.over_range

    def test_a_window_of_its_samples_integrates(self, meter_bench: MeterBench) -> None:
        meter_bench.meter.start(Pace.BUSY)
        facts = meter_bench.meter.capabilities
        begin_s = meter_bench.clock.now_s() + 2.0 * facts.busy.period_s
        samples = collect(meter_bench, 60.0 * facts.busy.period_s)
        span = Span(begin_s, begin_s + 50.0 * facts.busy.period_s)
        energy = integrate(align(samples, facts.busy), [span], facts.busy, facts.accuracy)
        assert energy.energy_j > 0.0
        assert 0.0 < energy.u95_j < 0.2 * energy.energy_j

    def test_it_is_as_it_was_set_up(self, meter_bench: MeterBench) -> None:
        for pace in PACES:
            meter_bench.meter.start(pace)
            meter_bench.meter.check()

    def test_close_may_be_called_twice(self, meter_bench: MeterBench) -> None:
        meter_bench.meter.close()
        meter_bench.meter.close()
