"""Joules above idle of one answer on a board that is not here, each with its source; null where there is none.

*Estimated*: the board profile's watts of a busy core times its seconds - this machine's seconds stretched
by the profile's speed factor. *Simulated*: the same seconds played back to back on the simulated board and
read by the real INA219 driver from registers; what flows there is a plant whose terms the estimate lacks.
Neither is a measurement, and both say so.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any, Literal

import numpy as np

from conversion.check.cascade import Array
from conversion.check.hosts import REFERENCE, host_of, told
from conversion.check.on_board import UNKNOWN, Joules, estimated, no_joules
from device_profiles.profile import BoardProfile
from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import SensorBusError
from firmware_py.energy.baseline import Baseline, net_of
from firmware_py.energy.integrate import EnergyEstimate, Span, energy_over
from firmware_py.energy.meters.base import Pace, Sample
from firmware_py.energy.meters.ina219 import Ina219, choose_pga
from firmware_py.energy.open import wiring_of
from firmware_py.energy.plant import Plant, PlantSpec
from firmware_py.energy.simulated_bus import SimulatedBus, draw_chip
from firmware_py.energy.uncertainty import Part, half_width95

Method = Literal["estimated", "simulated"]

WINDOWS = 8
_BUSY_S, _IDLE_S, _PAD_S = 1.0, 0.5, 0.05
_GAP_S = 2e-5  # between two answers that follow at once
_REGISTER_S = 1.2e-4  # one register on a 400 kHz bus: 48 bits


def joules(
    profile: BoardProfile, seconds: Array, method: Method, machine: Mapping[str, Any], seed: int = 0
) -> Joules:
    """Mean joules of the answers that took these seconds [N] on this machine, had they run on the board.

    Null with the reason where the profile has no figures, or the machine is not the one that its factor is against.
    """
    if method == "estimated":
        return estimated(profile, float(np.mean(seconds)), machine)
    if (why := no_joules(profile, machine)) is not None:
        return replace(UNKNOWN, source=why)
    host = host_of(machine) or REFERENCE
    factor, busy_w = profile.simulation.speed_factor or 0.0, profile.simulation.busy_w or 0.0
    found = _metered(profile, np.asarray(seconds, np.float64) * host.stretch * factor, busy_w, seed)
    if found.energy_j is None or found.u95_j is None:
        return found
    u95_j = math.hypot(found.u95_j, found.energy_j * host.u95)
    stretched = f", seconds here x {told(host)}" if told(host) else ""
    return replace(found, u95_j=u95_j, source=found.source + stretched)


def _metered(profile: BoardProfile, seconds: Array, busy_w: float, seed: int) -> Joules:
    rail = profile.rails[0] if profile.rails else None
    wiring = None if rail is None else wiring_of(rail)
    if rail is None or wiring is None or rail.idle_w is None:
        return replace(UNKNOWN, source=f"profile {profile.name} has no ina219 or no idle_w")
    rng = random.Random(f"joules {profile.name} {seed}")  # noqa: S311 (a simulation)
    plant = Plant(PlantSpec(rail.idle_w, busy_w, wiring.supply_v, seed=rng.getrandbits(32)))
    clock = VirtualClock()
    chip = draw_chip(rng, wiring.grade, (wiring.shunt_ohm, wiring.shunt_tolerance), pga=choose_pga(wiring))
    bus = SimulatedBus(plant, replace(chip, transfer_s=_REGISTER_S), clock, rng)
    windows = [
        Span(begin_s, begin_s + _BUSY_S)
        for begin_s in (
            _IDLE_S + 2 * _PAD_S + number * (_BUSY_S + _IDLE_S + 2 * _PAD_S) for number in range(WINDOWS)
        )
    ]
    events, counts = _script(windows, seconds, rng)
    try:
        with Ina219(bus, wiring, clock, simulated=True) as meter:
            samples = _record(meter, plant, clock, events, windows[-1].end_s + _IDLE_S + 3 * _PAD_S)
            found = [_net(meter, samples, window) for window in windows]
    except SensorBusError as error:
        return replace(UNKNOWN, source=f"ina219 (simulated): {error.message}")
    each = [one.energy_j / count for one, count in zip(found, counts, strict=True)]
    # Between windows: their own scatter. Common to all: gain, shunt, time base, as the last one's budget has them.
    parts = [Part("windows", stdev(each) / WINDOWS**0.5, dof=WINDOWS - 1.0)]
    parts += [
        replace(part, size=part.size / counts[-1])
        for part in found[-1].parts
        if part.name in {"gain", "shunt", "time base"}
    ]
    source = f"ina219 on the simulated {profile.name}, {WINDOWS} windows of {_BUSY_S:g} s, {sum(counts):.0f} answers"
    return Joules(fmean(each), half_width95(parts), "metered", source, simulated=True)


def _script(
    windows: Sequence[Span], seconds: Array, rng: random.Random
) -> tuple[list[tuple[float, bool]], list[float]]:
    """Answers back to back over each window and a little beyond; answers that fall into each window."""
    events: list[tuple[float, bool]] = []
    counts = []
    for window in windows:
        at_s, inside = window.begin_s - 0.5 * _PAD_S, 0.0
        while at_s < window.end_s + 0.5 * _PAD_S:
            run_s = float(seconds[rng.randrange(len(seconds))])
            events += [(at_s, True), (at_s + run_s, False)]
            covered_s = min(at_s + run_s, window.end_s) - max(at_s, window.begin_s)
            inside += max(0.0, covered_s) / run_s
            at_s += run_s + _GAP_S
        counts.append(inside)
    return events, counts


def _record(
    meter: Ina219, plant: Plant, clock: VirtualClock, events: Sequence[tuple[float, bool]], end_s: float
) -> list[Sample]:
    at, samples = 0, []
    meter.start(Pace.BUSY)
    while clock.now_s() < end_s:
        clock.sleep(meter.due_s - clock.now_s())
        horizon_s = clock.now_s() + 1e-3  # what happens while the registers cross the wire
        while at < len(events) and events[at][0] <= horizon_s:
            event_s, busy = events[at]
            if busy:
                plant.busy(event_s, "answer")
            else:
                plant.idle(event_s)
            at += 1
        if (sample := meter.read()) is not None:
            samples.append(sample)
    return samples


def _net(meter: Ina219, samples: Sequence[Sample], window: Span) -> EnergyEstimate:
    """Joules of a window above what was drawn right before and after it."""
    baseline = Baseline()
    for begin_s in (window.begin_s - _PAD_S - _IDLE_S, window.end_s + _PAD_S):
        baseline.learn(energy_over(samples, Span(begin_s, begin_s + _IDLE_S), meter.capabilities))
    idle = baseline.at(0.5 * (window.begin_s + window.end_s))
    assert idle is not None  # noqa: S101 - two windows were just learned
    return net_of(energy_over(samples, window, meter.capabilities), idle)
