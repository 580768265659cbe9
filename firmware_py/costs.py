"""What it will cost: the one online model of seconds and joules, with spread, per (bundle, graph, delegate).

Seconds: a robust running mean and variance of what ran. Joules: seconds times the watts above idle that
metered windows taught (`watts`). What is published is summed over the paths that a configuration's answers took.

A node may serve several bundles, whose graphs and configurations bear the same names: each has a table of its own.

Thread-safe. Predicting and charging allocate little and take constant time.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field, replace

from firmware_py.contracts.node_state import CostLine
from firmware_py.contracts.records import record
from firmware_py.contracts.run import HOST, HOST_KEY, CostKey, GraphKey, RunRecord
from firmware_py.watts import Charge, Equation, Watts

_SECONDS_RATE = 0.02  # weight of the newest run once 50 were seen
_CLIP_SD = 4.0  # a run further out counts as this far: one page fault is not a slow stage
_MAX_CONFIGURATIONS = 32  # of one bundle
_SHARE_RATE = 0.02  # weight of the newest answer in exit shares

_Part = tuple[GraphKey, str]  # of a bundle's answers: a graph and who runs it, or `HOST`


@dataclass(slots=True)
class _Seconds:
    count: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def learn(self, value: float) -> None:
        self.count += 1
        if self.count == 1:
            self.mean = value
            self.variance = (0.25 * value) ** 2
            return
        rate = max(_SECONDS_RATE, 1.0 / self.count)
        delta = value - self.mean
        if self.count > 8:
            limit = _CLIP_SD * math.sqrt(self.variance) + 1e-6
            delta = max(-limit, min(limit, delta))
        self.mean += rate * delta
        self.variance = (1.0 - rate) * (self.variance + rate * delta * delta)


@record(frozen=True, slots=True)
class Cost:
    """Mean and one standard deviation of a stage; null where nothing is known."""

    run_s: float | None
    run_sd_s: float | None
    energy_j: float | None
    energy_sd_j: float | None


@dataclass(slots=True)
class _Paths:
    """How a configuration's answers were spread over paths through the stages, newest weigh most."""

    weights: dict[tuple[_Part, ...], float] = field(default_factory=dict)

    def learn(self, path: tuple[_Part, ...]) -> None:
        for other in list(self.weights):
            self.weights[other] *= 1.0 - _SHARE_RATE
            if self.weights[other] < 1e-3:
                del self.weights[other]
        self.weights[path] = self.weights.get(path, 0.0) + (_SHARE_RATE if self.weights else 1.0)


