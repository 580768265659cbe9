"""A measurement file: what every benchmark prints and writes, and cost model, mesh and rig read.

Units: seconds, joules, bytes. A check compares one printed value with its bound. A file of an older version 1 keeps
its meaning (`tests/compat`); fields are only added, and readers ignore what they do not know.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from firmware_py.contracts.check import Fields
from firmware_py.contracts.configuration import Configuration, parse_configuration
from firmware_py.contracts.errors import ConfigError, DataInvalidError

Relation = Literal["<=", ">="]

MEASUREMENT_VERSION = 1
RELATIONS: tuple[Relation, ...] = ("<=", ">=")
_BUSY_NOTE = "BUSY"  # in a note of a file without `quiet`
# What int8 and float32 products run on; of x86_64 and of aarch64.
_VECTORS = ("avx2", "avx512f", "avx512_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve")
_PACKAGES = ("ciuic-edge", "ai-edge-litert", "tflite-runtime", "numpy", "paho-mqtt", "iotcore")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured thing. Latency in seconds, energy in joules above idle, memory resident.

    `config` says what was measured, in one of two forms. A way to run the model is the key that cost table and manifest
    have for it, `16/w4-4-4/balanced/dyn8`: then `configuration` has its parts, and the row's figures are of answers of
    that length, widths, rule and recipe (with `exit`: of those that this exit gave). Anything else is a name of the
    benchmark's own, such as `request/q0`, `node/start` or `engine`, which mixes lengths: `configuration` is None, and
    `extra.what` may say more. Older files have `*/w4-4-4/balanced/dyn8` for mixed lengths: a name.
    """

    config: str
    delegate: str | None = None
    exit: int | None = None
    n: int = 0
    accuracy: float | None = None
    latency_s: Mapping[str, float] | None = None
    energy_j: Mapping[str, Any] | None = None
    memory_bytes: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def configuration(self) -> Configuration | None:
        """The way to run the model that was measured; None where `config` is a name."""
        try:
            return parse_configuration(self.config)
        except ConfigError:
            return None


@dataclass(frozen=True, slots=True)
class Check:
    """One bound of an issue against one measured value; `relation` says how they compare."""

    name: str
    value: float | None
    bound: float
    unit: str
    relation: Relation = "<="

    @property
    def ok(self) -> bool:
        """Whether the bound holds; an unknown value never does."""
        if self.value is None:
            return False
        return self.value <= self.bound if self.relation == "<=" else self.value >= self.bound


