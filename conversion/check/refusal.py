"""What is left of a bundle that the gate refused: a report that says why, where the bundle would have been made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conversion.check.answers import LatticeAnswers
from conversion.check.calibrate import DEFAULT, preset_rules
from conversion.check.parity import Bounds, Parity, Rules, bounds_of, faults
from firmware_py.bundles.write import write_atomic
from firmware_py.contracts.errors import ConversionError

SUFFIX = ".refused.json"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One runtime in which a recipe is not what torch says: its figures, their bounds, what is beyond them."""

    parity: Parity
    bounds: Bounds
    why: tuple[str, ...]


def refusals(parities: Sequence[Parity]) -> list[Refusal]:
    """Those of a recipe's runtimes that its own bounds refuse."""
    found = [(one, bounds_of(one.recipe)) for one in parities]
    judged = [Refusal(one, bounds, tuple(faults(one, bounds))) for one, bounds in found]
    return [one for one in judged if one.why]


def not_finite(sides: Mapping[str, LatticeAnswers]) -> str | None:
    """On which sides some logit is no finite number, in words; None where all are finite.

    Nothing can be calibrated on such a side: ask before, and gate by rules that are `uncalibrated`.
    """
    strange = [
        name
        for name, said in sides.items()
        if not all(np.isfinite(one).all() for one in said.logits.values())
    ]
    return f"logits are not finite on {', '.join(strange)}" if strange else None


def uncalibrated(stages: int, scope_index: int | None) -> Rules:
    """The default preset at temperatures of 1, nothing out of scope."""
    return Rules((1.0,) * stages, preset_rules(stages)[DEFAULT], 1.0, scope_index)


def refuse(found: Sequence[Refusal], bundle: Path, about: Mapping[str, Any]) -> None:
    """Do nothing where nothing was found; else leave a report and raise.

    Args:
        found: what the gate found.
        bundle: where the bundle would be; the report lies beside it as `NAME.refused.json`.
        about: the build, as its report would tell it.

    Raises:
        ConversionError: something was found.
        OSError: the report cannot be written.
    """
    if not found:
        return
    path = bundle.with_suffix(SUFFIX)
    report = {**about, "refused": [_entry(one, bundle.name) for one in found]}
    # A figure that is no number is null: JSON has no other word, and the reason stands beside it.
    plain = json.loads(json.dumps(report), parse_constant=lambda _: None)
    write_atomic(path, (json.dumps(plain, indent=1) + "\n").encode())
    first = found[0].parity
    ways = "; ".join(f"in {one.parity.runtime} {', '.join(one.why)}" for one in found)
    msg = f"{first.recipe} is not what torch says: {ways}"
    raise ConversionError(
        msg,
        hint=f"{bundle.name} was not written and no bundle was replaced. Figures and bounds: {path}. "
        "The build folder keeps the steps that were right.",
    )


def _entry(one: Refusal, file: str) -> dict[str, Any]:
    return {
        "recipe": one.parity.recipe,
        "runtime": one.parity.runtime,
        "file": file,
        "why": list(one.why),
        "figures": one.parity.to_dict(),
        "bounds": asdict(one.bounds),
    }
