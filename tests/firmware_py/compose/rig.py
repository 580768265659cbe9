"""A request and patience for tests of composed nodes."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.request import Qos, Request

CLOCK = SystemClock()


def ask(text: str = "turn on the light", energy_j: float | None = None) -> Request:
    """A request whose deadline is beyond the test's patience."""
    return Request("1", "home", {"text": text}, Qos(60.0, energy_j=energy_j), arrived_s=CLOCK.now_s())


def until(condition: Callable[[], bool]) -> None:
    """Wait for what a metered second brings; on a busy machine many are dropped for want of samples."""
    for _ in range(1200):
        if condition():
            return
        threading.Event().wait(0.05)
    pytest.fail("the condition did not come true")
