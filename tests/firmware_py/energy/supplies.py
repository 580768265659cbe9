"""What a simulated chip measures, as a test says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firmware_py.energy.simulated_bus import Span


@dataclass(slots=True)
class Fixed:
    """A supply that changes only when told."""

    volts: float
    amperes: float

    def means(self, spans: Sequence[Span]) -> list[tuple[float, float]]:
        return [(self.volts, self.amperes)] * len(spans)
