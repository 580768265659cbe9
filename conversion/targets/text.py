"""The rows of `ciuic model targets` for people: a table of 100 columns, and below it every reason once.

Where a figure is unknown, the number of the reason stands in its place; what falls back is numbered beside the share.
"""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Sequence

from conversion.check.on_board import figure
from conversion.targets.mapping import AFTER_THE_FIRST, Division
from conversion.targets.report import OF_THE_FORM, Row

COLUMNS = 100
_HEAD = ("board", "delegate", "recipe", "mapped", "MB", "accuracy", "seconds", "joules")
_LEGEND = (
    "mapped: share of the operators that the delegate runs. accuracy: of the default rule, and its change in points "
    "against the bundle asked for. ~: predicted for one answer; nothing ran on a board. [n]: reasons below."
)


class _Notes:
    """Reasons in the order in which they were first said."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, ...], int] = {}

    def number(self, *lines: str) -> str:
        """`[3]`: the number of a reason, whose lines after the first are its points."""
        return f"[{self._numbers.setdefault(lines, len(self._numbers) + 1)}]"

    def written(self) -> list[str]:
        out = []
        for (first, *points), number in self._numbers.items():
            out.append(_filled(first, f"[{number}]".ljust(5), " " * 5))
            out.extend(_filled(point, "     - ", " " * 7) for point in points)
        return out


def table_text(rows: Sequence[Row]) -> str:
    """A row a line, then the reasons."""
    notes = _Notes()
    lines = [_HEAD, *(_cells(row, notes) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(_HEAD))]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([*table, "", _filled(_LEGEND, "", ""), *notes.written()])


def _cells(row: Row, notes: _Notes) -> tuple[str, ...]:
    def why(name: str) -> str:
        return notes.number(row.unknown[name])

    return (
        row.board,
        row.delegate,
        row.recipe,
        why("operators") if row.operators is None else _mapped(row, row.operators, notes),
        why("size_bytes") if row.size_bytes is None else f"{row.size_bytes / 1e6:.2f}",
        why("accuracy")
        if row.accuracy is None
        else f"{row.accuracy:.2%} {_change(row) or why('accuracy_change')}",
        why("predicted_s") if row.predicted_s is None else f"~{row.predicted_s * 1e6:.0f} µs",
        why("predicted_j") if row.predicted_j is None else _joules(row.predicted_j, row.predicted_u95_j),
    )


def _change(row: Row) -> str:
    return "" if row.accuracy_change is None else f"{row.accuracy_change:+.2f}"


def _joules(energy_j: float, u95_j: float | None) -> str:
    return f"~{figure(energy_j, u95_j, 'J')}".replace(" ± ", "±")


def _mapped(row: Row, operators: Division, notes: _Notes) -> str:
    """The share, with the number of what falls back."""
    said = "-" if operators.share is None else f"{operators.share:.0%}"
    whose = f" ({OF_THE_FORM})" if row.basis == OF_THE_FORM else ""
    if operators.left:
        number = notes.number(
            f"{operators.total - operators.mapped} of {operators.total} operators fall back to the CPU{whose}:",
            *_left(operators),
        )
        return f"{said} {number}"
    return f"{said} {notes.number(f'nothing falls back{whose}')}" if whose else said


def _left(operators: Division) -> list[str]:
    """A line for each reason, the most frequent first.

    What stands behind a gap is the gap's doing and comes last.
    """
    by_reason: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for (name, why), count in operators.left.items():
        by_reason[why].append((-count, name))

    def place(why: str) -> tuple[bool, int]:
        return why == AFTER_THE_FIRST, sum(count for count, _ in by_reason[why])

    return [
        f"{why}: {', '.join(f'{-count} {name}' for count, name in sorted(by_reason[why]))}"
        for why in sorted(by_reason, key=place)
    ]


def _filled(text: str, first: str, others: str) -> str:
    """Wrapped; commands in it are not broken at hyphens."""
    return textwrap.fill(
        text,
        COLUMNS,
        initial_indent=first,
        subsequent_indent=others,
        break_on_hyphens=False,
        break_long_words=False,
    )
