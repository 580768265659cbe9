"""A scatter with its front: what nothing else beats in these two axes, joined by steps; the rest faint.

The step line is what can be had for so much: it rises where a dearer way is more accurate. All marks keep their
spread bars, and labels do not cover each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from conversion.study.axes import Axis, Box, Scale, frame, line, scales, svg, text, ticks, whisker
from conversion.study.fronts import Point, front

WIDTH, HEIGHT = 880, 520
_BOX = Box(74, 44, WIDTH - 24, HEIGHT - 62)
_LETTER, _LINE = 7.4, 16.0  # of the 13 px labels
_FAINT_LETTER = 6.2
_KEY = (("exit", "one exit alone"), ("rule", "rule of the bundle"), ("found", "best within a budget"))


@dataclass(frozen=True, slots=True)
class Chart:
    """Points of kind `exit`, `rule` or `found`; less x and more y are better."""

    title: str
    x: Axis
    y: Axis
    points: Sequence[Point]


@dataclass(frozen=True, slots=True)
class _Mark:
    x: float
    y: float
    point: Point
    best: bool
    below: bool  # the drawn range ends above it
    y95: tuple[float, float] | None  # pixels
    x95: tuple[float, float] | None

    @property
    def kind(self) -> str:
        return self.point.kind if self.best else f"{self.point.kind} beaten"


def draw(chart: Chart) -> str:
    """The chart as one `<svg>` element; a point below the drawn range stands on its lower edge with an arrow."""
    if not chart.points:
        return ""
    x_ticks = ticks(0.0, max(p.x95[1] if p.x95 else p.x for p in chart.points) * chart.x.scale, 8)
    y_ticks = _y_ticks(chart)
    across, up = scales(_BOX, x_ticks, y_ticks)
    best = {id(point) for point in front(chart.points)}
    marks = [_marked(chart, point, (across, up), best=id(point) in best) for point in chart.points]
    marks.sort(key=lambda mark: mark.best)  # the front is drawn over the rest
    steps = _steps(sorted((mark.x, mark.y) for mark in marks if mark.best))
    parts = [
        *frame(_BOX, (chart.x, x_ticks), (chart.y, y_ticks)),
        *_key(),
        _area(steps),
        *(part for mark in marks for part in _bars(mark)),
        f'<polyline class="line" points="{_path(steps)}"/>',
        *(_symbol(mark) for mark in marks),
        *_labels(chart, marks, steps),
    ]
    return svg(chart.title, (WIDTH, HEIGHT), parts)


def _y_ticks(chart: Chart) -> list[float]:
    """All points with their bars, but for exits below everybody else's (a zeroth one often is): they would squeeze the rest."""
    lows = {id(p): (p.y95[0] if p.y95 else p.y) * chart.y.scale for p in chart.points}
    others = [lows[id(p)] for p in chart.points if p.kind != "exit"]
    low = min(others or lows.values())
    near = [lows[id(p)] for p in chart.points if p.y * chart.y.scale >= low]
    high = max((p.y95[1] if p.y95 else p.y) * chart.y.scale for p in chart.points)
    least = 0.01 * abs(high)  # where all are alike, show some room below them
    return ticks(min([low, high - least, *near]), high)


def _marked(chart: Chart, point: Point, scale: tuple[Scale, Scale], *, best: bool) -> _Mark:
    across, up = scale
    y = point.y * chart.y.scale
    y95, x95 = _pixels(point.y95, chart.y, up), _pixels(point.x95, chart.x, across)
    below = y < up.low
    return _Mark(across(point.x * chart.x.scale), up(y), point, best, below, None if below else y95, x95)


def _pixels(spread: tuple[float, float] | None, axis: Axis, scale: Scale) -> tuple[float, float] | None:
    return None if spread is None else (scale(spread[0] * axis.scale), scale(spread[1] * axis.scale))


