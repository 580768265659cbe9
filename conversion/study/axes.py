"""What every picture of the study has: colours, round ticks, a frame with titles; inline or as a file of its own.

Colours are CSS variables (`STYLE`), so that one drawing is legible on light and dark ground. No script, no
font file, nothing loaded from elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_TICKS = 6
_NAMESPACE = "http://www.w3.org/2000/svg"  # a name, not an address: nothing is fetched

COLOURS = """
:root { --ground:#ffffff; --ink:#1c2430; --soft:#5b6675; --grid:#e3e7ec; --front:#1c2430; --found:#1f6feb;
  --exit:#b35900; --rule:#1a7f4b; }
@media (prefers-color-scheme: dark) { :root { --ground:#11161d; --ink:#e6ebf2; --soft:#9aa7b8; --grid:#2a3340;
  --front:#e6ebf2; --found:#6cb0ff; --exit:#ffb066; --rule:#5fd39a; } }
"""
STYLE = (
    COLOURS
    + """
svg.chart { background:var(--ground); }
svg.chart text { font:13px system-ui,sans-serif; fill:var(--ink); paint-order:stroke; stroke:var(--ground); stroke-width:3px; }
svg.chart .soft { fill:var(--soft); } svg.chart .grid { stroke:var(--grid); stroke-width:1; }
svg.chart .axis { stroke:var(--soft); stroke-width:1; } svg.chart .lead { stroke:var(--soft); stroke-width:.7; }
svg.chart .within { fill:var(--front); opacity:.05; } svg.chart .line { fill:none; stroke:var(--front); stroke-width:2; }
svg.chart .ideal { stroke:var(--soft); stroke-width:1; stroke-dasharray:4 4; }
svg.chart .bar { stroke-width:1.4; opacity:.75; } svg.chart .mark { stroke:var(--ground); stroke-width:1.2; }
svg.chart .found { fill:var(--found); } svg.chart .exit { fill:var(--exit); } svg.chart .rule { fill:var(--rule); }
svg.chart .bar.found { stroke:var(--found); } svg.chart .bar.exit { stroke:var(--exit); }
svg.chart .bar.rule { stroke:var(--rule); } svg.chart text.best { font-weight:600; }
svg.chart .beaten { opacity:.3; } svg.chart text.beaten { opacity:.65; font-size:11px; font-weight:400; }
"""
)


@dataclass(frozen=True, slots=True)
class Axis:
    """A title with its unit; what is drawn is the value times `scale`."""

    title: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether they share any area."""
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.bottom <= other.top or other.bottom <= self.top)


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high` on pixels from `begin` to `end`; what is outside stands on the border."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.begin + min(1.0, max(0.0, share)) * (self.end - self.begin)


def ticks(low: float, high: float, count: int = _TICKS) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about `count` steps."""
    span = max(high - low, 0.01 * max(abs(low), abs(high)), 1e-9)
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def frame(box: Box, x: tuple[Axis, Sequence[float]], y: tuple[Axis, Sequence[float]]) -> list[str]:
    """Grid, axes, their numbers and titles; `x` and `y` are an axis with its ticks."""
    across, up = scales(box, x[1], y[1])
    out = []
    for value in y[1]:
        at = up(value)
        out.append(f'<line class="grid" x1="{box.left}" x2="{box.right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        out.append(text((box.left - 8, at + 4), f"{value:g}", "soft", "end"))
    for value in x[1]:
        at = across(value)
        out.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{box.top}" y2="{box.bottom}"/>')
        out.append(text((at, box.bottom + 18), f"{value:g}", "soft", "middle"))
    out.append(f'<line class="axis" x1="{box.left}" x2="{box.right}" y1="{box.bottom}" y2="{box.bottom}"/>')
    out.append(f'<line class="axis" x1="{box.left}" x2="{box.left}" y1="{box.top}" y2="{box.bottom}"/>')
    out.append(text(((box.left + box.right) / 2, box.bottom + 42), x[0].title, "", "middle"))
    middle, left = (box.top + box.bottom) / 2, box.left - 50
    if y[0].title:
        out.append(
            f'<text x="{left}" y="{middle}" text-anchor="middle" transform="rotate(-90 {left} {middle})">'
            f"{escape(y[0].title)}</text>"
        )
    return out


def scales(box: Box, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> tuple[Scale, Scale]:
    """Values to pixels, across and up."""
    return (
        Scale(x_ticks[0], x_ticks[-1], box.left, box.right),
        Scale(y_ticks[0], y_ticks[-1], box.bottom, box.top),
    )


def text(at: tuple[float, float], words: str, kind: str = "", anchor: str = "start") -> str:
    """One line of text."""
    where = f'x="{at[0]:.1f}" y="{at[1]:.1f}"'
    return f'<text class="{kind}" {where} text-anchor="{anchor}">{escape(words)}</text>'


def line(kind: str, begin: tuple[float, float], end: tuple[float, float]) -> str:
    """A straight one."""
    return (
        f'<line class="{kind}" x1="{begin[0]:.1f}" y1="{begin[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"/>'
    )


def whisker(kind: str, begin: tuple[float, float], end: tuple[float, float]) -> list[str]:
    """A spread bar with its two ends."""
    across = begin[1] == end[1]
    dx, dy = (0.0, 3.0) if across else (3.0, 0.0)
    ends = [line(f"bar {kind}", (x - dx, y - dy), (x + dx, y + dy)) for x, y in (begin, end)]
    return [line(f"bar {kind}", begin, end), *ends]


def svg(title: str, size: tuple[int, int], parts: Sequence[str]) -> str:
    """One `<svg>` element; its title is what a screen reader says."""
    return "\n".join([
        f'<svg class="chart" viewBox="0 0 {size[0]} {size[1]}" width="{size[0]}" height="{size[1]}" role="img" '
        f'aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        *parts,
        "</svg>",
    ])  # fmt: skip


def as_file(drawing: str) -> str:
    """A drawing with its style inside: what an image in a page needs, since it sees no other style."""
    head, rest = drawing.split(">", 1)
    ground = '<rect width="100%" height="100%" style="fill:var(--ground)"/>'
    return f'{head} xmlns="{_NAMESPACE}">\n<style>{STYLE}</style>\n{ground}{rest}\n'
