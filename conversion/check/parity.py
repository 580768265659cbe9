"""The gate: a recipe's files, run in the runtime that they are for, must say what torch says.

The worst fault seen in this family (agreement at chance) raised no error anywhere, so nothing is believed
that was not run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from conversion.check.runtime import Answers
from firmware_py.contracts.errors import ConversionError
from firmware_py.inference.exits import accepts, judge

# Bounds of this gate: int8 rounding moves a logit by some hundredths; a wrong graph moves all of them.
MIN_AGREEMENT = 0.985
MIN_TAGS = 0.985
MIN_EXITS = 0.97
MAX_MEAN_ERROR = 0.25


@dataclass(frozen=True, slots=True)
class Rules:
    """What exits decide by: one temperature and one threshold per exit, and the scope."""

    temperatures: tuple[float, ...]
    thresholds: tuple[float, ...]
    scope_threshold: float
    scope_index: int | None


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the runtime is from torch on `rows` sentences, the worst exit of each figure."""

    recipe: str
    runtime: str
    rows: int
    agreement: float
    mean_logit_error: float
    max_logit_error: float
    same_exit: float
    same_tags: float

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return {name: round(v, 5) if isinstance(v, float) else v for name, v in asdict(self).items()}


def chosen_exits(logits: npt.NDArray[Any], rules: Rules) -> list[int]:
    """The exit (from 0) that answers each row of logits [N,E,C]."""
    out = []
    for row in logits:
        for number, one in enumerate(row):
            verdict = judge(one, rules.temperatures[number], rules.scope_threshold, rules.scope_index)
            if number == len(row) - 1 or accepts(verdict, rules.thresholds[number]):
                out.append(number)
                break
    return out


def compare(name: str, runtime: str, ours: Answers, torch: Answers, rules: Rules) -> Parity:
    """Measure a recipe's answers against torch's for the same texts."""
    error = np.abs(ours.logits - torch.logits)
    agree = (ours.logits.argmax(-1) == torch.logits.argmax(-1)).mean(0)
    length = min(ours.tags.shape[-1], torch.tags.shape[-1])
    real = torch.tags[:, :, :length] >= 0
    same = (ours.tags[:, :, :length] == torch.tags[:, :, :length])[real]
    left, right = chosen_exits(ours.logits, rules), chosen_exits(torch.logits, rules)
    return Parity(
        recipe=name,
        runtime=runtime,
        rows=len(error),
        agreement=float(agree.min()),
        mean_logit_error=float(error.mean()),
        max_logit_error=float(error.max()),
        same_exit=float(np.mean([a == b for a, b in zip(left, right, strict=True)])),
        same_tags=float(same.mean()) if same.size else 1.0,
    )


def gate(parity: Parity) -> None:
    """Let a recipe pass or refuse it.

    Raises:
        ConversionError: a figure is beyond its bound.
    """
    faults = []
    if parity.agreement < MIN_AGREEMENT:
        faults.append(f"intents agree on {parity.agreement:.3f}, at least {MIN_AGREEMENT} needed")
    if parity.same_tags < MIN_TAGS:
        faults.append(f"tags agree on {parity.same_tags:.3f}, at least {MIN_TAGS} needed")
    if parity.same_exit < MIN_EXITS:
        faults.append(f"exits agree on {parity.same_exit:.3f}, at least {MIN_EXITS} needed")
    if not parity.mean_logit_error <= MAX_MEAN_ERROR:
        faults.append(f"mean logit error {parity.mean_logit_error:.3f}, at most {MAX_MEAN_ERROR} allowed")
    if faults:
        msg = f"{parity.recipe} in {parity.runtime} is not what torch says: {'; '.join(faults)}"
        raise ConversionError(msg)
