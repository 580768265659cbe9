"""What the board draws when nothing of ours runs, from idle windows of the neighbourhood. Pure."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from firmware_py.energy.integrate import EnergyEstimate
from firmware_py.energy.uncertainty import Part, half_width95

_TAU_S = 15.0  # a window so far away weighs 1/e: idle drifts with heat and background work
_KEEP = 64
_DRIFT = 0.01  # relative drift of idle per tau that no idle window has witnessed


@dataclass(frozen=True, slots=True)
class Idle:
    """Idle power at a moment: mean, standard uncertainty of it there, scatter of one second around it."""

    power_w: float
    sd_w: float
    second_sd_w: float
    dof: float


class Baseline:
    """Idle windows with their middle; asked for a moment it answers from those around it."""

    def __init__(self) -> None:
        self._windows: deque[tuple[float, float, float]] = deque(maxlen=_KEEP)  # middle, seconds, watt

    def learn(self, window: EnergyEstimate) -> None:
        """Take in a window in which nothing of ours ran."""
        middle_s = 0.5 * (window.span.begin_s + window.span.end_s)
        self._windows.append((middle_s, window.length_s, window.power_w))

    def at(self, at_s: float) -> Idle | None:
        """Idle power at a moment; None before the second idle window."""
        if len(self._windows) < 2:
            return None
        total = total2 = power = 0.0
        nearest_s = math.inf
        weights = []
        for middle_s, length_s, watt in self._windows:
            age_s = abs(at_s - middle_s)
            nearest_s = min(nearest_s, age_s)
            weight = length_s * math.exp(-min(age_s / _TAU_S, 30.0)) + 1e-12
            weights.append(weight)
            total += weight
            total2 += weight * weight
            power += weight * watt
        power /= total
        # Scatter of windows scaled to one second (variance of a mean falls with its length).
        scatter2 = sum(
            weight * min(length_s, 1.0) * (watt - power) ** 2
            for weight, (_, length_s, watt) in zip(weights, self._windows, strict=True)
        )
        effective = total * total / total2
        scatter2 = scatter2 / total * effective / max(effective - 1.0, 0.5)
        stale = _DRIFT * power * min(nearest_s / _TAU_S, 10.0)
        return Idle(
            power, math.sqrt(scatter2 / effective + stale**2), math.sqrt(scatter2), max(1.0, effective - 1.0)
        )


def net_of(window: EnergyEstimate, idle: Idle) -> EnergyEstimate:
    """The window's joules above idle, with a budget of its own.

    The offset was in both and cancels; gain and shunt act on the difference only; idle scatter counts
    twice: in the baseline's mean and as bursts that the window itself caught.
    """
    length_s = window.length_s
    net_j = window.energy_j - idle.power_w * length_s
    share = abs(net_j) / abs(window.energy_j) if window.energy_j else 0.0
    parts: list[Part] = []
    for part in window.parts:
        if part.name == "offset":
            continue
        scale = share if part.name in {"gain", "shunt", "time base"} else 1.0
        parts.append(Part(part.name, part.size * scale, part.rectangular, part.dof))
    parts.append(Part("baseline", idle.sd_w * length_s, dof=idle.dof))
    parts.append(Part("idle bursts", idle.second_sd_w * math.sqrt(length_s), dof=idle.dof))
    return EnergyEstimate(
        window.span,
        length_s,
        net_j,
        half_width95(parts),
        tuple(parts),
        window.rate_hz,
        window.samples,
        window.coverage,
    )
