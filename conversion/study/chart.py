"""One scatter chart as inline SVG: a front, named points, spread bars, labels that do not cover each other.

Colours are CSS variables (`STYLE`), so that one drawing is legible on light and dark ground. No script, no
font file, nothing loaded from elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 24, 20, 58
_LETTER, _LINE = 6.6, 14.0  # of the 12 px labels
_TICKS = 6

STYLE = """
:root { --ground:#ffffff; --ink:#1c2430; --soft:#5b6675; --grid:#e3e7ec; --front:#1f6feb; --exit:#b35900;
  --rule:#1a7f4b; --other:#8250df; }
@media (prefers-color-scheme: dark) { :root { --ground:#11161d; --ink:#e6ebf2; --soft:#9aa7b8; --grid:#2a3340;
  --front:#6cb0ff; --exit:#ffb066; --rule:#5fd39a; --other:#c3a2ff; } }
svg.chart { width:100%; max-width:760px; height:auto; background:var(--ground); }
svg.chart text { font:12px system-ui,sans-serif; fill:var(--ink); }
svg.chart .soft { fill:var(--soft); } svg.chart .grid { stroke:var(--grid); stroke-width:1; }
svg.chart .axis { stroke:var(--soft); stroke-width:1; } svg.chart .lead { stroke:var(--soft); stroke-width:.7; }
svg.chart .line { fill:none; stroke:var(--front); stroke-width:2; }
svg.chart .bar { stroke-width:1.2; opacity:.65; } svg.chart .mark { stroke:var(--ground); stroke-width:1; }
svg.chart .front { fill:var(--front); } svg.chart .exit { fill:var(--exit); } svg.chart .rule { fill:var(--rule); }
svg.chart .other { fill:var(--other); } svg.chart .bar.front { stroke:var(--front); }
svg.chart .bar.exit { stroke:var(--exit); } svg.chart .bar.rule { stroke:var(--rule); }
svg.chart .bar.other { stroke:var(--other); }
"""


@dataclass(frozen=True, slots=True)
class Point:
    """A mark: where, its spread (None: none is known), and of what kind (`front`, `exit`, `rule`, `other`)."""

    x: float
    y: float
    label: str
    kind: str
    y95: tuple[float, float] | None = None
    x95: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """A title with its unit; what is drawn is the value times `scale`, written with `suffix`."""

    title: str
    scale: float = 1.0
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Front points are joined by a line from left to right; the others stand alone."""

    title: str
    x: Axis
    y: Axis
    front: Sequence[Point]
    points: Sequence[Point] = ()


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.begin + min(1.0, max(0.0, share)) * (self.end - self.begin)


def draw(chart: Chart) -> str:
    """The chart as one `<svg>` element; a point below the drawn range stands on its lower edge with an arrow."""
    everything = [*chart.front, *chart.points]
    if not everything:
        return ""
    x_ticks = ticks(0.0, max(p.x95[1] if p.x95 else p.x for p in everything) * chart.x.scale)
    y_ticks = _y_ticks(chart)
    across = _Scale(x_ticks[0], x_ticks[-1], _LEFT, WIDTH - _RIGHT)
    up = _Scale(y_ticks[0], y_ticks[-1], HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">',
        f"<title>{escape(chart.title)}</title>",
        *_axes(chart, (x_ticks, across), (y_ticks, up)),
    ]
    placed = [(across(p.x * chart.x.scale), up(p.y * chart.y.scale), p) for p in everything]
    line = sorted((x, y) for x, y, p in placed[: len(chart.front)])
    if len(line) > 1:
        parts.append(f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in line)}"/>')
    for x, y, point in placed:
        parts += _bars(chart, point, (x, y), (across, up))
    parts += [_mark(x, y, point.kind) for x, y, point in placed]
    parts += _labels(chart, placed, y_ticks[0])
    return "\n".join([*parts, "</svg>"])


def ticks(low: float, high: float) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`."""
    span = max(high - low, 0.01 * max(abs(low), abs(high)), 1e-9)
    rough = span / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def _y_ticks(chart: Chart) -> list[float]:
    """From the front and the rules; exits far below (a zeroth one often is) do not squeeze the rest."""
    shown = [p for p in (*chart.front, *chart.points) if p.kind != "exit"] or list(chart.points)
    lows = [(p.y95[0] if p.y95 else p.y) * chart.y.scale for p in shown]
    highs = [(p.y95[1] if p.y95 else p.y) * chart.y.scale for p in (*chart.front, *chart.points)]
    low, high = min(lows), max(highs)
    reach = low - 2.0 * max(high - low, 1e-9)
    near = [p.y * chart.y.scale for p in chart.points if p.y * chart.y.scale >= reach]
    least = 0.01 * abs(high)  # where all are alike, show some room below them
    return ticks(min([low, high - least, *near]), high)


def _axes(chart: Chart, x: tuple[list[float], _Scale], y: tuple[list[float], _Scale]) -> list[str]:
    (x_ticks, across), (y_ticks, up) = x, y
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    out = []
    for value in y_ticks:
        at = up(value)
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        out.append(
            f'<text class="soft" x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{value:g}{chart.y.suffix}</text>'
        )
    for value in x_ticks:
        at = across(value)
        out.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{bottom}"/>')
        out.append(
            f'<text class="soft" x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{value:g}{chart.x.suffix}</text>'
        )
    out.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    out.append(f'<line class="axis" x1="{_LEFT}" x2="{_LEFT}" y1="{_TOP}" y2="{bottom}"/>')
    middle = (_TOP + bottom) / 2
    out.append(
        f'<text x="{(_LEFT + right) / 2}" y="{HEIGHT - 14}" text-anchor="middle">{escape(chart.x.title)}</text>'
    )
    out.append(
        f'<text x="18" y="{middle}" text-anchor="middle" transform="rotate(-90 18 {middle})">{escape(chart.y.title)}</text>'
    )
    return out


def _bars(chart: Chart, point: Point, at: tuple[float, float], scales: tuple[_Scale, _Scale]) -> list[str]:
    (x, y), (across, up) = at, scales
    out = []
    if point.y95 is not None:
        low, high = (up(value * chart.y.scale) for value in point.y95)
        out.append(_line(point.kind, (x, low), (x, high)))
        out += [_line(point.kind, (x - 3, end), (x + 3, end)) for end in (low, high)]
    if point.x95 is not None:
        low, high = (across(value * chart.x.scale) for value in point.x95)
        out.append(_line(point.kind, (low, y), (high, y)))
        out += [_line(point.kind, (end, y - 3), (end, y + 3)) for end in (low, high)]
    return out


def _line(kind: str, begin: tuple[float, float], end: tuple[float, float]) -> str:
    return f'<line class="bar {kind}" x1="{begin[0]:.1f}" y1="{begin[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"/>'


def _mark(x: float, y: float, kind: str) -> str:
    if kind == "exit":
        return f'<rect class="mark exit" x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10"/>'
    if kind == "rule":
        return f'<path class="mark rule" d="M{x:.1f} {y - 6.5:.1f}l6.5 6.5l-6.5 6.5l-6.5 -6.5z"/>'
    return f'<circle class="mark {kind}" cx="{x:.1f}" cy="{y:.1f}" r="{4 if kind == "front" else 5}"/>'


def _labels(chart: Chart, placed: Sequence[tuple[float, float, Point]], lowest: float) -> list[str]:
    """A place near each point that covers no other label and no mark; a thin line leads to a distant one."""
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y, _ in placed]
    out = []
    for x, y, point in placed:
        text = point.label
        if not text:
            continue
        if point.y * chart.y.scale < lowest:
            text += f" ({point.y * chart.y.scale:.1f}{chart.y.suffix}) ↓"
        size = len(text) * _LETTER
        at = next((c for c in _places(x, y, size) if not any(_cover(c, one) for one in taken)), None)
        if at is None:
            continue  # the table below names it
        taken.append(at)
        middle = (at[1] + at[3]) / 2
        if math.hypot(max(at[0] - x, x - at[2], 0), middle - y) > 18:
            near = min(max(x, at[0]), at[2])
            out.append(f'<line class="lead" x1="{x:.1f}" y1="{y:.1f}" x2="{near:.1f}" y2="{middle:.1f}"/>')
        out.append(f'<text class="{point.kind}" x="{at[0]:.1f}" y="{at[3] - 3:.1f}">{escape(text)}</text>')
    return out


def _places(x: float, y: float, size: float) -> list[tuple[float, float, float, float]]:
    """Boxes around a point, the nearest first, inside the drawing."""
    half = _LINE / 2
    out = []
    for reach in (0, 14, 28, 42, 60, 80, 100):
        for left, top in (
            (x + 9, y - half - reach), (x + 9, y - half + reach), (x - 9 - size, y - half - reach),
            (x - 9 - size, y - half + reach), (x - size / 2, y - 22 - reach), (x - size / 2, y + 8 + reach),
        ):  # fmt: skip
            box = left, top, left + size, top + _LINE
            if box[0] >= _LEFT + 2 and box[2] <= WIDTH - 2 and box[1] >= 2 and box[3] <= HEIGHT - _BOTTOM:
                out.append(box)
    return out


def _cover(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
