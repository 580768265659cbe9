"""Watts above idle of each bundle's graphs on each delegate, learned from metered windows.

Recursive least squares with forgetting (a Kalman filter with a random-walk state): the net energy of a
window is the sum of watt x seconds of what ran in it. A term common to all graphs carries what one graph's
windows say to the next; the profile's `busy_w` is the prior. What lies outside the stages (tokenizer, heads)
is one key, `HOST_KEY`, for all bundles.

One graph's watts may pass below zero where windows cannot tell it from what always ran beside it: only
sums that windows saw mean something, so only what is given out is cut at zero. Cutting the state itself, and
not its covariance, would leave the next window less to correct with each time, and the sum would run away.

One thread at a time: `costs.CostModel` holds the lock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from firmware_py.contracts.records import record
from firmware_py.contracts.run import HOST_KEY, CostKey, RunRecord

_MAX_KEYS = 64

# Prior spread relative to the profile's watts: published figures of one board's busy core differ by
# about this much between loads (the measured range of `estimated` is in docs/explanation-energy-accounting.md).
_COMMON_SD, _OWN_SD, _HOST_SD = 0.40, 0.20, 0.40
_UNKNOWN_WATT, _UNKNOWN_SD = 1.0, 3.0  # no figure at all: nothing is reported until windows said enough
_FORGET = 5e-5  # share of the prior covariance that comes back per window
_RUN_SPREAD, _RUN_SPREAD_RANGE = 0.15, (0.03, 0.5)  # of one run's joules around its mean, relative
_RUN_SPREAD_RATE = 0.1
_SHARED_RATE = 0.2
_WELL_BUSY_S = 0.02  # of work in a window, from which on it counts in full for what windows share
_OUTLIER_SD = 3.0
# Windows that miss on the same side add up what they miss by (in standard deviations, an outlier's at most)
# less the slack; past the alarm that is a change. One outlier is a quarter of it, five in a row are it, and
# white noise gets there once in some 1e7 windows (CUSUM; Siegmund's approximation).
_CHANGE_SLACK_SD, _CHANGE_ALARM_SD = 0.75, 10.0
# Mean square of normal deviates within _OUTLIER_SD: leaving outliers out must not teach a smaller spread.
_CUT_SQUARE = 0.973
_ENOUGH_WINDOWS = 5
_ENOUGH_SD = 0.15  # relative; a charge whose parameters are known no better stays an estimate


@record(frozen=True, slots=True)
class Charge:
    """Joules of one finished run: mean, the spread of single runs, and of the parameters behind it.

    `reconciled`: the parameters rest on enough windows of this board.
    """

    energy_j: float
    run_sd_j: float
    parameter_sd_j: float
    reconciled: bool


@dataclass(frozen=True, slots=True)
class Equation:
    """One metered window: seconds of work under each key in it, and the net joules they cost together.

    `run_squares_j2` is the sum over runs of their charged joules squared (it scales the spread that
    single runs add), `sd_j` the meter's own standard uncertainty of `net_j`. `shared_sd_j` is the part
    of it that neighbouring windows share (the idle draw they were all compared with): no number of
    windows averages it out.
    """

    seconds: Mapping[CostKey, float]
    run_squares_j2: float
    net_j: float
    sd_j: float
    shared_sd_j: float = 0.0


class Watts:
    """The filter. `busy_w`: watts above idle of one busy core from the profile, null if unknown."""

    def __init__(self, busy_w: float | None = None) -> None:
        self._has_prior = busy_w is not None
        scale = _UNKNOWN_SD if busy_w is None else busy_w
        self._caps = [(_COMMON_SD * scale) ** 2]
        self._own_variance = (_OWN_SD * scale) ** 2
        self._host_variance = (_HOST_SD * scale) ** 2
        # Its state: common watts, then one offset per key; their covariance in W².
        self._index: dict[CostKey, int] = {}
        self._watts = [_UNKNOWN_WATT if busy_w is None else busy_w]
        self._p = [[self._caps[0]]]
        self._run_spread2 = _RUN_SPREAD**2
        self._shared_w = 0.0
        self._above = self._below = 0.0  # how far windows in a row were above and below what was expected
        self._windows = 0

    @property
    def windows(self) -> int:
        """Metered windows learned from so far."""
        return self._windows

    @property
    def speaks(self) -> bool:
        """Whether anything is known: a prior, or enough windows."""
        return self._has_prior or self._windows >= _ENOUGH_WINDOWS

    def of(self, key: CostKey) -> tuple[float, float]:
        """Watts of one key, which may be below zero, and their variance in W²."""
        at, p = self._index.get(key, 0), self._p
        own = 2.0 * p[0][at] + p[at][at] if at else self._own_variance
        return self._watts[0] + (self._watts[at] if at else 0.0), self._shared_w**2 + p[0][0] + own

    def scatter(self, energy_j: float) -> float:
        """Variance in J² of single runs around so many joules."""
        return self._run_spread2 * energy_j**2

    def charge(self, run: RunRecord) -> Charge | None:
        """Joules of a finished run, from its own seconds; None while nothing is known of this board."""
        if not self.speaks:
            return None
        index, watts, p = self._index, self._watts, self._p
        common, bundle = watts[0], run.bundle_sha256
        total_s = energy = variance = 0.0
        parts: list[tuple[int, float]] = []
        for stage in run.stages:
            key = (bundle, stage.graph, stage.delegate)
            at = index.get(key)
            if at is None:
                at = self._place(key)
            run_s = stage.run_s
            total_s += run_s
            energy += (common + watts[at] if at else common) * run_s
            parts.append((at, run_s))
        host_s = run.end_s - run.start_s - total_s
        if host_s > 0.0:
            at = index.get(HOST_KEY) or self._place(HOST_KEY)
            energy += (common + watts[at] if at else common) * host_s
            total_s += host_s
            parts.append((at, host_s))
        first = p[0]
        variance = (first[0] + self._shared_w**2) * total_s * total_s
        for at, run_s in parts:
            if at:
                row = p[at]
                variance += 2.0 * total_s * first[at] * run_s
                for other, other_s in parts:
                    if other:
                        variance += row[other] * run_s * other_s
        energy = max(0.0, energy)  # no run gives energy back
        parameter_sd = math.sqrt(variance) if variance > 0.0 else 0.0
        run_sd = math.sqrt(self._run_spread2) * energy
        reconciled = self._windows >= _ENOUGH_WINDOWS and parameter_sd <= _ENOUGH_SD * energy
        return Charge(energy, run_sd, parameter_sd, reconciled)

    def learn(self, equation: Equation) -> None:
        """Take in one metered window (at most one a second: quadratic in the keys seen)."""
        x = [0.0] * len(self._watts)
        for key, seconds in equation.seconds.items():
            at = self._place(key)
            if at >= len(x):
                x.extend([0.0] * (at + 1 - len(x)))
            x[0] += seconds
            if at:
                x[at] += seconds
        if x[0] > 0.0:
            self._update(x, equation)

    def _place(self, key: CostKey) -> int:
        """Where a key stands in the state; beyond the bound every further key is the common term."""
        at = self._index.get(key)
        if at is None:
            if len(self._watts) > _MAX_KEYS:
                return 0
            at = self._index[key] = len(self._watts)
            variance = self._host_variance if key == HOST_KEY else self._own_variance
            self._watts.append(0.0)
            self._caps.append(variance)
            for row in self._p:
                row.append(0.0)
            self._p.append([0.0] * at + [variance])
        return at

    def _update(self, x: list[float], equation: Equation) -> None:
        size = len(x)
        used = [at for at in range(size) if x[at] != 0.0]
        self._forget()
        px, known2 = self._doubt(x, used)
        noise2 = equation.sd_j**2 + self._run_spread2 * equation.run_squares_j2 + 1e-18
        residual = equation.net_j - sum(self._watts[at] * x[at] for at in used)
        far = residual / math.sqrt(known2 + noise2)
        damping = 1.0
        if self._changed(far):
            self._doubt_all()
            px, known2 = self._doubt(x, used)
        elif self._windows >= _ENOUGH_WINDOWS:
            damping = max(1.0, (far / _OUTLIER_SD) ** 2)  # one outlier is believed less
        total2 = known2 + damping * noise2
        for at in range(size):
            row, weight = self._p[at], px[at]
            if weight:
                self._watts[at] += weight / total2 * residual
                for other in range(size):
                    # This product, not a gain's: so both halves of the covariance round alike.
                    row[other] -= weight * px[other] / total2
        self._learn_spread(equation, residual, known2, noise2)
        shared_w = equation.shared_sd_j / x[0]
        told = min(1.0, x[0] / _WELL_BUSY_S) ** 4  # milliseconds of work move no watts: so nor their doubt
        self._shared_w += (shared_w - self._shared_w) * told * (_SHARED_RATE if self._shared_w else 1.0)
        self._windows += 1

    def _doubt(self, x: list[float], used: list[int]) -> tuple[list[float], float]:
        """What the watts' covariance makes of a window: its product with the seconds, and the joules²."""
        px = [sum(row[at] * x[at] for at in used) for row in self._p]
        return px, sum(px[at] * x[at] for at in used)

    def _changed(self, far: float) -> bool:
        """Whether windows keep missing on one side: the board draws other power than it did."""
        if self._windows < _ENOUGH_WINDOWS:
            return False
        step = max(-_OUTLIER_SD, min(_OUTLIER_SD, far))
        self._above = max(0.0, self._above + step - _CHANGE_SLACK_SD)
        self._below = max(0.0, self._below - step - _CHANGE_SLACK_SD)
        return max(self._above, self._below) > _CHANGE_ALARM_SD

    def _doubt_all(self) -> None:
        """Know the watts no better than at the start, so that the coming windows are believed."""
        size = len(self._p)
        self._p = [[self._caps[at] if at == other else 0.0 for other in range(size)] for at in range(size)]
        self._above = self._below = 0.0

    def _forget(self) -> None:
        """Go a little way back to what was known at the start, in every direction alike.

        So what windows never told apart stays as far apart as the prior says. Widening graph by graph up to the
        prior turned that into something told, and let a slow change move the common watts without bound.
        """
        for at, row in enumerate(self._p):
            for other in range(len(row)):
                row[other] *= 1.0 - _FORGET
            row[at] += _FORGET * self._caps[at]

    def _learn_spread(self, equation: Equation, residual: float, known2: float, noise2: float) -> None:
        """What windows scatter beyond the meter's noise is owed to single runs.

        The doubt of the watts is not taken off: while nothing drifts they are better than forgetting allows
        for, and the difference would teach that runs scatter less than they do.

        A window counts by the share that runs have in its expected variance: where the meter's own
        noise or the parameters dominate, it says nothing about single runs and the prior stays.
        """
        squares_j2 = equation.run_squares_j2
        total2 = known2 + noise2
        if squares_j2 <= 0.0 or self._windows < _ENOUGH_WINDOWS or residual**2 > _OUTLIER_SD**2 * total2:
            return
        low, high = _RUN_SPREAD_RANGE
        share = self._run_spread2 * squares_j2 / total2
        seen = (residual**2 / _CUT_SQUARE - equation.sd_j**2) / squares_j2
        spread2 = self._run_spread2 + _RUN_SPREAD_RATE * min(1.0, share) ** 2 * (seen - self._run_spread2)
        self._run_spread2 = max(low**2, min(high**2, spread2))
