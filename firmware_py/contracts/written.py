"""Figures as people read them: SI prefixes, and a bound in the figure's own unit."""

from __future__ import annotations

_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"))


def plain(value: float) -> str:
    """A bound as it was meant: whole numbers in full, others with six digits."""
    return str(int(value)) if value == int(value) else f"{value:g}"


def si(value: float, unit: str) -> str:
    """Three significant digits with an SI prefix: `1.23 mJ`."""
    factor, letter = prefix(value)
    return f"{value / factor:.3g} {letter}{unit}"


def spread(value: float, u95: float | None, unit: str) -> str:
    """A figure and its bound in one unit and with the same digits: `1.23 ± 0.31 mJ`."""
    if u95 is None:
        return si(value, unit)
    factor, letter = prefix(value)
    shown = abs(value) / factor
    digits = 2 if shown < 10 else 1 if shown < 100 else 0
    return f"{value / factor:.{digits}f} ± {u95 / factor:.{digits}f} {letter}{unit}"


def prefix(value: float) -> tuple[float, str]:
    """The largest prefix that leaves at least one digit before the point; micro for anything smaller."""
    return next((pair for pair in _PREFIXES if abs(value) >= pair[0]), _PREFIXES[-1])
