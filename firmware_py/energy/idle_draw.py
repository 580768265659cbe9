"""The idle draw that busy windows stand above, and whether it still is what it was. Pure.

`Baseline` averages what was seen around a moment. That is right for an idle draw that scatters and drifts, and wrong
for one that jumps: another program that starts or ends changes it for good, and a mean of both levels is neither.
So an observation that fits what was seen before is averaged, and one that does not is kept apart: if the next ones
fit it, the level has moved and the older observations are forgotten; if they fit the old level, it was a burst.
"""

from __future__ import annotations

import math

from firmware_py.energy.baseline import Baseline, Idle
from firmware_py.energy.integrate import EnergyEstimate

_FITS_SD = 4.0
_FITS_RELATIVE = 0.01  # standard deviation of the level that few observations cannot show yet
_MOVED_WINDOWS, _MOVED_S = 3, 0.5  # so much that fits together and not the old level is a new one
_RESTLESS_WINDOWS = 8  # so many that fit neither the old level nor each other are scatter


class IdleDraw:
    """Observations of the idle draw in order of time; asked for a moment it answers from those around it."""

    def __init__(self) -> None:
        self._baseline = Baseline()
        self._newest: EnergyEstimate | None = None  # of what the baseline holds
        self._apart: list[EnergyEstimate] = []
        self._since_s = -math.inf
        self._until_s = -math.inf

    @property
    def since_s(self) -> float:
        """When the present level was first seen; minus infinity while it never moved."""
        return self._since_s

    @property
    def until_s(self) -> float:
        """Up to when the present level was seen."""
        return self._until_s

    @property
    def in_doubt(self) -> bool:
        """Whether the newest observations do not fit the present level."""
        return bool(self._apart)

    def at(self, at_s: float) -> Idle | None:
        """Idle power at a moment; None before the second observation."""
        return self._baseline.at(at_s)

    def learn(self, seen: EnergyEstimate) -> None:
        """Take in a stretch in which nothing of ours ran."""
        self._apart.append(seen)
        if self._fits(seen):
            self._hold(self._apart)
            return
        level = self._new_level()
        if len(level) >= _MOVED_WINDOWS and sum(one.length_s for one in level) >= _MOVED_S:
            self._baseline = Baseline()
            self._since_s = level[0].span.begin_s
            self._hold(level)
        elif len(self._apart) >= _RESTLESS_WINDOWS and 2 * len(level) < len(self._apart):
            self._hold(self._apart)

    def _hold(self, observations: list[EnergyEstimate]) -> None:
        for one in observations:
            self._baseline.learn(one)
        self._newest = observations[-1]
        self._until_s = self._newest.span.end_s
        self._apart = []

    def _fits(self, seen: EnergyEstimate) -> bool:
        """Whether an observation is what the present level lets one expect; the first one always is."""
        if self._newest is None:
            return True
        idle = self._idle_for(seen)
        return abs(seen.power_w - (idle.power_w if idle else self._newest.power_w)) <= self._reach(seen)

    def _new_level(self) -> list[EnergyEstimate]:
        """The newest of the observations kept apart, as far back as they fit the very newest."""
        newest = self._apart[-1]
        level: list[EnergyEstimate] = []
        for one in reversed(self._apart):
            reach_w = math.hypot(self._reach(newest), self._reach(one))
            if abs(one.power_w - newest.power_w) > reach_w:
                break
            level.insert(0, one)
        return level

    def _reach(self, seen: EnergyEstimate) -> float:
        """How far an observation may be from its level: shorter ones scatter more."""
        idle = self._idle_for(seen)
        second_sd_w = idle.second_sd_w if idle else 0.0
        scatter_w = second_sd_w / math.sqrt(min(seen.length_s, 1.0))
        own_w = seen.type_a_j / seen.length_s
        return _FITS_SD * math.hypot(scatter_w, own_w, _FITS_RELATIVE * seen.power_w)

    def _idle_for(self, seen: EnergyEstimate) -> Idle | None:
        return self._baseline.at(0.5 * (seen.span.begin_s + seen.span.end_s))