def _steps(corners: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """From the lower edge up to the first point, along and up to each next one, and along to the right edge."""
    out = [(corners[0][0], _BOX.bottom)]
    for x, y in corners:
        out += [(x, out[-1][1]), (x, y)]
    return [*out, (_BOX.right, out[-1][1])]


def _path(steps: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in steps)


def _area(steps: Sequence[tuple[float, float]]) -> str:
    return f'<polygon class="within" points="{_path([*steps, (_BOX.right, _BOX.bottom)])}"/>'


def _bars(mark: _Mark) -> list[str]:
    out = []
    if mark.y95 is not None:
        out += whisker(mark.kind, (mark.x, mark.y95[0]), (mark.x, mark.y95[1]))
    if mark.x95 is not None:
        out += whisker(mark.kind, (mark.x95[0], mark.y), (mark.x95[1], mark.y))
    return out


def _symbol(mark: _Mark) -> str:
    said = f"<title>{escape(mark.point.said or mark.point.label)}</title>"
    return _shape((mark.x, mark.y), mark.point.kind, f"mark {mark.kind}", said)


def _shape(at: tuple[float, float], kind: str, style: str, said: str = "") -> str:
    x, y = at
    if kind == "exit":
        return (
            f'<rect class="{style}" x="{x - 5.5:.1f}" y="{y - 5.5:.1f}" width="11" height="11">{said}</rect>'
        )
    if kind == "rule":
        return f'<path class="{style}" d="M{x:.1f} {y - 7.5:.1f}l7.5 7.5l-7.5 7.5l-7.5 -7.5z">{said}</path>'
    return f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="5.5">{said}</circle>'


def _key() -> list[str]:
    """What line, shapes and faintness mean, above the frame: a picture alone must say it."""
    y, x = 20.0, _BOX.left
    out = [line("line", (x, y), (x + 22, y)), text((x + 28, y + 4), "front", "soft")]
    x += 28 + _LETTER * len("front") + 16
    for kind, words in _KEY:
        out += [_shape((x + 6, y), kind, f"mark {kind}"), text((x + 17, y + 4), words, "soft")]
        x += 17 + _LETTER * len(words) + 14
    return [*out, text((x, y + 4), "faint: beaten; bars: 95 %", "soft")]


def _labels(chart: Chart, marks: Sequence[_Mark], steps: Sequence[tuple[float, float]]) -> list[str]:
    """A place near each point that covers no other label, no mark and, where it can, no line; the front's first."""
    taken = [Box(mark.x - 8, mark.y - 8, mark.x + 8, mark.y + 8) for mark in marks]
    lines = [_thin(a, b) for a, b in pairwise(steps)]
    lines += [_thin((mark.x95[0], mark.y), (mark.x95[1], mark.y)) for mark in marks if mark.x95]
    out = []
    for mark in sorted(marks, key=lambda one: (not one.best, one.x)):
        words = mark.point.label
        if mark.below:
            words += f" ({mark.point.y * chart.y.scale:.1f}) ↓"
        size = len(words) * (_LETTER if mark.best else _FAINT_LETTER)
        places = _places(mark.x, mark.y, size)
        at = _free(places, [*taken, *lines]) or (_free(places, taken) if mark.best else None)
        if at is None:
            continue  # the table below names it
        taken.append(at)
        middle = (at.top + at.bottom) / 2
        if math.hypot(max(at.left - mark.x, mark.x - at.right, 0), middle - mark.y) > 20:
            near = min(max(mark.x, at.left), at.right)
            out.append(line("lead" if mark.best else "lead beaten", (mark.x, mark.y), (near, middle)))
        kind = f"{mark.point.kind} best" if mark.best else mark.kind
        out.append(text((at.left, at.bottom - 4), words, kind))
    return out


def _thin(begin: tuple[float, float], end: tuple[float, float]) -> Box:
    (x, y), (to_x, to_y) = begin, end
    return Box(min(x, to_x) - 2, min(y, to_y) - 2, max(x, to_x) + 2, max(y, to_y) + 2)


def _free(places: Sequence[Box], taken: Sequence[Box]) -> Box | None:
    return next((place for place in places if not any(place.meets(one) for one in taken)), None)


def _places(x: float, y: float, size: float) -> list[Box]:
    """Boxes around a point, the nearest first, inside the frame."""
    half = _LINE / 2
    out = []
    for reach in (0, 14, 28, 42, 60, 80, 100, 120, 140):
        for left, top in (
            (x - 9 - size, y - half - reach), (x + 9, y - half + reach), (x - size / 2, y - 26 - reach),
            (x - size / 2, y + 10 + reach), (x + 9, y - half - reach), (x - 9 - size, y - half + reach),
        ):  # fmt: skip
            box = Box(left, top, left + size, top + _LINE)
            if (
                box.left >= _BOX.left + 2
                and box.right <= WIDTH - 2
                and box.top >= _BOX.top
                and box.bottom <= _BOX.bottom
            ):
                out.append(box)
    return out
