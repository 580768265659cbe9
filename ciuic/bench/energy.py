"""`ciuic bench energy`: the INA219 against the plant's truth, in virtual time.

Every trial draws a board, a chip and a load from its seed; driver, window and integration see registers
only. Compared are the joules of a 1 s window and their 95 % interval with what the plant integrated. The
oracle is the constant half-width that covers exactly 95 % of the same trials' errors.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any

from ciuic.bench.flags import add_json, add_out
from device_profiles.loader import load_profile
from firmware_py.contracts.clock import SystemClock, VirtualClock
from firmware_py.contracts.errors import ConfigError, SensorBusError
from firmware_py.contracts.measurement import Check, Measurement, Row
from firmware_py.contracts.outputs import check_output
from firmware_py.energy.baseline import Baseline, net_of
from firmware_py.energy.integrate import EnergyEstimate, Span, energy_over
from firmware_py.energy.meters.base import Pace, Sample
from firmware_py.energy.meters.ina219 import Ina219
from firmware_py.energy.open import specimen, wiring_of
from firmware_py.energy.plant import Plant, PlantSpec
from firmware_py.energy.simulated_bus import SimulatedBus

WINDOW_S = 1.0
_IDLE_S, _IDLE_BEFORE, _IDLE_AFTER = 0.5, 4, 2
_PAD_S = 0.05  # the load also runs this long around the window, and cycles reach over its edges
_REGISTER_S = 1.2e-4  # one register on a 400 kHz bus: 48 bits
_SHUNT_TOLERANCE = 1e-3  # of the laboratory rows
_REFERENCE_U95 = 1e-3  # of the multimeter that docs/how-to-wire-and-calibrate-ina219.md asks for
MIN_TRIALS = 500


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row: a board's rail, the chip's grade and temperature range, and how wild the bursts are.

    Of a `node`'s row the wiring is what a node makes of the rail, with `reference_u95` after a calibration; chip and
    shunt are drawn from it. The others are set up for the laboratory: grade and range as they say, the shunt known.
    """

    name: str
    board: str
    grade: str = "A"
    over_temperature: bool = False
    bursts: float = 1.0
    bounded: bool = False
    node: bool = False
    reference_u95: float | None = None


