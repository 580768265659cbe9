"""A slower board on this machine: each stage takes its real time times the profile's factor.

What comes out is the real graph's answer; only time (and the load told to the plant) is simulated,
and every record says so.
"""

from __future__ import annotations

from typing import Protocol

from firmware_py.contracts.clock import Clock
from firmware_py.contracts.run import GraphKey
from firmware_py.contracts.seams import Runner, Tensors


class LoadListener(Protocol):
    """Who must know when the simulated core is busy: the plant behind the simulated sensor."""

    def busy(self, at_s: float, key: object = "") -> None:
        """A stage began at a monotonic second; `key` names its graph."""

    def idle(self, at_s: float) -> None:
        """It ended."""


class SimulatedRunner:
    """A Runner around a Runner; factors below 1 (a board faster than this machine) cannot be shown."""

    __slots__ = ("_as_fast", "_clock", "_factor", "_listener", "_runner", "delegate")

    simulated = True

    def __init__(
        self, runner: Runner, speed_factor: float, clock: Clock, listener: LoadListener | None = None
    ) -> None:
        self._runner = runner
        self._factor = max(1.0, speed_factor)
        self._as_fast = self._factor <= 1.0
        self._clock = clock
        self._listener = listener
        self.delegate = runner.delegate

    def run(self, graph: GraphKey, tensors: Tensors, deadline_s: float) -> Tensors:
        """Run for real, then wait out the rest of the simulated time.

        Raises:
            GraphError: as the runner behind it.
            DelegateError: as the runner behind it.
        """
        if self._as_fast and self._listener is None:  # nothing to wait out, nobody to tell
            return self._runner.run(graph, tensors, deadline_s)
        begin_s = self._clock.now_s()
        if self._listener is not None:
            self._listener.busy(begin_s, graph)
        try:
            out = self._runner.run(graph, tensors, deadline_s)
            took_s = self._clock.now_s() - begin_s
            self._clock.sleep((self._factor - 1.0) * took_s)
            return out
        finally:
            if self._listener is not None:
                self._listener.idle(self._clock.now_s())

    def close(self) -> None:
        """Close the runner behind it."""
        self._runner.close()
