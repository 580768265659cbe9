"""How a graph divides between a delegate and the CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conversion.targets.tables import Table, refusal
from conversion.targets.tflite import Operator

AFTER_THE_FIRST = "stands behind the first operator that is left out: this delegate takes one piece"


@dataclass(frozen=True, slots=True)
class Division:
    """Operators of one or more graphs.

    `mapped` of `total` run on the delegate, in `pieces` stretches (each costs a way there and back);
    `left` counts the rest by operator and reason. `possible` would be mapped by a delegate that takes
    several pieces.
    """

    total: int
    mapped: int
    possible: int
    pieces: int
    left: Mapping[tuple[str, str], int]

    @property
    def share(self) -> float | None:
        """Mapped of total; None without operators."""
        return self.mapped / self.total if self.total else None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "operators": self.total,
            "mapped": self.mapped,
            "share": None if self.share is None else round(self.share, 4),
            "possible": self.possible,
            "pieces": self.pieces,
            "left": [
                {"operator": name, "count": count, "why": why}
                for (name, why), count in sorted(self.left.items())
            ],
        }


def divide(operators: Sequence[Operator], table: Table) -> Division:
    """Divide one graph.

    Where a delegate takes one piece, what is left out ends it only if it needs a result of that piece: an
    input that is quantised on the CPU beforehand does not.
    """
    left: Counter[tuple[str, str]] = Counter()
    mapped = possible = pieces = 0
    ours: set[int] = set()  # tensors that come out of the delegate, or of something behind it
    inside = stopped = False
    for operator in operators:
        why = refusal(operator, table)
        behind = any(one.index in ours for one in operator.inputs)
        possible += why is None
        if why is None and stopped:
            why = AFTER_THE_FIRST
        elif why is not None and table.whole and behind:
            stopped = True
        if why is None:
            mapped += 1
            pieces += not inside
        else:
            left[operator.name, why] += 1
        if why is None or behind:
            ours.update(one.index for one in operator.outputs)
            inside = why is None  # what waits for nothing of ours can run before the piece
    return Division(len(operators), mapped, possible, pieces, dict(left))


def total(parts: Iterable[Division]) -> Division:
    """The sum over graphs."""
    left: Counter[tuple[str, str]] = Counter()
    numbers = [0, 0, 0, 0]
    for part in parts:
        left.update(part.left)
        for place, value in enumerate((part.total, part.mapped, part.possible, part.pieces)):
            numbers[place] += value
    return Division(numbers[0], numbers[1], numbers[2], numbers[3], dict(left))
