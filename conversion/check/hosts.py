"""Of which hosts the seconds say something of a board.

A board profile's speed factor is against one processor, the reference host's. Another host's seconds count where one and
the same bundle was timed on both: they are stretched by the ratio, and what is predicted of them is wider by its scatter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The sources of the factors in `device_profiles/boards` name it: AMD EPYC family 26.
REFERENCE_ARCH, REFERENCE_FAMILY = "x86_64", 26


@dataclass(frozen=True, slots=True)
class Host:
    """Reference host's seconds of each second here, and the half-width of the 95 % interval as a share of it."""

    stretch: float
    u95: float


REFERENCE = Host(1.0, 0.0)

# By architecture, family and model. docs/measurements/model-clinc150.json against amx/model-clinc150.json, one bundle on both:
# 1.29 (all stages), 1.07 (`balanced`), 0.96 (`risk-1`), means of 3,000 texts. The deeper, the more is matrix products,
# which that host is better at; which of the three another bundle's rules are like is not known.
_TIMED: Mapping[tuple[Any, ...], Host] = {("x86_64", 6, 167): Host(1.10, 0.20)}


def host_of(machine: Mapping[str, Any]) -> Host | None:
    """What is known of a measurement file's machine; None: nothing.

    A file of before 28 November 2026 does not say its processor's family and is of the reference host.
    """
    arch, family = machine.get("arch", REFERENCE_ARCH), machine.get("cpu_family", REFERENCE_FAMILY)
    if (arch, family) == (REFERENCE_ARCH, REFERENCE_FAMILY):
        return REFERENCE
    return _TIMED.get((arch, family, machine.get("cpu_model")))


def other_host(machine: Mapping[str, Any]) -> str | None:
    """Why seconds of this machine cannot be stretched to a board's; None: they can."""
    if host_of(machine) is not None:
        return None
    family = machine.get("cpu_family")
    here = f"{machine.get('cpu') or machine.get('arch')}" + ("" if family is None else f" family {family}")
    return (
        f"timed on {here}, and the boards' speed factors are against AMD EPYC family {REFERENCE_FAMILY}: "
        "these seconds say nothing of a board"
    )


def told(host: Host) -> str:
    """The stretch, for a source; nothing of the reference host."""
    return "" if host == REFERENCE else f" x {host.stretch:g} ± {100 * host.u95:.0f} % of this host"
