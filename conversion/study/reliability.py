"""Is a confidence of 0.8 right in 80 of 100 cases? A reliability diagram per exit (DeGroot and Fienberg 1983)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from conversion.check.cascade import Lattice
from conversion.study.axes import Axis, Box, frame, line, scales, svg, text, whisker
from firmware_py.energy.uncertainty import Z95
from firmware_py.testing.calibration import BINS, calibration_of

_PANEL, _GAP, _LEFT, _TOP = 230, 72, 66, 40
_PER_ROW = 2
_STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
_FEW = 10  # rows below which a bin is drawn faint


def reliability(lattice: Lattice) -> list[dict[str, Any]]:
    """Of every exit at full width, over the in-scope rows: error, what chance alone would show, and its bins.

    A bin has the rows whose confidence falls into it, their mean confidence and the share that is right.
    """
    full = max(lattice.verdicts, key=lambda prefix: (len(prefix), sum(prefix)))
    inside = lattice.truth.inside
    out = []
    for depth in range(len(full) + 1):
        verdicts = lattice.verdicts.get(full[:depth])
        if verdicts is None:
            continue
        said = np.asarray(verdicts.confidence[inside], np.float64)
        right = np.asarray(lattice.right[full[:depth]][inside], bool)
        found = calibration_of(depth, said.tolist(), right.tolist())
        if found is not None:
            plain = {key: round(value, 6) for key, value in found.to_dict().items()}
            out.append({**plain, "exit": depth, "rows": len(said), "bins": _bins(said, right)})
    return out


def _bins(said: Any, right: Any) -> list[dict[str, Any]]:
    number = np.minimum((said * BINS).astype(np.intp), BINS - 1)
    return [
        {
            "rows": int(here.sum()),
            "confidence": round(float(said[here].mean()), 6),
            "right": round(float(right[here].mean()), 6),
        }
        for one in range(BINS)
        if (here := number == one).any()
    ]


def draw_reliability(title: str, exits: Sequence[Mapping[str, Any]]) -> str:
    """One panel an exit, as one `<svg>` element."""
    rows = math.ceil(len(exits) / _PER_ROW)
    columns = min(_PER_ROW, len(exits))
    size = (_LEFT + columns * (_PANEL + _GAP), rows * (_PANEL + _TOP + 56))
    parts: list[str] = []
    for number, one in enumerate(exits):
        row, column = divmod(number, _PER_ROW)
        left, top = _LEFT + column * (_PANEL + _GAP), _TOP + row * (_PANEL + _TOP + 56)
        parts += _panel(Box(left, top, left + _PANEL, top + _PANEL), one)
    return svg(title, size, parts)


def _panel(box: Box, one: Mapping[str, Any]) -> list[str]:
    across, up = scales(box, _STEPS, _STEPS)
    said = f"exit {one['exit']}: {one['error']:.1%} off (chance: to {one['perfect_p95']:.1%})"
    out = [
        *frame(box, (Axis("confidence"), _STEPS), (Axis("share that is right"), _STEPS)),
        text((box.left, box.top - 14), said, "best"),
        line("ideal", (box.left, box.bottom), (box.right, box.top)),
    ]
    most = max(part["rows"] for part in one["bins"])
    for part in one["bins"]:
        kind = "found" if part["rows"] >= _FEW else "found beaten"
        x, y = across(part["confidence"]), up(part["right"])
        low, high = wilson(part["right"], part["rows"])
        out += whisker(kind, (x, up(low)), (x, up(high)))
        radius = 2.5 + 5.5 * math.sqrt(part["rows"] / most)
        words = f"<title>{part['rows']} rows, confidence {part['confidence']:.2f}, right {part['right']:.2f}</title>"
        out.append(f'<circle class="mark {kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">{words}</circle>')
    return out


def wilson(share: float, rows: int) -> tuple[float, float]:
    """95 % interval of a share of so many rows (Wilson 1927)."""
    square = Z95**2 / rows
    middle = (share + square / 2) / (1 + square)
    half = Z95 * math.sqrt(share * (1 - share) / rows + square / (4 * rows)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)
