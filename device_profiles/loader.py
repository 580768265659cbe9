"""Strict TOML to a profile: every key known, every figure in range, every fact with its source."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from device_profiles import vocabulary as words
from device_profiles.profile import (
    Accessory,
    BoardProfile,
    Console,
    Delegate,
    Image,
    PowerRail,
    ProfileError,
    Rule,
    Simulation,
)
from device_profiles.table import Table

_FACTS = ("arch", "cores", "memory_bytes", "match", "thermal_zones")


def list_profiles() -> tuple[str, ...]:
    """Names of the shipped boards, sorted."""
    return _names("boards")


def list_accessories() -> tuple[str, ...]:
    """Names of the shipped accessories, sorted."""
    return _names("accessories")


def load_profile(name_or_path: str | Path, *, strict_name: bool = False) -> BoardProfile:
    """A shipped board by name, or any file by path (it ends in `.toml`).

    A file of the user's may be called as they like and be loaded all the same; with `strict_name` it must be called
    as its `name` says, which is what a node's birth, its records and the other profiles know the board by.

    Raises:
        ProfileError: there is no such profile (`profile_missing`), or it breaks its form.
    """
    text, file, name = _read("boards", str(name_or_path))
    if strict_name and name is None:
        name = Path(file).stem
    return parse_profile(text, file=file, name=name)


def load_accessory(name_or_path: str | Path) -> Accessory:
    """A shipped accessory by name, or any file by path.

    Raises:
        ProfileError: there is no such accessory, or it breaks its form.
    """
    text, file, name = _read("accessories", str(name_or_path))
    top = Table(_toml(text, file), file)
    accessory = Accessory(
        name=_own_name(top, name),
        title=top.text("title"),
        usb_ids=top.texts("usb_ids"),
        delegates=tuple(_delegate(item) for item in top.tables("delegates")),
        busy_w=top.number_or_none("busy_w", low=0.0, high=100.0),
        source=top.text("source"),
    )
    top.done()
    return accessory


def parse_profile(text: str, *, file: str, name: str | None = None) -> BoardProfile:
    """Check one board's TOML text; `file` is what errors call it, `name` what it must say.

    Raises:
        ProfileError: not TOML, an unknown or missing key, or a value that is not allowed.
    """
    top = Table(_toml(text, file), file)
    profile = BoardProfile(
        name=_own_name(top, name),
        title=top.text("title"),
        arch=top.text("arch", allowed=words.ARCHITECTURES),
        cores=top.integer("cores", low=1, high=256),
        memory_bytes=top.integer("memory_bytes", low=2**26, high=2**40),
        match=top.texts("match"),
        delegates=tuple(_delegate(item) for item in top.tables("delegates")),
        rails=tuple(_rail(item) for item in top.tables("rails")),
        thermal_zones=top.texts("thermal_zones"),
        console=_console(top.table_or_none("console")),
        image=_image(top.table("image")),
        simulation=_simulation(top.table("simulation")),
        quality=_quality(top.table("quality")),
        sources=_sources(top.table("sources")),
    )
    top.done()
    _check_gaps(top, profile)
    return profile


def _names(folder: str) -> tuple[str, ...]:
    files = resources.files(f"device_profiles.{folder}").iterdir()
    return tuple(sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml")))


def _read(folder: str, name_or_path: str) -> tuple[str, str, str | None]:
    """Text, the name errors use, and the name the file must carry (null for a user's own path)."""
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        try:
            return path.read_text(encoding="utf-8"), str(path), None
        except (OSError, UnicodeDecodeError) as error:
            msg = f"{path} cannot be read: {error}"
            raise ProfileError(msg, code="profile_missing", hint="Check the path.") from error
    known = _names(folder)
    if name_or_path not in known:
        looks = ": a file's name ends in .toml" if Path(name_or_path).is_file() else ""
        msg = f"there is no profile {name_or_path!r}{looks}"
        raise ProfileError(
            msg, code="profile_missing", hint=f"Known: {', '.join(known)}; or a path to a .toml file."
        )
    source = resources.files(f"device_profiles.{folder}") / f"{name_or_path}.toml"
    return source.read_text(encoding="utf-8"), f"{folder}/{name_or_path}.toml", name_or_path


def _toml(text: str, file: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{file} is not TOML: {error}"
        raise ProfileError(msg) from error


def _own_name(top: Table, name: str | None) -> str:
    own = top.text("name")
    if name is not None and own != name:
        top.fail("name", f"is {own!r}; allowed: {name}, as the file is called")
    return own


def _delegate(table: Table) -> Delegate:
    delegate = Delegate(
        name=table.text("name", allowed=words.DELEGATES),
        library=table.text_or_none("library"),
        options=table.strings("options"),
        recipe=table.text("recipe", allowed=words.RECIPES),
        source=table.text("source"),
    )
    table.done()
    return delegate


def _rail(table: Table) -> PowerRail:
    rail = PowerRail(
        name=table.text("name"),
        sensor=table.text("sensor", allowed=words.SENSORS),
        bus=table.integer_or_none("bus", low=0, high=255),
        address=table.integer_or_none("address", low=0x03, high=0x77),
        shunt_ohm=table.number_or_none("shunt_ohm", low=1e-5, high=10.0),
        bus_range_v=table.number_or_none("bus_range_v", low=1.0, high=100.0),
        max_current_a=table.number_or_none("max_current_a", low=0.01, high=100.0),
        supply_v=table.number_or_none("supply_v", low=1.0, high=60.0),
        idle_w=table.number_or_none("idle_w", low=0.0, high=1000.0),
        grade=table.text_or_none("grade", allowed=words.GRADES),
        source=table.text("source"),
        shunt_tolerance=table.number_or_none("shunt_tolerance", low=1e-4, high=0.1),
        reference_u95=table.number_or_none("reference_u95", low=1e-5, high=0.05),
    )
    table.done()
    if rail.sensor == "ina219":
        _check_ina219(table, rail)
    return rail


def _check_ina219(table: Table, rail: PowerRail) -> None:
    """An INA219 needs its whole wiring, and the wiring must be able to carry the supply's current."""
    for key in ("bus", "address", "shunt_ohm", "bus_range_v", "max_current_a", "supply_v", "grade"):
        if getattr(rail, key) is None:
            table.fail(key, "is missing (an ina219 rail needs it)")
    shunt, current, supply = rail.shunt_ohm or 0.0, rail.max_current_a or 0.0, rail.supply_v or 0.0
    if rail.bus_range_v not in words.INA219_BUS_RANGES_V:
        table.fail("bus_range_v", f"is {rail.bus_range_v:g}; allowed: 16, 32")
    if rail.address not in words.INA219_ADDRESSES:
        table.fail("address", f"is {rail.address:#x}; allowed: 0x40 to 0x4f")
    if supply > min(words.INA219_MAX_BUS_V, rail.bus_range_v or 0.0):
        table.fail(
            "supply_v", f"is {supply:g}; allowed: within bus_range_v and at most 26 (absolute maximum)"
        )
    if shunt * current > words.INA219_FULL_SCALE_V:
        limit = words.INA219_FULL_SCALE_V / current
        table.fail("shunt_ohm", f"is {shunt:g} and saturates at {current:g} A; allowed: at most {limit:.4f}")


def _console(table: Table | None) -> Console | None:
    if table is None:
        return None
    console = Console(
        device=table.text("device"),
        baud=table.integer("baud", low=1200, high=4_000_000),
        pins=table.text("pins"),
        source=table.text("source"),
    )
    table.done()
    return console


def _image(table: Table) -> Image:
    image = Image(
        recipe=table.text_or_none("recipe", allowed=words.IMAGE_RECIPES),
        medium=table.text("medium", allowed=words.MEDIA),
    )
    table.done()
    return image


def _simulation(table: Table) -> Simulation:
    simulation = Simulation(
        speed_factor=table.number_or_none("speed_factor", low=0.01, high=1000.0),
        busy_w=table.number_or_none("busy_w", low=0.001, high=100.0),
        source=table.text("source"),
    )
    table.done()
    return simulation


def _quality(table: Table) -> dict[str, Rule]:
    rules = {}
    for name in words.QUALITY_RULES:
        row = table.table(name)
        rule = Rule(row.text("status", allowed=words.STATUSES), row.text_or_none("reason"))
        row.done()
        if rule.status != "done" and rule.reason is None:
            row.fail("reason", f"is missing (status {rule.status} needs one)")
        rules[name] = rule
    table.done()
    return rules


def _sources(table: Table) -> dict[str, str]:
    sources = {key: table.text(key) for key in _FACTS}
    table.done()
    return sources


def _check_gaps(top: Table, profile: BoardProfile) -> None:
    """A figure that is left out must not be called done."""
    figures = {
        "speed_factor": profile.simulation.speed_factor,
        "busy_power": profile.simulation.busy_w,
        "idle_power": profile.rails[0].idle_w,
        "sensor_calibrated": profile.rails[0].reference_u95,
    }
    for rule, value in figures.items():
        if value is None and profile.quality[rule].status == "done":
            top.fail(f"quality.{rule}.status", "is done, but the figure is missing; allowed: todo, exempt")
