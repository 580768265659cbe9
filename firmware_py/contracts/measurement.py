"""A measurement file: what every benchmark prints and writes, and cost model, mesh and rig read.

Units: seconds, joules, bytes. A check compares one printed value with its bound.
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

MEASUREMENT_VERSION = 1
_PACKAGES = ("ciuic-edge", "ai-edge-litert", "tflite-runtime", "numpy", "paho-mqtt", "iotcore")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured configuration. Latency in seconds, energy in joules above idle, memory resident."""

    config: str
    delegate: str | None = None
    exit: int | None = None
    n: int = 0
    accuracy: float | None = None
    latency_s: Mapping[str, float] | None = None
    energy_j: Mapping[str, Any] | None = None
    memory_bytes: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """One bound of an issue against one measured value; `relation` says how they compare."""

    name: str
    value: float | None
    bound: float
    unit: str
    relation: Literal["<=", ">="] = "<="

    @property
    def ok(self) -> bool:
        """Whether the bound holds; an unknown value never does."""
        if self.value is None:
            return False
        return self.value <= self.bound if self.relation == "<=" else self.value >= self.bound


@dataclass(frozen=True, slots=True)
class Measurement:
    """A run of one benchmark command on one machine."""

    command: str
    board: str
    bundle_sha256: str | None
    date: datetime
    rows: tuple[Row, ...]
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, with this machine and these versions."""
        return {
            "v": MEASUREMENT_VERSION,
            "command": self.command,
            "machine": machine(),
            "board": self.board,
            "bundle_sha256": self.bundle_sha256,
            "date": self.date.isoformat(timespec="seconds"),
            "versions": versions(),
            "rows": [asdict(row) for row in self.rows],
            "checks": [asdict(check) | {"ok": check.ok} for check in self.checks],
            "notes": list(self.notes),
        }

    def write(self, folder: Path, name: str) -> Path:
        """Write `<name>.json` into the folder (made if absent) and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.json"
        path.write_text(json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path


def machine() -> dict[str, Any]:
    """This machine, without its name: architecture, processor, cores, kernel."""
    model = ""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model")):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return {
        "arch": platform.machine(),
        "cpu": model or None,
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