class BundleCosts:
    """One bundle's costs on this board; `CostModel.of` hands it out, engines ask it."""

    __slots__ = ("_bundle_sha256", "_lock", "_paths", "_seconds", "_watts")

    def __init__(self, bundle_sha256: str, watts: Watts, lock: threading.Lock) -> None:
        """`watts` are the board's, `lock` guards them and this table."""
        self._bundle_sha256 = bundle_sha256
        self._watts = watts
        self._lock = lock
        self._seconds: dict[_Part, _Seconds] = {}
        self._paths: dict[str, _Paths] = {}

    def learn(self, run: RunRecord) -> None:
        """Take in one run: seconds of each stage and of the host around them, and the path it took."""
        with self._lock:
            stages_s = 0.0
            for stage in run.stages:
                self._learn_seconds((stage.graph, stage.delegate), stage.run_s)
                stages_s += stage.run_s
            self._learn_seconds(HOST, max(0.0, run.run_s - stages_s))
            paths = self._paths.get(run.configuration)
            if paths is None:
                if len(self._paths) >= _MAX_CONFIGURATIONS:
                    return
                paths = self._paths[run.configuration] = _Paths()
            paths.learn((*((stage.graph, stage.delegate) for stage in run.stages), HOST))

    def stage(self, graph: GraphKey, delegate: str) -> Cost:
        """Expected cost of one stage."""
        with self._lock:
            cost = self._cost((graph, delegate))
        return replace(cost, energy_j=0.0) if cost.energy_j is not None and cost.energy_j < 0.0 else cost

    def stage_s(self, graph: GraphKey, delegate: str) -> float | None:
        """Mean seconds of one stage, None before it first ran."""
        seconds = self._seconds.get((graph, delegate))
        return None if seconds is None else seconds.mean

    def stage_j(self, graph: GraphKey, delegate: str, untimed_s: float | None = None) -> float | None:
        """Mean joules of one stage above idle, None where nothing is known.

        A stage that never ran is priced as taking `untimed_s`, with the watts that all graphs share.
        """
        part = (graph, delegate)
        with self._lock:
            seconds = self._seconds.get(part)
            run_s = untimed_s if seconds is None else seconds.mean
            if run_s is None or not self._watts.speaks:
                return None
            return max(0.0, self._watts.of(self._key(part))[0] * run_s)

    def lines(self) -> tuple[CostLine, ...]:
        """Published costs: per configuration the share-weighted sum over the stages of its paths."""
        with self._lock:
            return tuple(
                line for name, paths in self._paths.items() if (line := self._line(name, paths)) is not None
            )

    def _key(self, part: _Part) -> CostKey:
        return HOST_KEY if part == HOST else (self._bundle_sha256, *part)

    def _learn_seconds(self, part: _Part, run_s: float) -> None:
        seconds = self._seconds.get(part)
        if seconds is None:
            seconds = self._seconds[part] = _Seconds()
        seconds.learn(run_s)

    def _cost(self, part: _Part) -> Cost:
        """Of one part as the filter has it: only a path's sum is cut at zero."""
        seconds = self._seconds.get(part)
        if seconds is None:
            return Cost(None, None, None, None)
        sd_s = math.sqrt(seconds.variance)
        if not self._watts.speaks:
            return Cost(seconds.mean, sd_s, None, None)
        watt, variance = self._watts.of(self._key(part))
        energy = watt * seconds.mean
        spread2 = seconds.mean**2 * variance + (watt * sd_s) ** 2 + self._watts.scatter(energy)
        return Cost(seconds.mean, sd_s, energy, math.sqrt(spread2))

    def _line(self, name: str, paths: _Paths) -> CostLine | None:
        total = sum(paths.weights.values())
        run_s = run2 = energy_j = energy2 = 0.0
        known = True
        for path, weight in paths.weights.items():
            costs = [self._cost(part) for part in path]
            path_s = sum(cost.run_s or 0.0 for cost in costs)
            path_j = max(0.0, sum(cost.energy_j or 0.0 for cost in costs))
            known = known and all(cost.energy_j is not None for cost in costs)
            share = weight / total
            run_s += share * path_s
            run2 += share * (path_s**2 + sum((cost.run_sd_s or 0.0) ** 2 for cost in costs))
            energy_j += share * path_j
            energy2 += share * (path_j**2 + sum((cost.energy_sd_j or 0.0) ** 2 for cost in costs))
        if not paths.weights:
            return None
        sd_s = math.sqrt(max(0.0, run2 - run_s**2))
        bundle = self._bundle_sha256
        if not known:
            return CostLine(name, run_s, sd_s, bundle_sha256=bundle)
        return CostLine(name, run_s, sd_s, energy_j, math.sqrt(max(0.0, energy2 - energy_j**2)), bundle)


class CostModel:
    """One board's costs. `busy_w`: watts above idle of one busy core from the profile, null if unknown."""

    def __init__(self, busy_w: float | None = None) -> None:
        self._lock = threading.Lock()
        self._bundles: dict[str, BundleCosts] = {}
        self._watts = Watts(busy_w)

    def of(self, bundle_sha256: str) -> BundleCosts:
        """One bundle's costs: the same table at every call."""
        costs = self._bundles.get(bundle_sha256)
        if costs is None:  # `setdefault` is atomic: threads that ask at once get the same
            made = BundleCosts(bundle_sha256, self._watts, self._lock)
            costs = self._bundles.setdefault(bundle_sha256, made)
        return costs

    def learn(self, run: RunRecord) -> None:
        """Take in one run of a bundle."""
        self.of(run.bundle_sha256).learn(run)

    def lines(self) -> tuple[CostLine, ...]:
        """Published costs of every bundle."""
        return tuple(line for costs in tuple(self._bundles.values()) for line in costs.lines())

    @property
    def windows(self) -> int:
        """Metered windows learned from so far."""
        return self._watts.windows

    def watt(self, key: CostKey) -> float:
        """Watts above idle of one key, as known now."""
        with self._lock:
            return max(0.0, self._watts.of(key)[0])

    def charge(self, run: RunRecord) -> Charge | None:
        """Joules of a finished run, from its own seconds; None while nothing is known of this board."""
        with self._lock:
            return self._watts.charge(run)

    def learn_window(self, equation: Equation) -> None:
        """Take in one metered window (at most one a second: quadratic in the keys seen)."""
        with self._lock:
            self._watts.learn(equation)
