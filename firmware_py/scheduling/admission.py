"""Who is let into the queue: pure arithmetic on predicted seconds."""

from __future__ import annotations

from firmware_py.contracts.errors import DeadlinePassedError, DeadlineUnreachableError

MIN_RETRY_S = 0.01


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
