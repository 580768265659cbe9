"""Joules of windows against closed forms, with what hosts and sensors do to samples."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from firmware_py.contracts.errors import SensorBusError, SensorRangeError
from firmware_py.energy.baseline import Baseline, Idle, net_of
from firmware_py.energy.integrate import EnergyEstimate, Span, _rounding, align, integrate, regress_ends
from firmware_py.energy.meters.base import Accuracy, Cadence, Sample

CADENCE = Cadence(0.0025, 0.9)
EXACT = Accuracy(0.0, 0.0, 0.0, 0.0, time_base=0.0)
GRADE_A = Accuracy(0.005, 0.005, 2e-3, 0.001)


def samples_of(
    power: Callable[[float], float], end_s: float, late_s: Callable[[int], float] = lambda _: 0.0
) -> list[Sample]:
    """Cycle means of a power at 5 V, stamped at the cycle's end plus a lateness."""
    count = round(end_s / CADENCE.period_s)
    out = []
    for k in range(1, count + 1):
        at_s = k * CADENCE.period_s
        mean = sum(power(at_s - CADENCE.period_s * (i + 0.5) / 20) for i in range(20)) / 20
        out.append(Sample(at_s + late_s(k), 5.0, mean / 5.0))
    return out


def over(samples: list[Sample], *spans: Span, accuracy: Accuracy = EXACT) -> EnergyEstimate:
    return integrate(align(samples, CADENCE), spans, CADENCE, accuracy)


def test_constant_power_is_power_times_time() -> None:
    found = over(samples_of(lambda _: 3.0, 1.2), Span(0.1, 1.1))
    assert found.energy_j == pytest.approx(3.0, rel=1e-9)
    assert found.u95_j == pytest.approx(0.0, abs=1e-9)
    assert found.rate_hz == pytest.approx(400.0)
    assert found.coverage == pytest.approx(1.0)


def test_a_ramp_integrates_to_its_closed_form() -> None:
    """P(t) = 2 + 3t over [0.1, 1.1]: 2 + 3 (1.1² - 0.1²) / 2 = 3.8 J."""
    assert over(samples_of(lambda t: 2.0 + 3.0 * t, 1.2), Span(0.1, 1.1)).energy_j == pytest.approx(
        3.8, rel=1e-4
    )


def test_a_sine_integrates_to_its_closed_form() -> None:
    def power(t: float) -> float:
        return 3.0 + math.sin(2.0 * math.pi * 7.0 * t)

    begin_s, end_s = 0.101, 0.817
    exact = 3.0 * (end_s - begin_s) - (math.cos(14 * math.pi * end_s) - math.cos(14 * math.pi * begin_s)) / (
        14 * math.pi
    )
    assert over(samples_of(power, 1.0), Span(begin_s, end_s)).energy_j == pytest.approx(exact, rel=1e-3)


def test_border_cycles_count_by_their_share() -> None:
    """A step in the middle of a cycle, seen from windows that end around it."""
    samples = samples_of(lambda t: 1.0 if t < 0.5 else 3.0, 1.0)
    assert over(samples, Span(0.25, 0.5)).energy_j == pytest.approx(0.25)
    assert over(samples, Span(0.5, 0.75)).energy_j == pytest.approx(0.75)
    assert over(samples, Span(0.2513, 0.7513)).energy_j == pytest.approx(0.2487 + 3 * 0.2513, rel=1e-3)


def test_stretches_of_a_window_add_up() -> None:
    samples = samples_of(lambda t: 1.0 + t, 1.0)
    parts = [Span(0.1, 0.2), Span(0.4, 0.7)]
    both = over(samples, *parts)
    assert both.energy_j == pytest.approx(sum(over(samples, part).energy_j for part in parts), rel=1e-3)
    assert both.length_s == pytest.approx(0.4)


def test_late_stamps_do_not_move_cycles() -> None:
    """The host is late by up to 0.2 ms, now and then by one millisecond: the regression finds the grid."""
    rng = random.Random(3)

    def late(_: int) -> float:
        return rng.uniform(0.0, 2e-4) + (1e-3 if rng.random() < 0.02 else 0.0)

    samples = samples_of(lambda t: 1.0 if t < 0.5 else 3.0, 1.0, late)
    assert over(samples, Span(0.25, 0.75)).energy_j == pytest.approx(1.0, rel=2e-3)


def test_the_converters_clock_is_found_from_the_stamps() -> None:
    stamps = [0.0027 * k + 1e-5 * (k % 3) for k in range(1, 200) if k % 17]
    index, period_s, origin_s = regress_ends(stamps, 0.0025)
    assert period_s == pytest.approx(0.0027, rel=1e-3)
    assert index[-1] == 198
    assert origin_s == pytest.approx(0.0027, abs=3e-5)


