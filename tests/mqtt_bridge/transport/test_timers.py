"""Timers of one thread: what is cancelled neither runs nor is held on to."""

from __future__ import annotations

import weakref

from mqtt_bridge.transport.timers import Timer, Timers


class _Held:
    def job(self) -> None:
        """Bound to its object, as a closure is to what it closes over."""


def test_a_cancelled_timer_lets_go_of_its_job_at_once() -> None:
    """A client cancels a timer per answer; its request would else be held until the timer was due."""
    timers, held = Timers(), _Held()
    timer, gone = Timer(held.job), weakref.ref(held)
    timers.add(3600.0, timer)
    del held
    timer.cancel()
    assert gone() is None


def test_a_job_may_cancel_another_that_is_due_with_it() -> None:
    timers, ran = Timers(), []
    second = Timer(lambda: ran.append("second"))

    def first() -> None:
        ran.append("first")
        second.cancel()

    timers.add(1.0, Timer(first))
    timers.add(1.0, second)
    for job in timers.due(2.0):
        job()
    assert ran == ["first"]
