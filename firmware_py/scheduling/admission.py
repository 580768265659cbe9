"""Who is let into the queue: pure arithmetic on predicted seconds."""

from __future__ import annotations

import math

from firmware_py.contracts.errors import DeadlinePassedError, DeadlineUnreachableError
from firmware_py.contracts.run import RunRecord

MIN_RETRY_S = 0.01
STALE_S = 1.0  # after so long without a run, what runs took is no ground to refuse: one is tried
_RATE = 0.05  # weight of the newest run once 20 were seen
_CLIP_SD = 4.0  # a run further out counts as this far: graphs that one long text loads are not a slow board
_SPREAD, _TICK_S = 0.25, 1e-6  # spread that is allowed for at least: relative, and of a clock


class MeanSeconds:
    """A running mean of what runs took; 0 while none is known.

    It is what a queue is waited for with, so it weighs slow and fast runs alike. The first run loads graphs: it
    counts only until the second is known.
    """

    __slots__ = ("_count", "_variance", "mean_s")

    def __init__(self) -> None:
        self.mean_s = 0.0
        self._count = 0
        self._variance = 0.0

    def learn(self, run_s: float) -> None:
        """Take one run into the mean."""
        self._count += 1
        if self._count <= 2:
            self.mean_s, self._variance = run_s, (_SPREAD * run_s) ** 2
            return
        rate = max(_RATE, 1.0 / (self._count - 1))
        limit_s = _CLIP_SD * (max(math.sqrt(self._variance), _SPREAD * self.mean_s) + _TICK_S)
        delta_s = max(-limit_s, min(limit_s, run_s - self.mean_s))
        self.mean_s += rate * delta_s
        self._variance = (1.0 - rate) * (self._variance + rate * delta_s * delta_s)


class Pace:
    """How long this node's runs of one task take: `run_s` the mean of whole runs, 0 while none is known."""

    __slots__ = ("_first", "_last_s", "_whole")

    def __init__(self) -> None:
        self._whole, self._first = MeanSeconds(), MeanSeconds()
        self._last_s = -math.inf

    @property
    def run_s(self) -> float:
        """Mean seconds of a whole run."""
        return self._whole.mean_s

    def first_s(self, now_s: float) -> float:
        """Mean seconds up to exit 1; 0 after `STALE_S` without a run.

        Else one slow second would have every short deadline refused for ever.
        """
        return self._first.mean_s if now_s - self._last_s < STALE_S else 0.0

    def learn(self, record: RunRecord) -> None:
        """Take one run into both means.

        A run that exit 0 answered says nothing of exit 1, which the next text may need.
        """
        self._last_s = record.end_s
        self._whole.learn(record.run_s)
        if record.stages:
            self._first.learn(record.run_s - sum(stage.run_s for stage in record.stages[1:]))


def check_deadline(left_s: float, wait_s: float, run_s: float) -> None:
    """Refuse what cannot be answered in time.

    Args:
        left_s: seconds until the deadline.
        wait_s: predicted seconds until a slot is free for this request.
        run_s: predicted seconds of its shortest run; 0 when nothing was measured yet.

    Raises:
        DeadlinePassedError: nothing is left.
        DeadlineUnreachableError: waiting and running would take longer than what is left.
    """
    if left_s <= 0.0:
        msg = "the deadline was over when the request arrived"
        raise DeadlinePassedError(msg)
    if wait_s + run_s > left_s:
        msg = f"{wait_s:.3g} s of waiting and {run_s:.3g} s of running do not fit into {left_s:.3g} s"
        raise DeadlineUnreachableError(msg, retry_after_s=retry_after_s(wait_s))


def retry_after_s(wait_s: float) -> float:
    """When asking again may help: after what waits now is done."""
    return round(max(wait_s, MIN_RETRY_S), 3)
