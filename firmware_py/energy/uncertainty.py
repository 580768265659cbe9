"""Half-widths of 95 % intervals from a budget of normal and rectangular parts.

After the GUM (JCGM 100:2008; t-factor and effective degrees of freedom: annex G) with one difference: a
rectangular part that dominates (a gain anywhere within its specified maximum) is not turned into a
normal one - that would claim 1.13 times its own maximum and cover 100 % - but convolved as it is,
as JCGM 101:2008 propagates distributions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Part:
    """One row of a budget, in the unit of the result.

    `size` is the standard uncertainty of a normal part, the half-width of a rectangular one. Rows with
    `dof` None are known exactly (specifications).
    """

    name: str
    size: float
    rectangular: bool = False
    dof: float | None = None

    @property
    def variance(self) -> float:
        """Square of the standard uncertainty."""
        return self.size**2 / 3.0 if self.rectangular else self.size**2


def t95(dof: float) -> float:
    """Two-sided 95 % quantile of Student's t, within 1 % for dof >= 2 (Abramowitz and Stegun 26.7.5)."""
    if dof < 2.0:
        return 12.706  # one degree of freedom: the honest answer is "too few"
    z = Z95
    terms = (
        (z**3 + z) / 4.0,
        (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0,
        (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0,
        (79.0 * z**9 + 776.0 * z**7 + 1482.0 * z**5 - 1920.0 * z**3 - 945.0 * z) / 92160.0,
    )
    return z + sum(term / dof ** (order + 1) for order, term in enumerate(terms))


def effective_dof(parts: Sequence[Part]) -> float:
    """Welch-Satterthwaite over the normal parts (GUM G.4); infinite when none is estimated."""
    total = sum(part.variance for part in parts if not part.rectangular)
    below = sum(
        part.variance**2 / part.dof for part in parts if part.dof is not None and not part.rectangular
    )
    return total**2 / below if below > 0.0 else math.inf


def half_width95(parts: Sequence[Part]) -> float:
    """The half-width that holds 95 % of the sum of independent parts around the estimate."""
    flat = sorted((part.size for part in parts if part.rectangular and part.size > 0.0), reverse=True)
    normal2 = sum(part.variance for part in parts if not part.rectangular)
    dof = effective_dof(parts)
    if dof < math.inf:
        normal2 *= (t95(dof) / Z95) ** 2
    # Two rectangles are carried exactly; a third and further ones are small beside them: normal.
    sigma = math.sqrt(normal2 + sum(size**2 / 3.0 for size in flat[2:]))
    first = flat[0] if flat else 0.0
    second = flat[1] if len(flat) > 1 else 0.0
    if first <= 0.02 * sigma:
        return Z95 * math.sqrt(sigma**2 + first**2 / 3.0)
    low, high = 0.0, first + second + 4.0 * sigma
    for _ in range(24):  # 2^-24 of the width, cheaper than a cleverer root in the one window a second
        middle = 0.5 * (low + high)
        if _inside(middle, first, second, sigma) < 0.95:
            low = middle
        else:
            high = middle
    return high


def _inside(width: float, first: float, second: float, sigma: float) -> float:
    """P(|R1 + R2 + N| <= width), in closed form."""
    if second < 0.02 * max(first, sigma):  # also keeps the differences below clear of cancellation
        return _one(width, first, sigma) - _one(-width, first, sigma)
    return _two(width, first, second, sigma) - _two(-width, first, second, sigma)


def _one(x: float, half: float, sigma: float) -> float:
    """Distribution function of a rectangle of half-width `half` plus a normal of `sigma`."""
    return (_once(x + half, sigma) - _once(x - half, sigma)) / (2.0 * half)


def _two(x: float, first: float, second: float, sigma: float) -> float:
    """The same of two rectangles."""
    outer = _twice(x + first + second, sigma) - _twice(x + first - second, sigma)
    inner = _twice(x - first + second, sigma) - _twice(x - first - second, sigma)
    return (outer - inner) / (4.0 * first * second)


def _once(u: float, sigma: float) -> float:
    """The normal distribution function integrated once, up to u."""
    below, density = _normal(u, sigma)
    return u * below + sigma * density


def _twice(u: float, sigma: float) -> float:
    """The normal distribution function integrated twice, up to u."""
    below, density = _normal(u, sigma)
    return 0.5 * ((u * u + sigma * sigma) * below + u * sigma * density)


def _normal(u: float, sigma: float) -> tuple[float, float]:
    """Distribution function and density of a standard normal at u / sigma; a step for sigma 0."""
    if sigma <= 0.0 or abs(u) > 8.0 * sigma:
        return (1.0 if u > 0.0 else 0.0), 0.0
    z = u / sigma
    return 0.5 * (1.0 + math.erf(z / math.sqrt(2.0))), math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
