"""The simulated board's physics: what its supply rail really draws. Nothing that predicts imports this.

It holds what the cost model has no terms for: regulator efficiency that falls with load, a clock that
steps up some milliseconds after work begins, leakage that rises with heat, bursts of the operating
system, a drifting idle draw, and contention between bursts and work. It integrates the truth.

`Plant` is pure: time comes as arguments, chance from a seed. `python -m firmware_py.energy.plant` serves
one over an inherited socket (frames in `plant_link`), in its own process, until the other end closes.
The magnitudes are chosen to be wider than what a Pi shows at a wall meter; they are not a model of a
particular board, and figures from it say "simulated".
"""

from __future__ import annotations

import argparse
import math
import random
import socket
import sys
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from firmware_py.energy.plant_link import Span, serve

_TICK_S = 0.02  # drift and heat move this slowly
_KEEP_S = 20.0  # history that a sensor may still ask for
_PRUNE = 20_000


@dataclass(frozen=True, slots=True)
class PlantSpec:
    """What the profile says of the board, and how wild the world around it is.

    `idle_w` at the rail when nothing runs, `busy_w` more for one busy core, `supply_v` at no load.
    `burst_watts` and `burst_rate` scale the operating system's bursts.
    """

    idle_w: float
    busy_w: float
    supply_v: float
    seed: int = 0
    burst_watts: float = 1.0
    burst_rate: float = 1.0


