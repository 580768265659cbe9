"""The facts about one board: frozen values, SI units, a source beside every figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class ProfileError(Exception):
    """A profile that is not there or breaks its form; says file, key and what is allowed.

    Args:
        message: what is wrong, with the file and the key.
        hint: what to do next.
        code: `profile_invalid`, or `profile_missing` when there is no such profile.
    """

    def __init__(self, message: str, *, hint: str = "", code: str = "profile_invalid") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint or "docs/ref-board-profiles.md lists every key with its allowed values."

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


@dataclass(frozen=True, slots=True)
class Delegate:
    """Who can run graphs here, in ladder order: the first that works is used.

    `library` is a shared object to load, or null for what the runtime holds itself. `options` are
    handed to it unchanged. `recipe` is the bundle recipe whose graphs it runs.
    """

    name: str
    library: str | None
    options: Mapping[str, str]
    recipe: str
    source: str


@dataclass(frozen=True, slots=True)
class PowerRail:
    """One supply line, and the sensor that this profile expects on it.

    `sensor` is `none` where nothing can be measured. `bus` and `address` are those of the I2C
    device, `shunt_ohm` and `bus_range_v` its wiring, `grade` its accuracy grade (A or B).
    `max_current_a` is the most the supply gives, `idle_w` the board's idle draw on this rail (null:
    no figure was found, the quality list says so). `shunt_tolerance` is relative, null for a breakout's;
    `reference_u95`, relative, is the half-width of the 95 % interval of the meter that `shunt_ohm` was
    calibrated against, null where it was not.
    """

    name: str
    sensor: str
    bus: int | None
    address: int | None
    shunt_ohm: float | None
    bus_range_v: float | None
    max_current_a: float | None
    supply_v: float | None
    idle_w: float | None
    grade: str | None
    source: str
    shunt_tolerance: float | None = None
    reference_u95: float | None = None


@dataclass(frozen=True, slots=True)
class Console:
    """The serial console: device on the board, baud rate, where its pins are."""

    device: str
    baud: int
    pins: str
    source: str


@dataclass(frozen=True, slots=True)
class Image:
    """Which image recipe flashes this board (null: none yet) and the medium it boots from."""

    recipe: str | None
    medium: str


@dataclass(frozen=True, slots=True)
class Simulation:
    """How the simulated board differs from the reference x86_64 host.

    `speed_factor`: how many times longer one stage takes here. `busy_w`: extra watts above idle of
    one busy core (mean). Null: no figure was found, and the board cannot be simulated.
    """

    speed_factor: float | None
    busy_w: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the quality list; `todo` and `exempt` carry their reason."""

    status: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class BoardProfile:
    """One board. `match` holds the device tree's `compatible` strings that mean this board."""

    name: str
    title: str
    arch: str
    cores: int
    memory_bytes: int
    match: tuple[str, ...]
    delegates: tuple[Delegate, ...]
    rails: tuple[PowerRail, ...]
    thermal_zones: tuple[str, ...]
    console: Console | None
    image: Image
    simulation: Simulation
    quality: Mapping[str, Rule]
    sources: Mapping[str, str]

    @property
    def tier(self) -> str:
        """`gold`: every rule done or exempt; `silver`: measured on the board; else `bronze`."""
        if all(rule.status != "todo" for rule in self.quality.values()):
            return "gold"
        return "silver" if self.quality["measured_on_hardware"].status == "done" else "bronze"

    @property
    def can_simulate(self) -> bool:
        """Whether the profile knows enough to stretch stage times and drive the plant."""
        return self.simulation.speed_factor is not None


@dataclass(frozen=True, slots=True)
class Accessory:
    """What is plugged into a board and brings a delegate; `busy_w` is its own draw at work."""

    name: str
    title: str
    usb_ids: tuple[str, ...]
    delegates: tuple[Delegate, ...]
    busy_w: float | None
    source: str
