"""Joules per answer: charged from the run record at once, reconciled with metered windows later.

`charge` prices a run from its own seconds and the cost model's watts, before the meter window it fell
into has closed. `reconcile` takes closed windows: those in which nothing ran (and the gaps between runs)
tell the idle draw, the others are equations that the cost model learns from, as soon as the idle draw was seen
behind them, too. Windows with work of this node that nobody is charged for (`uncharged`) tell nothing. What was
charged and what was metered is kept side by side, with the sum of both.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from firmware_py.contracts.errors import SensorBusError, SensorRangeError
from firmware_py.contracts.records import record
from firmware_py.contracts.reply import Energy, Method
from firmware_py.contracts.run import HOST_KEY, CostKey, RunRecord
from firmware_py.costs import CostModel
from firmware_py.energy.baseline import net_of
from firmware_py.energy.idle_draw import IdleDraw
from firmware_py.energy.integrate import EnergyEstimate, Span
from firmware_py.energy.uncertainty import half_width95
from firmware_py.energy.uncharged import UnchargedWork
from firmware_py.energy.window import Window
from firmware_py.watts import Equation

_LOG = logging.getLogger(__name__)

_KEEP_RUNS = 8192  # four seconds at 2000 answers a second
_KEEP_LINES = 600  # ten minutes of busy windows
_LEAST_PAD_S, _PAD_CYCLES = 0.01, 4.0  # around runs: a cycle at their edge is half theirs
_MOSTLY = 0.8  # of a window; runs and pads that fill more are metered as the whole window
_LEAST_DELAY_S = 0.2  # a window waits until runs that began in it were surely charged
_LONGEST_WAIT_S = 5.0  # of a busy window for an idle stretch behind it; a node that never rests shows none
_GUARD_BEFORE_S, _GUARD_AFTER_S = 0.002, 0.01  # a gap between runs keeps this distance from them
_LEAST_GAP_CYCLES = 12.0
_SYSTEMATIC = ("gain", "shunt", "time base")  # budget rows that no number of windows averages out
_SAMPLE_MEMORY = 0.998  # per window, as the cost model forgets
_Z95 = 1.96


@record(frozen=True, slots=True)
class Line:
    """One busy window: net joules metered and charged, and the sums since the start."""

    span: Span
    runs: float
    metered_j: float
    u95_j: float
    charged_j: float
    total_metered_j: float
    total_charged_j: float


@record(frozen=True, slots=True)
class _Run:
    record: RunRecord
    energy_j: float


@dataclass(slots=True)
class _Seen:
    """What ran in a window: seconds per key, charged joules, their squares, and when."""

    seconds: dict[CostKey, float]
    runs: float = 0.0
    charged_j: float = 0.0
    squares_j2: float = 0.0
    busy: list[Span] = field(default_factory=list)


class Ledger:
    """Charges and reconciliations of one node. `charge` is thread-safe and takes microseconds.

    Args:
        costs: the cost model, shared with whoever predicts.
        source: name of the meter behind the windows, `none` without one.
        simulated: whether that meter stands on a simulated board.
    """

    def __init__(self, costs: CostModel, *, source: str = "none", simulated: bool = False) -> None:
        self._costs = costs
        self._source = source
        self._simulated = simulated
        self._runs: deque[_Run] = deque(maxlen=_KEEP_RUNS)
        self._pending: deque[Window] = deque(maxlen=16)
        self._waiting: deque[tuple[Window, _Seen]] = deque(maxlen=16)
        self._idle = IdleDraw()
        self.uncharged = UnchargedWork()
        self._lock = threading.Lock()  # guards the lines; runs are appended, which is atomic
        self._lines: deque[Line] = deque(maxlen=_KEEP_LINES)
        self._metered_j = self._charged_j = 0.0
        self._longest_s = 0.0
        self._last_charge_s = -math.inf
        self._method: Method = "none"
        # Of the windows that the figures rest on.
        self._systematic95 = 0.0
        self._rate_hz: float | None = None
        self._samples = 0

    @property
    def source(self) -> str:
        """Name of the meter behind the windows."""
        return self._source

    @property
    def method(self) -> Method:
        """How the newest charge was known; `none` before the first."""
        return self._method

    @property
    def last_charge_s(self) -> float:
        """The monotonic second at which the last charged run ended; minus infinity before the first."""
        return self._last_charge_s

    def charge(self, run: RunRecord) -> Energy:
        """Joules of a finished run above idle, with the half-width of its 95 % interval.

        `predicted` once this board's windows taught the model enough, `estimated` before; unknown
        is null.
        """
        energy = self.price(run)
        self._runs.append(_Run(run, energy.energy_j or 0.0))
        self._last_charge_s = max(self._last_charge_s, run.end_s)
        self._method = energy.method
        return energy

    def price(self, run: RunRecord) -> Energy:
        """As `charge`, for work that is too short for a meter to say anything of it: no window hears of it."""
        charge = self._costs.charge(run)
        simulated = self._simulated or run.simulated
        if charge is None:
            return Energy(simulated=simulated)
        energy_j = charge.energy_j
        spread2 = charge.run_sd_j**2 + charge.parameter_sd_j**2
        if not charge.reconciled:
            return Energy(energy_j, _Z95 * math.sqrt(spread2), "net", "estimated", "none", simulated)
        systematic_j = self._systematic95 * energy_j
        u95_j = math.sqrt(_Z95**2 * spread2 + systematic_j**2)
        return Energy(
            energy_j,
            u95_j,
            method="predicted",
            source=self._source,
            simulated=simulated,
            rate_hz=self._rate_hz,
            samples=self._samples,
        )

    def reconcile(self, window: Window) -> None:
        """Take a closed window; it counts as soon as every run that began in it was charged.

        Only the meter's thread calls this.
        """
        self._pending.append(window)
        now_s = window.gross.span.end_s
        delay_s = _LEAST_DELAY_S + 2.0 * self._longest_s
        while self._pending and self._pending[0].gross.span.end_s <= now_s - delay_s:
            self._settle(self._pending.popleft())

    def lines(self) -> tuple[Line, ...]:
        """Reconciled busy windows, oldest first."""
        with self._lock:
            return tuple(self._lines)

    # --- inside ----------------------------------------------------------------------------------

    def _settle(self, window: Window) -> None:
        span = window.gross.span
        if self.uncharged.touches(span):
            return
        seen = self._seen(span)
        if seen.busy:
            self._learn_gaps(window, _merge(seen.busy, _GUARD_BEFORE_S, _GUARD_AFTER_S))
            self._waiting.append((window, seen))
        else:
            self._idle.learn(window.gross)
        while self._waiting and self._ripe(self._waiting[0][0].gross.span, span.end_s):
            self._teach(*self._waiting.popleft())

    def _ripe(self, span: Span, now_s: float) -> bool:
        """Whether a busy window has waited enough: the idle draw was seen behind it, or is not to be seen."""
        return self._idle.until_s >= span.end_s or now_s - span.end_s >= _LONGEST_WAIT_S

    def _teach(self, window: Window, seen: _Seen) -> None:
        """A busy window's equation, unless its idle draw is in doubt: between two levels, or not seen twice yet."""
        span = window.gross.span
        idle = self._idle.at(0.5 * (span.begin_s + span.end_s))
        moved = span.begin_s < self._idle.since_s or (self._idle.in_doubt and span.end_s > self._idle.until_s)
        if idle is None or moved:
            return
        net = net_of(self._around(window, seen.busy), idle)
        shared_j = idle.sd_w * net.length_s
        self._costs.learn_window(
            Equation(seen.seconds, seen.squares_j2, net.energy_j, net.type_a_j, shared_j)
        )
        self._note(window, net)
        with self._lock:
            self._metered_j += net.energy_j
            self._charged_j += seen.charged_j
            self._lines.append(
                Line(
                    span, seen.runs, net.energy_j, net.u95_j, seen.charged_j, self._metered_j, self._charged_j
                )
            )

    def _around(self, window: Window, busy: list[Span]) -> EnergyEstimate:
        """Joules of the runs with some cycles on both sides: idle stretches only add noise."""
        pad_s = max(_LEAST_PAD_S, _PAD_CYCLES * window.cadence.period_s)
        whole = window.gross.span
        padded = [
            Span(max(part.begin_s, whole.begin_s), min(part.end_s, whole.end_s))
            for part in _merge(busy, pad_s, pad_s)
        ]
        if sum(part.length_s for part in padded) > _MOSTLY * whole.length_s:
            return window.gross
        try:
            return window.part(padded)
        except (SensorBusError, SensorRangeError):
            return window.gross  # a stretch too thin for itself; the window as a whole was good enough

    def _seen(self, span: Span) -> _Seen:
        """What of the charged runs lies in a span; forgets runs that ended before it."""
        seen = _Seen({})
        longest_s = 0.99 * self._longest_s
        for run in tuple(self._runs):
            record = run.record
            longest_s = max(longest_s, record.run_s)
            share_s = min(record.end_s, span.end_s) - max(record.start_s, span.begin_s)
            if share_s <= 0.0:
                continue
            part = share_s / record.run_s if record.run_s > 0.0 else 1.0
            seen.runs += part
            seen.charged_j += part * run.energy_j
            seen.squares_j2 += (part * run.energy_j) ** 2
            seen.busy.append(Span(max(record.start_s, span.begin_s), min(record.end_s, span.end_s)))
            host_s = share_s
            for stage in record.stages:
                begin_s, end_s = stage.start_s, stage.start_s + stage.run_s
                stage_s = min(end_s, span.end_s) - max(begin_s, span.begin_s)
                if stage_s > 0.0:
                    key = (record.bundle_sha256, stage.graph, stage.delegate)
                    seen.seconds[key] = seen.seconds.get(key, 0.0) + stage_s
                    host_s -= stage_s
            if host_s > 0.0:
                seen.seconds[HOST_KEY] = seen.seconds.get(HOST_KEY, 0.0) + host_s
        self._longest_s = longest_s
        while self._runs and self._runs[0].record.end_s < span.begin_s:
            self._runs.popleft()
        return seen

    def _learn_gaps(self, window: Window, busy: list[Span]) -> None:
        """Idle draw from the stretches between runs: the closest neighbourhood there is."""
        edges = [window.gross.span.begin_s]
        for part in busy:
            edges += [part.begin_s, part.end_s]
        edges.append(window.gross.span.end_s)
        gaps = [Span(end_s, begin_s) for end_s, begin_s in zip(edges[0::2], edges[1::2], strict=True)]
        least_s = _LEAST_GAP_CYCLES * window.cadence.period_s
        gaps = [gap for gap in gaps if gap.length_s >= least_s]
        if gaps:
            try:
                self._idle.learn(window.part(gaps))
            except (SensorBusError, SensorRangeError) as error:
                _LOG.debug("no idle draw from the gaps of a window: %s", error)

    def _note(self, window: Window, net: EnergyEstimate) -> None:
        """Remember what the coming figures rest on."""
        scale = abs(net.energy_j) or 1.0
        self._systematic95 = half_width95([part for part in net.parts if part.name in _SYSTEMATIC]) / scale
        rate_hz = window.gross.rate_hz
        self._rate_hz = rate_hz if self._rate_hz is None else self._rate_hz + 0.1 * (rate_hz - self._rate_hz)
        self._samples = round(_SAMPLE_MEMORY * self._samples) + window.gross.samples


def _merge(spans: Iterable[Span], before_s: float, after_s: float) -> list[Span]:
    """Spans widened on both sides, overlapping ones joined, in order."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda part: part.begin_s):
        begin_s, end_s = span.begin_s - before_s, span.end_s + after_s
        if merged and begin_s <= merged[-1].end_s:
            last = merged.pop()
            begin_s, end_s = last.begin_s, max(last.end_s, end_s)
        merged.append(Span(begin_s, end_s))
    return merged
