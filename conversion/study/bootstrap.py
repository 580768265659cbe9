"""Is one system better than another on the same rows? Paired bootstrap (Efron and Tibshirani 1993).

Both systems answered the same rows, so rows are resampled and the difference is taken within each sample.
Rows of one group (a template's sentences) are drawn together: they are no independent witnesses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

SAMPLES = 10_000
_CHUNK_NUMBERS = 4_000_000  # drawn at a time: 32 MB

Array = npt.NDArray[Any]
Statistic = Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second: estimate, 95 % interval, two-sided p of "no difference", rows and groups behind it."""

    value: float
    low: float
    high: float
    p: float
    rows: int
    groups: int
    samples: int

    @property
    def better(self) -> bool:
        """Whether the first is better at the 5 % level."""
        return self.low > 0.0

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(self).items()} | {
            "better": self.better
        }


@dataclass(frozen=True, slots=True)
class Resample:
    """How rows are drawn: weight [N] of each in a share, group [N] drawn together, seed, number of samples."""

    weight: Array
    group: Array
    seed: int = 0
    samples: int = SAMPLES

    @classmethod
    def even(cls, rows: int, seed: int = 0, samples: int = SAMPLES) -> Resample:
        """Every row for itself, all alike."""
        return cls(np.ones(rows), np.arange(rows), seed, samples)


def share_difference(first: Array, second: Array, draw: Resample) -> Difference:
    """Of two shares (accuracies), from right or wrong [N] of the same rows."""
    columns = np.stack([first * draw.weight, second * draw.weight, draw.weight], 1)
    return _difference(columns, lambda sums: (sums[:, 0] - sums[:, 1]) / sums[:, 2], draw)


def f1_difference(first: Array, second: Array, draw: Resample) -> Difference:
    """Of two micro-F1, from counts [N,3] (found, invented, missed) of the same sentences."""
    columns = np.concatenate([first, second], 1) * draw.weight[:, None]
    return _difference(columns, lambda sums: _f1(sums[:, :3]) - _f1(sums[:, 3:]), draw)


def share_interval(right: Array, draw: Resample) -> tuple[float, float]:
    """95 % interval of one share."""
    columns = np.stack([right * draw.weight, draw.weight], 1)
    return _interval(_sample(columns, lambda sums: sums[:, 0] / sums[:, 1], draw))


def f1_interval(counts: Array, draw: Resample) -> tuple[float, float]:
    """95 % interval of one micro-F1."""
    return _interval(_sample(counts * draw.weight[:, None], _f1, draw))


def _difference(columns: Array, statistic: Statistic, draw: Resample) -> Difference:
    found = _sample(columns, statistic, draw)
    low, high = _interval(found)
    # One is added to both sides: a sample of finite size never proves p = 0 (Davison and Hinkley 1997, 4.2).
    below, above = (found <= 0).sum() + 1, (found >= 0).sum() + 1
    return Difference(
        value=float(statistic(columns.sum(0, keepdims=True))[0]),
        low=low,
        high=high,
        p=float(min(1.0, 2 * min(below, above) / (draw.samples + 1))),
        rows=len(columns),
        groups=len(np.unique(draw.group)),
        samples=draw.samples,
    )


def _sample(columns: Array, statistic: Statistic, draw: Resample) -> Array:
    """The statistic of every resample [samples], from sums over rows [*, columns]."""
    _, place = np.unique(draw.group, return_inverse=True)
    sums = np.zeros((int(place.max()) + 1, columns.shape[1]))
    np.add.at(sums, place, columns)
    # Groups that say the same are interchangeable: drawing how often each kind comes is the same lottery.
    kinds, count = np.unique(sums, axis=0, return_counts=True)
    random = np.random.default_rng(draw.seed)
    chunk = max(1, _CHUNK_NUMBERS // len(kinds))
    out = []
    for begin in range(0, draw.samples, chunk):
        size = min(chunk, draw.samples - begin)
        times = random.multinomial(count.sum(), count / count.sum(), size)
        out.append(statistic(times @ kinds))
    return np.concatenate(out)


def _interval(found: Array) -> tuple[float, float]:
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def _f1(sums: Array) -> Array:
    score: Array = 2 * sums[:, 0] / np.maximum(2 * sums[:, 0] + sums[:, 1] + sums[:, 2], 1e-12)
    return score
