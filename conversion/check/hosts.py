"""Of which hosts the seconds say something of a board.

A board profile's speed factor is against one processor, the reference host's. Another host's seconds count where one and
the same bundle was timed on both: they are stretched by the ratio, and what is predicted of them is wider by how far that ratio differs from rule to rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The sources of the factors in `device_profiles/boards` name it: AMD EPYC family 26.
REFERENCE_ARCH, REFERENCE_FAMILY = "x86_64", 26


@dataclass(frozen=True, slots=True)
class Host:
    """Reference host's seconds of each second here, and the half-width of the 95 % interval as a share of that."""

    stretch: float
    u95: float


REFERENCE = Host(1.0, 0.0)

# By architecture, processor and a vector unit: a virtual machine may hide its processor's model. The bundle of
# docs/measurements/model-clinc150-2026-11-22.json was timed again for amx/model-clinc150.json, means of 1,000 texts: 1.29 (all stages),
# 1.07 (`balanced`), 0.96 (`risk-1`); their mean, and 1.96 times their standard deviation. The deeper, the more is matrix
# products, which that host is better at: what is told of all stages is rather too low, of an early exit too high.
_TIMED = {("x86_64", "Intel(R) Xeon(R) Processor", "amx_int8"): Host(1.11, 0.30)}


def host_of(machine: Mapping[str, Any]) -> Host | None:
    """What is known of a measurement file's machine; None: nothing.

    A file of before 28 November 2026 does not say its processor's family and is of the reference host.
    """
    arch, family = machine.get("arch", REFERENCE_ARCH), machine.get("cpu_family", REFERENCE_FAMILY)
    if (arch, family) == (REFERENCE_ARCH, REFERENCE_FAMILY):
        return REFERENCE
    units = machine.get("cpu_vectors", ())
    return next(
        (
            host
            for (*same, unit), host in _TIMED.items()
            if same == [arch, machine.get("cpu")] and unit in units
        ),
        None,
    )


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
    """The factor, for a source: `1.11 ± 30 %`; empty for the reference host."""
    return "" if host == REFERENCE else f"{host.stretch:g} ± {100 * host.u95:.0f} %"
