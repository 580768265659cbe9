"""The one thread that reads the meter: slow while nothing runs, fast while answers are given.

An error in a window drops that window; nothing is ever filled in. A sensor that is gone, or was never there,
is said once, asked for again with growing pauses, and its coming is said once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import HardwareError, SensorAbsentError, SensorBusError, SensorRangeError
from firmware_py.energy.ledger import Ledger
from firmware_py.energy.meters.base import Meter, Pace
from firmware_py.energy.window import Window, WindowBuilder

_LOG = logging.getLogger(__name__)

_LINGER_S = 2.0  # keep the fast pace so long after the last answer
_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0  # after a failure; doubles
_THIN_WINDOWS = 3  # so many thin windows in a row are worth a word
_STALE_S = 3.0  # power older than this is unknown
_SLICE_S = 0.1  # the longest sleep, so that closing does not wait
_JOIN_S = 2.0


class EnergyWatch:
    """Owns the meter. `start()` runs it on a thread of its own; `step()` is one turn of that thread."""

    def __init__(self, meter: Meter, ledger: Ledger, clock: Clock) -> None:
        self._meter = meter
        self._ledger = ledger
        self._clock = clock
        self._builder = WindowBuilder(meter.capabilities)
        self._pace: Pace | None = None
        self._failures = self._thin = 0
        self._resume_s = 0.0
        self._said: str | None = None
        self._power: tuple[float, float] | None = None  # second, watt
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.answered = False  # whether the sensor ever did
        self.windows = 0
        self.dropped = 0

    def start(self) -> None:
        """Begin to watch on a daemon thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="meter", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop, and release the meter; a second call does nothing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)
            if self._thread.is_alive():
                _LOG.warning("the meter thread is stuck in a bus transfer; it is left behind")
                return
            self._thread = None
        self._meter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def power_w(self) -> float | None:
        """Mean power of the last window, None when there is none of the last three seconds."""
        power = self._power
        if power is None or self._clock.now_s() - power[0] > _STALE_S:
            return None
        return power[1]

    def step(self) -> None:
        """One turn: wait until the meter is due (0.1 s at most), read, close a window that is full."""
        now_s = self._clock.now_s()
        wait_s = (self._resume_s if self._pace is None else self._meter.due_s) - now_s
        if wait_s > 0.0:
            self._clock.sleep(min(wait_s, _SLICE_S))
            if wait_s > _SLICE_S:
                return
        try:
            self._turn()
        except SensorRangeError as error:
            self._drop(error)
            self._begin()
        except HardwareError as error:
            self._pause(error)
        except Exception as error:  # noqa: BLE001 - a defect of ours must not end the metering for good
            self._pause(SensorBusError(f"the meter's thread met {type(error).__name__}"))

    # --- inside ----------------------------------------------------------------------------------

    def _loop(self) -> None:
        while not self._stop.is_set():
            self.step()

    def _turn(self) -> None:
        wanted = self._wanted()
        if wanted is not self._pace:
            if self._pace is not None:
                self._meter.check()
                self._finish(self._builder.cut)
            self._meter.start(wanted)
            self.answered = True
            self._pace = wanted
            self._begin()
            return
        sample = self._meter.read()
        if sample is None:
            return
        if self._builder.add(sample):
            self._meter.check()
            self._finish(self._builder.close)

    def _pause(self, error: HardwareError) -> None:
        """Drop the window and leave the meter alone for a while; the next turn sets it up again."""
        self._drop(error)
        self._pace = None
        self._failures += 1
        pause_s = min(_PAUSE_S * 2.0 ** min(self._failures - 1, 10), _LONGEST_PAUSE_S)
        self._resume_s = self._clock.now_s() + pause_s

    def _wanted(self) -> Pace:
        return Pace.BUSY if self._clock.now_s() - self._ledger.last_charge_s < _LINGER_S else Pace.IDLE

    def _begin(self) -> None:
        if self._pace is not None:
            self._builder.begin(self._clock.now_s(), self._pace)

    def _finish(self, close: Callable[[], Window | None]) -> None:
        """Close a window; one that is too thin is a host that slept, not a sensor that failed."""
        try:
            window = close()
        except SensorBusError as error:
            self._thin += 1
            if self._thin >= _THIN_WINDOWS:
                self._drop(error)
            else:
                self.dropped += 1
                _LOG.debug("power meter: %s", error)
            return
        if window is not None:
            self._take(window)

    def _take(self, window: Window) -> None:
        self._failures = self._thin = 0
        self.windows += 1
        self._power = (window.gross.span.end_s, window.gross.power_w)
        if self._said is not None:
            self._said = None
            reads = "reads again" if self.windows > 1 else "reads now"
            _LOG.warning("power meter %s %s", self._meter.capabilities.source, reads)
        self._ledger.reconcile(window)

    def _drop(self, error: HardwareError) -> None:
        """A window is lost; each outage is said once, a changed reason once more."""
        self.dropped += 1
        if self._said != error.code:
            self._said = error.code
            nothing = isinstance(error, SensorAbsentError) or not self.answered
            what = "no joules are measured" if nothing else "the window is dropped"
            _LOG.warning("power meter: %s; %s. %s", error, what, error.hint)
        else:
            _LOG.debug("power meter: %s", error)
