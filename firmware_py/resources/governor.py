"""From the board's state and the asker's wishes to the limits of one run. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_py.contracts.limits import Limits
from firmware_py.contracts.records import record
from firmware_py.contracts.request import Qos
from firmware_py.resources.state import BoardState


@dataclass(frozen=True, slots=True)
class Policy:
    """When the board saves.

    Defaults: a Raspberry Pi throttles its cores from 80 °C and all of the chip from 85 °C (Raspberry
    Pi documentation, "Frequency management and thermal control"): depth is given up before the
    firmware takes speed. `power_limit_w` is the operator's; None sets none.
    """

    warm_c: float = 80.0
    hot_c: float = 85.0
    power_limit_w: float | None = None


@record(frozen=True, slots=True)
class Ask:
    """What the governor must know of a request."""

    qos: Qos
    due_s: float
    rule: str


def decide(state: BoardState, ask: Ask, policy: Policy, stages: int) -> Limits:
    """Cap the depth: to the first exit when hot or over the power limit, by one stage when warm."""
    cap: int | None = None
    if state.temperature_c is not None and state.temperature_c >= policy.warm_c:
        cap = 1 if state.temperature_c >= policy.hot_c else max(1, stages - 1)
    if (
        policy.power_limit_w is not None
        and state.power_w is not None
        and state.power_w > policy.power_limit_w
    ):
        cap = 1
    return Limits(due_s=ask.due_s, rule=ask.rule, max_stages=cap, energy_j=ask.qos.energy_j)
