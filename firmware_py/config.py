"""One table: file key = environment variable = flag = default = help.

A key `queue_bound` is `queue_bound` in the TOML file, `CIUIC_QUEUE_BOUND` in the environment and
`--queue-bound` as a flag. Precedence: flag, environment, file, board profile, default. Other packages
bring tables of their own and resolve them with the same functions; `docs/ref-config.md` is generated.
"""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from firmware_py.contracts.errors import ConfigError
from firmware_py.contracts.records import record
from firmware_py.contracts.written import plain

Kind = Literal["text", "integer", "number", "flag", "list"]
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@record(frozen=True, slots=True)
class Setting:
    """One row of the table. `from_profile`: the board profile has a say before the default, and `help` says so."""

    key: str
    kind: Kind
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    from_profile: bool = False

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"CIUIC_{self.key.upper()}"

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.key.replace("_", "-")

    def parse(self, value: Any, where: str) -> Any:
        """A value from a file or a text from flag or environment, checked.

        Raises:
            ConfigError: it has another type or range; the message names where it came from.
        """
        parsed = _CONVERT[self.kind](value)
        if parsed is None or (self.choices and parsed not in self.choices):
            wanted = f"one of {', '.join(self.choices)}" if self.choices else _WANTED[self.kind]
            msg = f"{where}: {self.key} is not {wanted}"
            raise ConfigError(msg)
        if self.low is not None and parsed < self.low:
            msg = f"{where}: {self.key} is below {plain(self.low)}"
            raise ConfigError(msg)
        return parsed


AGENT: tuple[Setting, ...] = (
    Setting("node", "text", "", "this node's name on the mesh; empty: made from the host name"),
    Setting("profile", "text", "", "board profile, a name or a file; empty: detected, else `simulated`"),
    Setting("model", "list", ("models/home-en.bundle",), "bundles to serve, one per task"),
    Setting("store", "text", "~/.cache/ciuic/models", "folder that bundles are unpacked into, by hash"),
    Setting("trust", "text", "", "folder of publishers' `*.pub` keys; empty: `~/.config/ciuic/trust`, "
            "and the keys that ship beside the shipped bundles"),
    Setting("allow_unsigned", "flag", False, "also serve bundles without a trusted signature"),
    Setting("self_test", "text", "once", "when to run a bundle's test rows in a child process: once per runtime "
            "version, or never", choices=("once", "never")),
    Setting("slots", "integer", 1, "how many requests may run at the same time: interpreter slots, one worker thread "
            "each", low=1),
    Setting("memory_bytes", "integer", 48 * 2**20, "most bytes that loaded graphs may take, all slots, models and "
            "delegates together; 25165824 where the board profile has under 768 MiB", low=2**20, from_profile=True),
    Setting("queue_bound", "integer", 64, "how many requests may wait", low=1),
    Setting("ageing_s", "number", 0.5, "seconds of waiting that raise a request by one priority", low=0.001),
    Setting("inline_s", "number", 0.005, "an idle node runs a request on the thread that received it if runs are "
            "expected to take less than this many seconds; 0: never", low=0.0),
    Setting("cache_entries", "integer", 1000, "answers kept in memory; 0: none", low=0),
    Setting("cache_bytes", "integer", 4 * 2**20, "most bytes that these answers may take", low=0),
    Setting("power_limit_w", "number", 0.0, "above this power of the rail, in watts, only the first stage runs; "
            "0: no limit",
            low=0.0),
    Setting("names", "text", "", "file of the house's areas, floors and devices with their aliases (TOML, or JSON by "
            "its ending), read again when it changes; empty: slots keep their text"),
    Setting("meter", "text", "auto", "auto: read the profile's power sensor; off: only estimate joules from the profile",
            choices=("auto", "off")),
    Setting("calibrate_s", "number", 15.0, "after the start, an idle node runs each bundle's test sentences for at "
            "most this many seconds to learn from the meter what an answer costs; 0 switches it off", low=0.0),
)  # fmt: skip