SCENARIOS = (
    Scenario("reference", "raspberry-pi-4", bounded=True),
    Scenario("bursts-x3", "raspberry-pi-4", bursts=3.0),
    Scenario("over-temperature", "raspberry-pi-4", over_temperature=True),
    Scenario("pi-5-grade-b", "raspberry-pi-5", grade="B"),
    Scenario("zero-2w-grade-b", "raspberry-pi-zero-2w", grade="B"),
    Scenario("orin-nano-grade-b", "jetson-orin-nano", grade="B"),
    Scenario("pi-5", "raspberry-pi-5"),
    Scenario("zero-2w", "raspberry-pi-zero-2w"),
    Scenario("node-as-wired", "raspberry-pi-4", node=True),
    Scenario("node-calibrated", "raspberry-pi-4", node=True, reference_u95=_REFERENCE_U95),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """Relative error and relative half-width of one window, gross and net; null = refused.

    `net_j` are the joules above idle that the meter found, and their half-width.
    """

    gross: tuple[float, float] | None
    net: tuple[float, float] | None
    rate_hz: float | None
    net_j: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What many trials say. Errors and half-widths are relative to the truth, coverage a share."""

    n: int
    refused: int
    p50: float
    p95: float
    coverage: float
    median_u95: float
    oracle_u95: float

    @property
    def ratio(self) -> float:
        """Median half-width over the oracle's."""
        return self.median_u95 / self.oracle_u95


class _HostClock(VirtualClock):
    """A host that wakes late: tens of microseconds mostly, milliseconds now and then."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng

    def sleep(self, duration_s: float) -> None:
        late_s = self._rng.expovariate(1.0 / 60e-6)
        if self._rng.random() < 5e-4:
            late_s += self._rng.uniform(2e-3, 10e-3)
        self.advance(max(0.0, duration_s) + late_s)


def _load(rng: random.Random, begin_s: float, end_s: float) -> list[tuple[float, str | None]]:
    """Back-to-back or sparse runs of up to three stages: (second, graph or None for idle), in order."""
    stage_s = math.exp(rng.uniform(math.log(3e-4), math.log(8e-3)))
    gap_s = stage_s * rng.uniform(0.02, 2.0)
    events: list[tuple[float, str | None]] = []
    at_s = begin_s
    while at_s < end_s:
        for stage in range(rng.choice((1, 1, 2, 3))):
            events.append((at_s, f"16/s{stage + 1}w4"))
            at_s += stage_s * rng.uniform(0.9, 1.2)
            events.append((at_s, None))
        at_s += rng.expovariate(1.0 / gap_s)
    return events


def run_trial(scenario: Scenario, seed: int) -> Trial:
    """One board, one chip, one second of load.

    Raises:
        ConfigError: the scenario's profile lacks a figure.
    """
    rng = random.Random(f"{scenario.name}:{seed}")  # noqa: S311 (a simulation)
    profile = load_profile(scenario.board)
    rail, busy_w = profile.rails[0], profile.simulation.busy_w
    nominal = wiring_of(replace(rail, reference_u95=scenario.reference_u95))
    if nominal is None or rail.idle_w is None or busy_w is None:
        msg = f"profile {scenario.board} lacks an ina219, idle_w or busy_w"
        raise ConfigError(msg)
    spec = PlantSpec(
        idle_w=rail.idle_w,
        busy_w=busy_w * rng.uniform(1.0, profile.cores),
        supply_v=nominal.supply_v,
        seed=rng.getrandbits(32),
        burst_watts=scenario.bursts,
        burst_rate=scenario.bursts,
    )
    wiring = nominal
    if not scenario.node:
        wiring = replace(
            nominal,
            grade=scenario.grade,
            over_temperature=scenario.over_temperature,
            shunt_tolerance=_SHUNT_TOLERANCE,
        )
    clock = _HostClock(rng)
    plant = Plant(spec)
    bus = SimulatedBus(plant, replace(specimen(rng, wiring), transfer_s=_REGISTER_S), clock, rng)
    begin_s = _PAD_S + _IDLE_BEFORE * _IDLE_S + _PAD_S
    window = Span(begin_s, begin_s + WINDOW_S)
    end_s = window.end_s + _PAD_S + _IDLE_AFTER * _IDLE_S + _PAD_S
    events = _load(rng, window.begin_s - 0.5 * _PAD_S, window.end_s + 0.5 * _PAD_S)
    with Ina219(bus, wiring, clock, simulated=True) as meter:
        samples = _record(meter, plant, clock, (events, end_s))
        return _judge(meter, samples, plant, window)


def _record(
    meter: Ina219, plant: Plant, clock: VirtualClock, script: tuple[list[tuple[float, str | None]], float]
) -> list[Sample]:
    events, end_s = script
    at = 0
    samples: list[Sample] = []
    meter.start(Pace.BUSY)
    while clock.now_s() < end_s:
        clock.sleep(meter.due_s - clock.now_s())
        horizon_s = clock.now_s() + 1e-3  # what happens while the registers cross the wire
        while at < len(events) and events[at][0] <= horizon_s:
            event_s, key = events[at]
            if key is None:
                plant.idle(event_s)
            else:
                plant.busy(event_s, key)
            at += 1
        if (sample := meter.read()) is not None:
            samples.append(sample)
    meter.check()
    return samples


def _judge(meter: Ina219, samples: Sequence[Sample], plant: Plant, window: Span) -> Trial:
    baseline = Baseline()
    begins_s = [_PAD_S + at * _IDLE_S for at in range(_IDLE_BEFORE)]
    begins_s += [window.end_s + _PAD_S + at * _IDLE_S for at in range(_IDLE_AFTER)]
    try:
        for begin_s in begins_s:
            baseline.learn(energy_over(samples, Span(begin_s, begin_s + _IDLE_S), meter.capabilities))
        gross = energy_over(samples, window, meter.capabilities)
    except SensorBusError:
        return Trial(None, None, None)
    true_j = plant.energy_j(window.begin_s, window.end_s)
    true_net_j = plant.net_j(window.begin_s, window.end_s)
    idle = baseline.at(0.5 * (window.begin_s + window.end_s))
    if idle is None:
        return Trial(_relative(gross, true_j), None, gross.rate_hz)
    net = net_of(gross, idle)
    return Trial(
        _relative(gross, true_j), _relative(net, true_net_j), gross.rate_hz, (net.energy_j, net.u95_j)
    )


def _relative(estimate: EnergyEstimate, true_j: float) -> tuple[float, float]:
    return (estimate.energy_j - true_j) / true_j, estimate.u95_j / true_j


def summarise(pairs: Sequence[tuple[float, float] | None]) -> Summary:
    """Error quantiles, coverage and half-widths of (relative error, relative half-width) pairs."""
    kept = [pair for pair in pairs if pair is not None]
    if not kept:
        return Summary(0, len(pairs), math.nan, math.nan, math.nan, math.nan, math.nan)
    errors = sorted(abs(error) for error, _ in kept)
    p95 = errors[min(len(errors) - 1, math.ceil(0.95 * len(errors)) - 1)]
    covered = sum(abs(error) <= u95 for error, u95 in kept) / len(kept)
    widths = median(u95 for _, u95 in kept)
    return Summary(len(kept), len(pairs) - len(kept), median(errors), p95, covered, widths, p95)


def measure(trials: int, seed: int, progress: Callable[[str, int, int], None]) -> Measurement:
    """All scenarios, `trials` each, as one measurement with the checks of the bounded rows."""
    rows: list[Row] = []
    checks: list[Check] = []
    for scenario in SCENARIOS:
        found = []
        for index in range(trials):
            found.append(run_trial(scenario, seed * 1_000_003 + index))
            progress(scenario.name, index + 1, trials)
        gross, net = summarise([t.gross for t in found]), summarise([t.net for t in found])
        rate_hz = median([t.rate_hz for t in found if t.rate_hz is not None] or [math.nan])
        joules = _joules([t.net_j for t in found if t.net_j is not None])
        rows += [_row(scenario, "gross", gross, rate_hz), _row(scenario, "net", net, rate_hz, joules)]
        checks += _checks(scenario, gross)
    notes = (
        "simulated: register-level INA219 on a plant; all parameters drawn per trial, hidden from the estimator",
        f"{trials} trials a row, 1 s windows, seed {seed}; errors and half-widths relative to the truth",
        "gain drawn evenly within the grade's maximum, shared by volt and ampere; offset within its maximum; "
        f"ADC clock +-10 %; shunt within {_SHUNT_TOLERANCE:.1%}; host late by 60 us, rarely 2 to 10 ms",
        "bursts-x3: three times as many bursts of three times the power",
        "over-temperature: maximum gain +-1 % of volt and of ampere; elsewhere 25 degrees C: +-0.5 % (B: 0.3 % ampere)",
        "node-as-wired: as a node takes the Raspberry Pi 4's rail, shunt within 1 %, limits over temperature",
        "node-calibrated: the same after a calibration at one point at 25 degrees C with a multimeter whose 95 % interval "
        f"is +-{_REFERENCE_U95:.1%}; since then chip and shunt have moved with warmth",
    )
    return Measurement(
        "bench energy", "simulated", None, SystemClock().utc(), tuple(rows), tuple(checks), notes
    )


def _joules(found: Sequence[tuple[float, float]]) -> dict[str, Any] | None:
    """Mean joules of a window above idle, and the median half-width; a row's `energy_j` is never gross."""
    if not found:
        return None
    mean_j = fmean(energy_j for energy_j, _ in found)
    return {"mean": mean_j, "u95": median(u95_j for _, u95_j in found), "source": "simulated"}


def _row(
    scenario: Scenario, basis: str, summary: Summary, rate_hz: float, joules: dict[str, Any] | None = None
) -> Row:
    extra = {
        "board": scenario.board,
        "basis": basis,
        "grade": scenario.grade,
        "wiring": _wired(scenario),
        "refused": summary.refused,
        "error_p50": summary.p50,
        "error_p95": summary.p95,
        "coverage": summary.coverage,
        "u95_median": summary.median_u95,
        "u95_oracle": summary.oracle_u95,
        "u95_ratio": summary.ratio,
        "rate_hz": rate_hz,
        "simulated": True,
    }
    return Row(config=f"{scenario.name}/{basis}", n=summary.n, energy_j=joules, extra=extra)


def _wired(scenario: Scenario) -> str:
    if not scenario.node:
        return "laboratory"
    return "node, as wired" if scenario.reference_u95 is None else "node, calibrated"


def _checks(scenario: Scenario, gross: Summary) -> list[Check]:
    if scenario.bursts > 1.0:
        return [Check(f"{scenario.name}: coverage of the 95 % interval", gross.coverage, 0.88, "share", ">=")]
    if not scenario.bounded:
        return []
    return [
        Check("trials of a row", float(gross.n), float(MIN_TRIALS), "trials", ">="),
        Check("95th percentile of the error, 1 s windows", gross.p95, 0.02, "relative"),
        Check("coverage of the 95 % interval, lower bound", gross.coverage, 0.92, "share", ">="),
        Check("coverage of the 95 % interval, upper bound", gross.coverage, 0.98, "share"),
        Check("median half-width over the oracle's", gross.ratio, 1.5, "ratio"),
    ]


def table(measurement: Measurement) -> str:
    """The rows and checks for people."""
    lines = [
        f"{'window energy (simulated)':<26}{'n':>5}{'refused':>8}{'error p50':>11}{'p95':>8}"
        f"{'coverage':>10}{'U95 median':>12}{'oracle':>9}{'ratio':>7}{'rate':>8}"
    ]
    for row in measurement.rows:
        x = row.extra
        lines.append(
            f"{row.config:<26}{row.n:>5}{x['refused']:>8}{x['error_p50']:>10.2%}{x['error_p95']:>9.2%}"
            f"{x['coverage']:>10.1%}{x['u95_median']:>11.2%}{x['u95_oracle']:>10.2%}{x['u95_ratio']:>7.2f}"
            f"{x['rate_hz']:>5.0f} Hz"
        )
    lines.append("")
    for check in measurement.checks:
        value = "unknown" if check.value is None else f"{check.value:.4g}"
        mark = "ok  " if check.ok else "FAIL"
        lines.append(f"{mark} {check.name}: {value} {check.relation} {check.bound:g} {check.unit}")
    return "\n".join(lines)


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags of `ciuic bench energy`."""
    parser.add_argument(
        "--trials", type=int, default=MIN_TRIALS, help=f"trials per row (default {MIN_TRIALS})"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all trials (default 0)")
    add_json(parser)
    add_out(parser, "energy.json")


def run(args: argparse.Namespace) -> int:
    """Run all rows, print and write them, and return 0 when every check holds, else 1.

    Raises:
        ConfigError: the number of trials is not positive, or the file cannot be written.
    """
    if args.trials < 1:
        msg = f"--trials {args.trials} is not positive"
        raise ConfigError(msg, hint=f"{MIN_TRIALS} trials are what the bounds are for.")
    check_output(args.out / "energy.json")
    measurement = measure(args.trials, args.seed, _progress)
    path = measurement.write(args.out, "energy")
    if args.json:
        print(json.dumps(measurement.to_dict(), indent=1))
    else:
        print(table(measurement))
        print(f"written: {path}", file=sys.stderr)
    return 0 if all(check.ok for check in measurement.checks) else 1


def _progress(name: str, done: int, total: int) -> None:
    if not sys.stderr.isatty():
        return
    width = 30
    full = width * done // total
    end = "\n" if done == total else ""
    sys.stderr.write(f"\r{name:<20} [{'#' * full}{'.' * (width - full)}] {done}/{total}{end}")
    sys.stderr.flush()