@dataclass(frozen=True, slots=True)
class Measurement:
    """A run of one benchmark command on one machine.

    `machine` and `versions` are those of a file that was read; None: this machine, and what is installed here.
    `quiet`: whether other programs left the machine alone meanwhile; None: the benchmark did not look.
    """

    command: str
    board: str
    bundle_sha256: str | None
    date: datetime
    rows: tuple[Row, ...]
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    machine: Mapping[str, Any] | None = None
    versions: Mapping[str, str] | None = None
    quiet: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "v": MEASUREMENT_VERSION,
            "command": self.command,
            "machine": machine() if self.machine is None else dict(self.machine),
            "board": self.board,
            "bundle_sha256": self.bundle_sha256,
            "date": self.date.isoformat(timespec="seconds"),
            "versions": versions() if self.versions is None else dict(self.versions),
            "rows": [asdict(row) for row in self.rows],
            "checks": [asdict(check) | {"ok": check.ok} for check in self.checks],
            "notes": list(self.notes),
            **({} if self.quiet is None else {"quiet": self.quiet}),
        }

    def write(self, folder: Path, name: str) -> Path:
        """Write `<name>.json` into the folder (made if absent) and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.json"
        path.write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path


def machine() -> dict[str, Any]:
    """This machine, without its name: architecture, processor with its family (x86) and vector units, cores, kernel."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    family = said.get("cpu family", "")
    flags = said.get("flags", said.get("Features", "")).split()
    return {
        "arch": platform.machine(),
        "cpu": said.get("model name") or said.get("Model") or None,
        "cpu_family": int(family) if family.isdecimal() else None,
        "cpu_vectors": [unit for unit in _VECTORS if unit in flags],
        "cores": os.cpu_count(),
        "system": platform.system(),
        "kernel": platform.release(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape a figure, where installed."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def is_publishable(document: Mapping[str, Any]) -> bool:
    """Whether a file's figures may be published: not those that were taken while others used the machine.

    Args:
        document: a measurement's JSON form. One of before `quiet` says it in a note.
    """
    quiet = document.get("quiet")
    if quiet is None:
        return not any(_BUSY_NOTE in note for note in document.get("notes", ()))
    return bool(quiet)


def parse_measurement(data: Any) -> Measurement:
    """A measurement out of a file's JSON.

    Raises:
        DataInvalidError: another version, a missing field, a value of the wrong form, or a check whose `ok` is not
            what its value and bound say.
    """
    try:
        return _measurement(Fields(data, "measurement", DataInvalidError))
    except DataInvalidError as error:
        hint = 'A measurement is what `ciuic bench NAME --json` prints, "v": 1.'
        raise DataInvalidError(error.message, hint=hint) from None


def _measurement(top: Fields) -> Measurement:
    version = top.integer("v")
    if version != MEASUREMENT_VERSION:
        top.fail(f"measurement.v is {version}, and this build reads {MEASUREMENT_VERSION}")
    named = Fields(top.object("versions"), "measurement.versions", DataInvalidError)
    notes = top.array("notes", default=())
    if not all(isinstance(note, str) for note in notes):
        top.fail("measurement.notes holds something other than strings")
    return Measurement(
        command=top.text("command", default=""),
        board=top.text("board"),
        bundle_sha256=top.text("bundle_sha256", default=None, limit=64),
        date=_date(top),
        rows=tuple(_row(row, f"rows[{at}]") for at, row in enumerate(top.array("rows"))),
        checks=tuple(_check(check, f"checks[{at}]") for at, check in enumerate(top.array("checks"))),
        notes=tuple(notes),
        machine=dict(top.object("machine")),
        versions={name: named.text(name) for name in top.object("versions")},
        quiet=top.flag("quiet", default=None),
    )


def _date(top: Fields) -> datetime:
    try:
        date = datetime.fromisoformat(top.text("date", limit=64))
    except ValueError:
        top.fail("measurement.date is not a time as ISO 8601 writes it")
    if date.utcoffset() is None:
        top.fail("measurement.date does not say how far it is from UTC")
    return date


def _row(data: Any, where: str) -> Row:
    row = Fields(data, where, DataInvalidError)
    config = row.text("config")
    if not config:
        row.fail(f"{where}.config is empty")
    return Row(
        config=config,
        delegate=row.text("delegate", default=None),
        exit=row.integer("exit", default=None),
        n=row.integer("n", default=0),
        accuracy=row.number("accuracy", default=None, low=0.0, high=1.0),
        latency_s=_latency(row.object("latency_s", default=None), where),
        energy_j=_joules(row.object("energy_j", default=None), where),
        memory_bytes=row.integer("memory_bytes", default=None),
        extra=dict(row.object("extra", default={})),
    )


def _latency(data: Mapping[str, Any] | None, where: str) -> dict[str, float] | None:
    """Seconds by quantile."""
    if data is None:
        return None
    fields = Fields(data, f"{where}.latency_s", DataInvalidError)
    return {name: fields.number(name, low=0.0) for name in data}


def _joules(data: Mapping[str, Any] | None, where: str) -> dict[str, Any] | None:
    """Mean, half-width and source are checked where they are; what else a source says of itself is kept."""
    if data is None:
        return None
    fields = Fields(data, f"{where}.energy_j", DataInvalidError)
    fields.number("mean", default=None)
    fields.number("u95", default=None, low=0.0)
    fields.text("source", default=None)
    return dict(data)


def _check(data: Any, where: str) -> Check:
    check = Fields(data, where, DataInvalidError)
    found = Check(
        name=check.text("name"),
        value=check.number("value", default=None),
        bound=check.number("bound"),
        unit=check.text("unit"),
        relation=check.choice("relation", RELATIONS, default="<="),
    )
    if check.flag("ok") is not found.ok:
        check.fail(f"{where}.ok is not what its value, relation and bound say")
    return found
