"""What was measured, each computation once, and which of it nothing else beats: from a trade-off's document.

A ratio's best way, a named rule and a single exit are often the same computation under several names: `t0`
lets the first exit answer everything, as `exit-1` does. Timed apart they differ by noise only, so one of
them stands for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

GROUPS = ("points", "rows", "equal_compute")

Row = Mapping[str, Any]
Computation = tuple[tuple[int, ...], tuple[float, ...], float | None]


def computation(widths: Sequence[int], thresholds: Sequence[float], zeroth: float | None) -> Computation:
    """What a way computes, whatever it is called: what stands behind an exit that always answers is left out.

    Args:
        widths: of the stages.
        thresholds: of the exits 1 to the last.
        zeroth: of the zeroth exit, None where it takes no part.
    """
    if zeroth is not None and zeroth <= 0.0:
        return (), (), 0.0
    depth = next((at for at, value in enumerate(thresholds, 1) if value <= 0.0), len(thresholds))
    # Any threshold above 1 is never reached.
    return tuple(widths[:depth]), tuple(min(value, 2.0) for value in thresholds[:depth]), zeroth


@dataclass(frozen=True, slots=True)
class Way:
    """One computation: the row that stands for it, and every row (group, row) that is it."""

    row: Row
    members: tuple[tuple[str, Row], ...]

    @property
    def kind(self) -> str:
        """`exit` (one exit answers everything), `rule` (shipped, can be asked for by name), else `found`."""
        if any(_is_exit(group, row) for group, row in self.members):
            return "exit"
        return "rule" if any(row["shipped"] for _, row in self.members) else "found"

    @property
    def label(self) -> str:
        """Short: exits and shipped rules by name, else the ratios or the static student that it is best within."""
        exits = [_spoken(row["name"]) for group, row in self.members if _is_exit(group, row)]
        rules = [row["rule"] for _, row in self.members if row["shipped"]]
        others = [row["name"] for group, row in self.members if group == "points"]
        ratios = [row["name"] for group, row in self.members if group == "rows"]
        named = list(dict.fromkeys([*exits, *rules])) or others[:1]
        if ratios:
            named.append("ratio " + (ratios[0] if len(ratios) == 1 else f"{ratios[0]} … {ratios[-1]}"))
        if not named:
            named = [f"within {_spoken(row['name'])}" for _, row in self.members][:1]
        return " = ".join(named)


def ways(document: Mapping[str, Any]) -> list[Way]:
    """Every distinct computation of a document, exits first, then shipped rules, then what was found."""
    found: dict[Computation, list[tuple[str, Row]]] = {}
    for group in GROUPS:
        for row in document[group]:
            if row["reachable"]:
                key = computation(row["widths"], row["thresholds"], row["zeroth"])
                found.setdefault(key, []).append((group, row))
    out = [Way(_first(members), tuple(members)) for members in found.values()]
    return sorted(out, key=lambda way: ("exit", "rule", "found").index(way.kind))


def _first(members: Sequence[tuple[str, Row]]) -> Row:
    """An exit before a shipped rule before the others."""
    return min(members, key=lambda one: (not _is_exit(*one), not one[1]["shipped"]))[1]


def _is_exit(group: str, row: Row) -> bool:
    return group == "points" and str(row["name"]).startswith("exit-")


def _spoken(name: str) -> str:
    return name.replace("-", " ")


# --- the front ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Point:
    """A mark: where, its spread (None: none is known), of what kind, and what a pointer on it says."""

    x: float
    y: float
    label: str
    kind: str
    y95: tuple[float, float] | None = None
    x95: tuple[float, float] | None = None
    said: str = field(default="", compare=False)


class _Placed(Protocol):
    @property
    def x(self) -> float: ...
    @property
    def y(self) -> float: ...


P = TypeVar("P", bound=_Placed)


def front(points: Iterable[P]) -> list[P]:
    """Those with less x or more y than every other, by what was measured of each; x ascending.

    Of two at one place the first stands for both.
    """
    out: list[P] = []
    for point in sorted(points, key=lambda one: (one.x, -one.y)):
        if not out or point.y > out[-1].y:
            out.append(point)
    return out
