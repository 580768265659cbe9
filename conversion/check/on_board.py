"""What one machine's seconds say of a board that is not here: joules of an answer, or the reason why not.

Of seconds of a host that was never compared with the one that the boards' factors are against (`hosts`) nothing comes: null, and why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from conversion.check.hosts import REFERENCE, host_of, other_host, told
from device_profiles.profile import BoardProfile
from firmware_py.contracts.run import RunRecord
from firmware_py.contracts.written import prefix, si
from firmware_py.costs import CostModel
from firmware_py.energy.uncertainty import Z95


@dataclass(frozen=True, slots=True)
class Joules:
    """Mean joules of one answer with the half-width of the 95 % interval; both null without a source.

    `source` then says why.
    """

    energy_j: float | None
    u95_j: float | None
    method: str
    source: str
    simulated: bool

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


UNKNOWN = Joules(None, None, "none", "none", simulated=False)


def no_joules(profile: BoardProfile, machine: Mapping[str, Any]) -> str | None:
    """Why there are no joules for seconds of this machine on the board; None: there are."""
    if profile.simulation.speed_factor is None or profile.simulation.busy_w is None:
        return f"profile {profile.name} has no busy_w or speed_factor"
    return other_host(machine)


def estimated(profile: BoardProfile, mean_s: float, machine: Mapping[str, Any]) -> Joules:
    """Mean joules of answers that took `mean_s` on this machine: the profile's watts, and how far the node trusts them.

    That is the node's own cost model before it has seen a window.
    """
    if (why := no_joules(profile, machine)) is not None:
        return replace(UNKNOWN, source=why)
    factor, busy_w = profile.simulation.speed_factor or 0.0, profile.simulation.busy_w or 0.0
    host = host_of(machine) or REFERENCE
    charge = CostModel(busy_w).charge(RunRecord("", "", (), 1, 0.0, mean_s * host.stretch * factor, 1))
    if charge is None:
        return UNKNOWN
    seconds = f"seconds here x {told(host)}" if told(host) else "seconds here"
    source = f"profile {profile.name}: busy_w {busy_w:g} W x {seconds} x speed_factor {factor:g}"
    u95_j = math.hypot(Z95 * charge.parameter_sd_j, charge.energy_j * host.u95)
    return Joules(charge.energy_j, u95_j, "estimated", source, simulated=True)


def figure(value: float, u95: float | None, unit: str) -> str:
    """A figure and its half-width in one unit, two digits of the half-width and as many of the figure: `218.0 ± 5.9 µJ`."""
    if u95 is None or not u95 > 0.0:
        return si(value, unit)
    factor, letter = prefix(value)
    digits = max(0, 1 - math.floor(math.log10(u95 / factor)))
    return f"{value / factor:.{digits}f} ± {u95 / factor:.{digits}f} {letter}{unit}"