def test_missed_conversions_leave_gaps_that_the_mean_spans() -> None:
    samples = [s for k, s in enumerate(samples_of(lambda _: 2.0, 1.2)) if k % 4]
    found = over(samples, Span(0.1, 1.1))
    assert found.coverage == pytest.approx(0.75, abs=0.01)
    assert found.energy_j == pytest.approx(2.0)


def test_too_little_is_refused() -> None:
    samples = samples_of(lambda _: 2.0, 1.2)
    with pytest.raises(SensorBusError, match="insufficient samples"):
        over(samples[:5], Span(0.0, 0.012))
    with pytest.raises(SensorBusError, match="insufficient samples"):
        over(samples[:100] + samples[-100:], Span(0.0, 1.2))
    with pytest.raises(SensorBusError, match="insufficient samples"):
        over(samples, Span(5.0, 6.0))


def test_an_interval_over_20_percent_is_refused() -> None:
    samples = samples_of(lambda _: 0.03, 1.2)
    with pytest.raises(SensorBusError, match="wide"):
        over(samples, Span(0.1, 1.1), accuracy=GRADE_A)


def test_a_saturated_sample_voids_its_window_only() -> None:
    samples = samples_of(lambda _: 2.0, 1.2)
    samples[300] = Sample(samples[300].at_s, math.nan, math.nan, over_range=True)
    with pytest.raises(SensorRangeError):
        over(samples, Span(0.1, 1.1))
    assert over(samples, Span(0.1, 0.7)).energy_j == pytest.approx(1.2)


def test_gain_of_volt_and_ampere_add_linearly() -> None:
    found = over(samples_of(lambda _: 3.0, 1.2), Span(0.1, 1.1), accuracy=Accuracy(0.005, 0.005, 0.0, 0.0))
    assert found.u95_j == pytest.approx(0.95 * 0.01 * 3.0, rel=0.01)
    assert {part.name for part in found.parts} == {
        "samples",
        "gain",
        "offset",
        "shunt",
        "resolution",
        "time base",
    }


@pytest.mark.parametrize(("pulse_s", "low", "high"), [(5e-4, 0.5, 1.4), (1.5e-3, 0.0, 1.0)])
def test_the_sampling_error_is_of_the_size_that_is_claimed(pulse_s: float, low: float, high: float) -> None:
    """Pulses seen 90 % of the time: type A fits the shortest, and is on the safe side for longer ones."""
    errors, claims = [], []
    steps = round(pulse_s / 2.5e-4)
    for seed in range(80):
        rng = random.Random(seed)
        fine = [1.0] * 4800
        for _ in range(400):
            at = rng.randrange(4800 - steps)
            fine[at : at + steps] = [3.0] * steps
        samples = [Sample((k + 1) * 0.0025, 5.0, sum(fine[k * 10 : k * 10 + 9]) / 45.0) for k in range(480)]
        found = over(samples, Span(0.1, 1.1))
        errors.append(found.energy_j - sum(fine[400:4400]) * 2.5e-4)
        claims.append(found.type_a_j)
    actual = math.sqrt(sum(error**2 for error in errors) / len(errors))
    assert low < actual / (sum(claims) / len(claims)) < high


def test_rounding_shifts_a_mean_unless_scatter_hides_it() -> None:
    rng = random.Random(0)
    assert _rounding([0.5] * 50, 0.008) == pytest.approx(0.004)
    for true_v in (0.5011, 0.5033, 0.5057):
        rounded = [round(rng.gauss(true_v, 0.004) / 0.008) * 0.008 for _ in range(4000)]
        assert abs(sum(rounded) / 4000 - true_v) <= _rounding(rounded, 0.008) + 4 * 0.0045 / 4000**0.5
    assert _rounding(rounded, 0.008) < 2e-4
    assert _rounding([1.0, 2.0], 0.0) == 0.0


def test_idle_draw_is_the_mean_of_its_neighbourhood() -> None:
    baseline = Baseline()
    assert baseline.at(0.0) is None
    samples = samples_of(lambda t: 2.0 if t < 5.0 else 4.0, 10.0)
    for begin_s in (0.1, 1.1, 2.1, 3.1):
        baseline.learn(over(samples, Span(begin_s, begin_s + 1.0)))
    idle = baseline.at(2.0)
    assert idle is not None
    assert idle.power_w == pytest.approx(2.0)
    far = baseline.at(300.0)
    assert far is not None
    assert far.sd_w > 10 * idle.sd_w


def test_offset_cancels_in_net_energy_and_gain_scales_with_it() -> None:
    gross = over(samples_of(lambda _: 3.0, 1.2), Span(0.1, 1.1), accuracy=GRADE_A)
    net = net_of(gross, Idle(2.0, 0.0, 0.0, 10.0))
    assert net.energy_j == pytest.approx(1.0)
    sizes = {part.name: part.size for part in net.parts}
    assert "offset" not in sizes
    assert sizes["gain"] == pytest.approx(0.01 * 1.0)