@record(frozen=True, slots=True)
class AgentConfig:
    """The resolved table; the fields are its keys."""

    node: str = ""
    profile: str = ""
    model: tuple[str, ...] = ("models/home-en.bundle",)
    store: str = "~/.cache/ciuic/models"
    trust: str = ""
    allow_unsigned: bool = False
    self_test: str = "once"
    slots: int = 1
    memory_bytes: int = 48 * 2**20
    queue_bound: int = 64
    ageing_s: float = 0.5
    inline_s: float = 0.005
    cache_entries: int = 1000
    cache_bytes: int = 4 * 2**20
    power_limit_w: float = 0.0
    names: str = ""
    meter: str = "auto"
    calibrate_s: float = 15.0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> AgentConfig:
        """From resolved values; those of other tables are left out."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})


@record(frozen=True, slots=True)
class Sources:
    """Where values come from, strongest first: flags, environment, file; the profile is below them."""

    flags: Mapping[str, Any]
    env: Mapping[str, str]
    file: Mapping[str, Any]
    profile: Mapping[str, Any]


_METAVARS = {"model": "BUNDLE", "broker": "URL"}


def add_flags(parser: argparse.ArgumentParser, table: Sequence[Setting]) -> None:
    """`--config` and one flag per row; absent flags stay None, so that the sources below are heard."""
    parser.add_argument("--config", metavar="FILE", help="TOML file of settings (CIUIC_CONFIG)")
    for setting in table:
        text = f"{setting.help} ({setting.variable}; default: {_written(setting)})".replace("%", "%%")
        if setting.kind == "flag":
            parser.add_argument(setting.flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        elif setting.kind == "list":
            parser.add_argument(
                setting.flag,
                action="append",
                default=None,
                metavar=_METAVARS.get(setting.key, "VALUE"),
                help=f"{text}; may be repeated",
            )
        else:
            choices = setting.choices or None
            metavar = None if choices else setting.kind.upper()
            parser.add_argument(setting.flag, default=None, choices=choices, metavar=metavar, help=text)


def read_file(path: Path, table: Iterable[Setting]) -> dict[str, Any]:
    """The TOML file's values.

    Raises:
        ConfigError: unreadable, not TOML, or with a key that no table knows.
    """
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, a number of thousands of digits
        msg = f"{path} is not TOML: {error}"
        raise ConfigError(msg) from error
    known = {setting.key for setting in table}
    odd = sorted(set(values) - known)
    if odd:
        msg = f"{path}: {', '.join(odd)} is no setting"
        raise ConfigError(msg, hint=f"Settings: {', '.join(sorted(known))}.")
    return values


def resolve(table: Iterable[Setting], sources: Sources) -> dict[str, Any]:
    """The value of every row, from the strongest source that has one.

    Raises:
        ConfigError: a value of another type or range.
    """
    out: dict[str, Any] = {}
    for setting in table:
        key = setting.key
        if sources.flags.get(key) is not None:
            out[key] = setting.parse(sources.flags[key], setting.flag)
        elif sources.env.get(setting.variable):
            out[key] = setting.parse(sources.env[setting.variable], setting.variable)
        elif key in sources.file:
            out[key] = setting.parse(sources.file[key], "configuration file")
        elif setting.from_profile and key in sources.profile:
            out[key] = setting.parse(sources.profile[key], "board profile")
        else:
            out[key] = setting.default
    return out


def from_args(
    args: argparse.Namespace,
    table: Sequence[Setting],
    of_profile: Callable[[str], Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Resolve flags, environment and the file of `--config` (or `CIUIC_CONFIG`).

    `of_profile` gets the resolved profile name and returns that board's values.

    Raises:
        ConfigError: as `read_file` and `resolve`.
    """
    path = getattr(args, "config", None) or os.environ.get("CIUIC_CONFIG")
    sources = Sources(vars(args), os.environ, read_file(Path(path), table) if path else {}, {})
    values = resolve(table, sources)
    if of_profile is not None:
        board = of_profile(values["profile"])
        values = resolve(table, Sources(sources.flags, sources.env, sources.file, board))
    return values


def reference(table: Iterable[Setting]) -> str:
    """The table in Markdown."""
    lines = ["| file key | variable | flag | default | meaning |", "|---|---|---|---|---|"]
    for row in table:
        cells = (f"`{row.key}`", f"`{row.variable}`", f"`{row.flag}`", _written(row), row.help)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _written(setting: Setting) -> str:
    if setting.kind == "list":
        return ", ".join(setting.default) or "none"
    if setting.kind == "flag":
        return "on" if setting.default else "off"
    return str(setting.default) if setting.default != "" else "empty"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and "\0" not in value else None


def _integer(value: Any) -> int | None:
    try:
        return None if isinstance(value, bool | float) else int(value)
    except (TypeError, ValueError):
        return None


def _number(value: Any) -> float | None:
    try:
        number = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is not None and abs(number) < float("inf") else None


def _flag(value: Any) -> bool | None:
    if isinstance(value, str):
        return True if value.lower() in _TRUE else False if value.lower() in _FALSE else None
    return value if isinstance(value, bool) else None


def _list(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple) or any(_text(item) is None for item in value):
        return None
    return tuple(value) or None


_CONVERT: Mapping[str, Callable[[Any], Any]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "flag": _flag,
    "list": _list,
}
_WANTED = {
    "text": "a string",
    "integer": "an integer",
    "number": "a number",
    "flag": "true or false",
    "list": "a list of strings",
}