class Plant:
    """Piecewise constant power, integrated exactly between events."""

    def __init__(self, spec: PlantSpec, now_s: float = 0.0) -> None:
        rng = random.Random(spec.seed)  # noqa: S311 (physics, not secrets)
        self._rng = rng
        self._spec = spec
        uniform = rng.uniform
        # Hidden from every estimator.
        self._idle_w = spec.idle_w * uniform(0.92, 1.08)
        self._busy_w = spec.busy_w * uniform(0.75, 1.25)
        self._supply_v = spec.supply_v * uniform(0.98, 1.02)
        self._source_ohm = uniform(0.02, 0.08) * spec.supply_v / 5.0
        self._efficiency_slope = uniform(0.01, 0.03)  # loss of efficiency per doubling of load
        self._drift_sd = uniform(0.008, 0.02)
        self._drift_tau_s = uniform(10.0, 30.0)
        self._burst_w = uniform(0.08, 0.2) * spec.idle_w * spec.burst_watts
        self._burst_rate_hz = uniform(1.5, 3.5) * spec.burst_rate
        self._burst_mean_s = uniform(0.004, 0.02)
        self._contention = uniform(0.6, 0.9)
        self._ramp_s = uniform(0.004, 0.012)
        self._ramp_share = uniform(0.55, 0.75)
        self._leak_w = 0.04 * spec.idle_w
        self._heat_per_w = uniform(4.0, 10.0)  # kelvin per watt
        self._heat_tau_s = uniform(8.0, 20.0)
        # State.
        self._now_s = now_s
        self._loads: list[float] = []
        self._fast_from_s = math.inf
        self._idle_since_s = now_s - 1.0
        self._drift = rng.gauss(0.0, self._drift_sd)
        self._heat_k = 0.0
        self._tick_s = now_s + _TICK_S
        self._bursts: list[float] = []  # ends
        self._burst_s = now_s + rng.expovariate(self._burst_rate_hz)
        # Cumulative integrals at the bounds of each piece: joule, volt second, ampere second, net joule.
        self._times = [now_s]
        self._sums: list[tuple[float, float, float, float]] = [(0.0, 0.0, 0.0, 0.0)]

    @property
    def now_s(self) -> float:
        """How far the truth is settled."""
        return self._now_s

    def busy(self, at_s: float, key: str = "") -> None:
        """One more stage runs from `at_s` on; a late word counts from where the truth is settled."""
        self.busy_code(at_s, zlib.crc32(key.encode()))

    def busy_code(self, at_s: float, code: int) -> None:
        """As `busy`, for the key's CRC-32: each graph has its own draw, each run its own spread."""
        self.advance(at_s)
        own = 0.85 + 0.3 * (code % 1009) / 1008
        if not self._loads:
            resumed = self._now_s - self._idle_since_s < 0.05  # the clock is still up
            self._fast_from_s = self._now_s if resumed else self._now_s + self._ramp_s
        self._loads.append(self._busy_w * own * self._rng.gauss(1.0, 0.04))

    def idle(self, at_s: float) -> None:
        """The stage that began last has ended."""
        self.advance(at_s)
        if self._loads:
            self._loads.pop()
            self._idle_since_s = self._now_s

    def means(self, spans: Sequence[Span]) -> list[tuple[float, float]]:
        """Mean volt and ampere over spans; settles the truth up to the last of them."""
        self.advance(max(end_s for _, end_s in spans))
        found = []
        for begin_s, end_s in spans:
            width_s = max(end_s - begin_s, 1e-9)
            _, volts, amperes, _ = self._between(begin_s, end_s)
            found.append((volts / width_s, amperes / width_s))
        return found

    def energy_j(self, begin_s: float, end_s: float) -> float:
        """The truth: joules through the rail."""
        self.advance(end_s)
        return self._between(begin_s, end_s)[0]

    def net_j(self, begin_s: float, end_s: float) -> float:
        """The truth: joules that would not have flowed without the stages that ran."""
        self.advance(end_s)
        return self._between(begin_s, end_s)[3]

    def advance(self, to_s: float) -> None:
        """Settle the truth up to a monotonic second; the past stays as it is."""
        while self._now_s < to_s:
            step_s = min(to_s, self._tick_s, self._burst_s)
            if self._bursts:
                step_s = min(step_s, *self._bursts)
            if self._loads and self._now_s < self._fast_from_s:
                step_s = min(step_s, self._fast_from_s)
            self._integrate(step_s)
            self._now_s = step_s
            self._turn()

    # --- inside ----------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Change what changes at this moment."""
        now_s = self._now_s
        if self._bursts:
            self._bursts = [end_s for end_s in self._bursts if end_s > now_s]
        if now_s >= self._burst_s:
            self._bursts.append(now_s + self._rng.expovariate(1.0 / self._burst_mean_s) + 1e-4)
            self._burst_s = now_s + self._rng.expovariate(self._burst_rate_hz)
        if now_s >= self._tick_s:
            self._tick_s = now_s + _TICK_S
            step = _TICK_S / self._drift_tau_s
            self._drift += -self._drift * step + self._drift_sd * math.sqrt(2.0 * step) * self._rng.gauss(
                0.0, 1.0
            )
            goal_k = self._heat_per_w * (self._rail_w(load=True) - self._idle_w)
            self._heat_k += (goal_k - self._heat_k) * _TICK_S / self._heat_tau_s

    def _rail_w(self, *, load: bool) -> float:
        core_w = self._idle_w * (1.0 + self._drift) + self._leak_w * (math.exp(self._heat_k / 25.0) - 1.0)
        core_w += self._burst_w * len(self._bursts)
        if load and self._loads:
            work_w = sum(self._loads)
            if self._now_s < self._fast_from_s:
                work_w *= self._ramp_share
            if self._bursts:
                work_w *= self._contention
            core_w += work_w
        return core_w / (1.0 - self._efficiency_slope * math.log2(max(core_w / self._idle_w, 0.25)))

    def _integrate(self, to_s: float) -> None:
        width_s = to_s - self._now_s
        power_w = self._rail_w(load=True)
        net_w = power_w - self._rail_w(load=False) if self._loads else 0.0
        # V = V0 - R I at the load side of the shunt, P = V I.
        root = max(self._supply_v**2 - 4.0 * self._source_ohm * power_w, 0.0)
        current_a = (self._supply_v - math.sqrt(root)) / (2.0 * self._source_ohm)
        voltage_v = self._supply_v - self._source_ohm * current_a
        joule, volt, ampere, net = self._sums[-1]
        self._times.append(to_s)
        self._sums.append(
            (
                joule + power_w * width_s,
                volt + voltage_v * width_s,
                ampere + current_a * width_s,
                net + net_w * width_s,
            )
        )
        if len(self._times) > _PRUNE:
            keep = max(0, bisect_right(self._times, self._now_s - _KEEP_S) - 1)
            del self._times[:keep], self._sums[:keep]

    def _at(self, at_s: float) -> tuple[float, float, float, float]:
        index = bisect_right(self._times, at_s)
        if index <= 0:
            return self._sums[0]
        if index >= len(self._times):
            return self._sums[-1]
        before_s, after_s = self._times[index - 1], self._times[index]
        part = (at_s - before_s) / (after_s - before_s)
        a, b = self._sums[index - 1], self._sums[index]
        return (
            a[0] + part * (b[0] - a[0]),
            a[1] + part * (b[1] - a[1]),
            a[2] + part * (b[2] - a[2]),
            a[3] + part * (b[3] - a[3]),
        )

    def _between(self, begin_s: float, end_s: float) -> tuple[float, float, float, float]:
        a, b = self._at(begin_s), self._at(end_s)
        return (b[0] - a[0], b[1] - a[1], b[2] - a[2], b[3] - a[3])


def main(argv: Sequence[str] | None = None) -> int:
    """Serve one plant on an inherited socket until its other end closes."""
    parser = argparse.ArgumentParser(prog="python -m firmware_py.energy.plant", description=main.__doc__)
    parser.add_argument("--fd", type=int, required=True, help="inherited SOCK_SEQPACKET socket")
    parser.add_argument("--now-s", type=float, required=True, help="monotonic second at which it begins")
    for name in ("idle-w", "busy-w", "supply-v"):
        parser.add_argument(f"--{name}", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    spec = PlantSpec(args.idle_w, args.busy_w, args.supply_v, seed=args.seed)
    with socket.socket(fileno=args.fd) as link:
        serve(link, Plant(spec, args.now_s))
    return 0


if __name__ == "__main__":
    sys.exit(main())
