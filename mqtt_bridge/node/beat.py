"""A job done once a period on a transport's thread, until it is ended there."""

from __future__ import annotations

from mqtt_bridge.transport.base import Transport
from mqtt_bridge.transport.timers import Job, Timer


class Beat:
    """Begins with `start`; the job may fail and comes again all the same."""

    def __init__(self, transport: Transport, period_s: float, job: Job) -> None:
        self._transport = transport
        self._period_s = period_s
        self._job = job
        self._timer: Timer | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and not ended."""
        return self._timer is not None

    def start(self) -> None:
        """Do the job a period from now, and again."""
        self._timer = self._transport.call_later(self._period_s, self._next)

    def end(self) -> bool:
        """End it, on the transport's thread, where no job can be under way; whether it was running."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        return timer is not None

    def _next(self) -> None:
        if self._timer is None:
            return
        self._timer = self._transport.call_later(self._period_s, self._next)  # first: a figure may be wrong
        self._job()
