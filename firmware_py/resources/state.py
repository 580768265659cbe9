"""The board's state as Linux tells it: its temperature. The root path is an argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware_py.contracts.clock import Clock

REFRESH_S = 1.0


@dataclass(frozen=True, slots=True)
class BoardState:
    """What is known now; None is unknown. Celsius, watts."""

    temperature_c: float | None = None
    power_w: float | None = None


def read_state(root: Path, zones: Sequence[str] = ()) -> BoardState:
    """Read the hottest of the named thermal zones (all when none is named).

    Source: Linux Documentation/ABI/testing/sysfs-class-thermal (`temp` in thousandths of a degree).
    """
    hottest: float | None = None
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        try:
            if zones and (zone / "type").read_text(encoding="ascii").strip() not in zones:
                continue
            celsius = int((zone / "temp").read_text(encoding="ascii")) / 1000.0
        except (OSError, ValueError):
            continue  # a zone may refuse to be read while its device sleeps
        hottest = celsius if hottest is None else max(hottest, celsius)
    return BoardState(hottest)


class StateReader:
    """Reads at most once a second: a request must not pay for a dozen small files."""

    __slots__ = ("_clock", "_read_s", "_root", "_state", "_zones")

    def __init__(self, root: Path, zones: Sequence[str], clock: Clock) -> None:
        self._root = root
        self._zones = tuple(zones)
        self._clock = clock
        self._read_s = -REFRESH_S
        self._state = BoardState()

    def state(self) -> BoardState:
        """The state, at most `REFRESH_S` old."""
        now_s = self._clock.now_s()
        if now_s - self._read_s >= REFRESH_S:
            self._read_s = now_s
            self._state = read_state(self._root, self._zones)
        return self._state
