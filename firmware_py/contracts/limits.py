"""What one request may spend now: the governor's answer, the engine's bound."""

from __future__ import annotations

from firmware_py.contracts.records import record


@record(frozen=True, slots=True)
class Limits:
    """Bounds for one run.

    `due_s` is a monotonic second; the engine takes the best exit so far when the next stage would
    pass it. `max_stages` caps the depth (heat, power), `energy_j` the predicted mean; both may be
    null. `rule` names an exit rule of the manifest. `widths` asks for width groups per stage; null is
    full width.
    """

    due_s: float
    rule: str
    max_stages: int | None = None
    energy_j: float | None = None
    widths: tuple[int, ...] | None = None
