"""What is on this machine: each look ends in a finding, never in an exception.

A look needs its role's packages only when it runs, so that the doctor works on a machine that lacks
them and says so.
"""

from __future__ import annotations

import importlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciuic.progress import Progress

if TYPE_CHECKING:
    from firmware_py.bundles.verify import Trust

_DELEGATE_TIMEOUT_S = 20.0
_NO_BUNDLE = "Give --model FILE, or run this where models/ lies; `ciuic model build home-en` makes one."
_ENVIRONMENTS = {
    "app": "a node, the demo, tests (make setup)",
    "tflr": "tests with tflite-runtime (make setup)",
    "docs": "building the documentation (make docs)",
    "train": "building models: torch (make setup-train)",
    "convert": "building models: onnx2tf (make setup-train)",
    "npm": "tests with npm mqtt (make setup)",
}
# Loaded in a child: a broken delegate library takes its process with it.
_LOAD_DELEGATE = (
    "import sys, json; from firmware_py.backends.litert import LiteRtDelegate; "
    "LiteRtDelegate(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked for. `needed` ones make the doctor's exit status; `todo` says what to do."""

    area: str
    name: str
    found: bool
    detail: str
    todo: str | None = None
    needed: bool = False


def python() -> Iterator[Finding]:
    """The interpreter and this distribution."""
    version = platform.python_version()
    right = (3, 11) <= sys.version_info[:2] <= (3, 13)
    detail = f"{version} on {platform.machine()}, {sys.prefix}"
    yield Finding(
        "python", "python", right, detail, None if right else "Use Python 3.11 to 3.13.", needed=True
    )
    own = _version("ciuic-edge")
    yield Finding("python", "ciuic-edge", own is not None, own or "not installed: running from a checkout")


def runtime() -> Iterator[Finding]:
    """Who can run graphs: the two TFLite runtimes, of which one is enough."""
    found = {package: _version(package) for package in ("ai-edge-litert", "tflite-runtime")}
    have = [f"{package} {version}" for package, version in found.items() if version]
    todo = (
        None if have else 'In a checkout: pip install ".[device]", or the extra device-tflite on 32-bit ARM.'
    )
    yield Finding("runtime", "tflite", bool(have), ", ".join(have) or "none", todo, needed=True)
    numpy = _version("numpy")
    if found["tflite-runtime"] and not found["ai-edge-litert"] and numpy and not numpy.startswith("1."):
        text = "tflite-runtime 2.14 builds no interpreter with numpy 2"
        yield Finding(
            "runtime", "numpy", found=False, detail=text, todo='pip install "numpy<2".', needed=True
        )


def board(root: Path) -> Iterator[Finding]:
    """Which board, its thermal zones, its power sensors, its delegates."""
    from device_profiles.detect import compatible, detect, model
    from device_profiles.loader import load_profile

    name = detect(root)
    tree = ", ".join(compatible(root)) or "no device tree"
    if name is None:
        todo = "A node here simulates a board (--profile), or write a profile: docs/how-to-add-a-board.md."
        yield Finding("board", "profile", found=False, detail=tree, todo=todo)
    else:
        yield Finding("board", "profile", found=True, detail=f"{name} ({model(root) or tree})")
    profile = load_profile(name or "simulated")
    yield from _zones(root, profile.thermal_zones if name else ())
    yield from _buses(root)
    if name is not None:
        for rail in profile.rails:
            yield _sensor(rail)
        for delegate in profile.delegates:
            yield _delegate(delegate)


def _zones(root: Path, wanted: tuple[str, ...]) -> Iterator[Finding]:
    zones = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        try:
            zones[(zone / "type").read_text(encoding="ascii").strip()] = zone.name
        except (OSError, UnicodeDecodeError):
            continue
    missing = [name for name in wanted if name not in zones]
    todo = f"The profile also names {', '.join(missing)}." if missing else None
    detail = ", ".join(zones) or "none: the governor does not see heat"
    yield Finding("board", "thermal zones", bool(zones), detail, todo)


def _buses(root: Path) -> Iterator[Finding]:
    buses = sorted(path.name for path in (root / "dev").glob("i2c-*"))
    todo = None if buses else "Enable I2C (on a Raspberry Pi: raspi-config) to measure joules."
    yield Finding("board", "i2c", bool(buses), ", ".join(buses) or "no /dev/i2c-*", todo)


def _sensor(rail: Any) -> Finding:
    from firmware_py.contracts.clock import SystemClock
    from firmware_py.contracts.errors import CiuicError
    from firmware_py.energy.open import open_meter

    name = f"{rail.sensor} on {rail.name}"
    if rail.sensor == "none":
        return Finding("board", name, found=False, detail="this board has no power sensor")
    try:
        meter = open_meter(rail, SystemClock())
    except CiuicError as error:
        return Finding("board", name, found=False, detail=str(error), todo=error.hint)
    if meter is None:
        return Finding("board", name, found=False, detail="this build has no driver for it")
    meter.close()
    return Finding("board", name, found=True, detail=f"answers on i2c-{rail.bus} at {rail.address:#x}")


def _delegate(delegate: Any) -> Finding:
    import json

    name = f"delegate {delegate.name}"
    if delegate.library is None:
        return Finding("board", name, found=True, detail="part of the runtime")
    options = json.dumps(dict(delegate.options))
    command = [sys.executable, "-c", _LOAD_DELEGATE, delegate.name, delegate.library, options]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_DELEGATE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding("board", name, found=False, detail=f"{delegate.library} hangs when it is loaded")
    if done.returncode == 0:
        return Finding("board", name, found=True, detail=delegate.library)
    reason = (done.stderr.strip().splitlines() or [f"the process died ({done.returncode})"])[-1]
    return Finding(
        "board",
        name,
        found=False,
        detail=reason,
        todo=f"Install {delegate.library}; answers go on without it.",
    )


def brokers() -> Iterator[Finding]:
    """Which brokers could be started here."""
    from mqtt_bridge.broker.process import KINDS

    for kind in KINDS.values():
        here = kind.available()
        yield Finding("broker", kind.name, here, "can be started" if here else "not installed")


def folders(store: str, state: str) -> Iterator[Finding]:
    """Where a node unpacks its models and keeps its epoch: without them it does not start."""
    from firmware_py.contracts.outputs import why_unwritable

    for name, place in (("store", store), ("state", state)):
        if place == "-":  # keep none
            continue
        folder = Path(place).expanduser()
        why = why_unwritable(folder, folder=True)
        todo = (
            None
            if why is None
            else f"Give nodes a folder that they may write to: --{name} (or CIUIC_{name.upper()})."
        )
        detail = str(folder) if why is None else f"{folder} cannot be written: {why}"
        yield Finding("folder", name, why is None, detail, todo, needed=True)


def trust_asked(folder: str, *, allow_unsigned: bool) -> Trust:
    """Whom a node of these settings trusts.

    Raises:
        ConfigError: there is no such folder.
    """
    from firmware_py.compose import trust_of
    from firmware_py.config import AgentConfig

    return trust_of(AgentConfig(trust=folder, allow_unsigned=allow_unsigned))


def bundles(paths: list[Path], trusted: Callable[[], Trust], *, all_needed: bool) -> Iterator[Finding]:
    """Whether a node of that trust would accept each bundle, and whether it answers rightly here.

    One that does is enough for a node, unless `all_needed`: shipped bundles are for different runtimes.
    """
    from firmware_py.contracts.errors import CiuicError

    trust = trusted()
    if not paths:
        text = "no *.bundle given or in models/"
        yield Finding("bundle", "models", found=False, detail=text, todo=_NO_BUNDLE, needed=True)
    found = []
    with Progress("trying bundles", len(paths)) as show:
        for number, path in enumerate(paths, 1):
            try:
                found.append(Finding("bundle", str(path), found=True, detail=_tried(path, trust)))
            except CiuicError as error:
                found.append(Finding("bundle", str(path), found=False, detail=str(error), todo=error.hint))
            show(number)
    needed = all_needed or not any(one.found for one in found)
    yield from (replace(one, needed=needed) for one in found)


def _tried(path: Path, trust: Trust) -> str:
    """Unpack into a folder of its own and run the golden rows in a child process, on the processor."""
    from firmware_py.backends.opening import DelegateSpec, runtime_of
    from firmware_py.bundles.read import unpack
    from firmware_py.contracts.clock import SystemClock
    from firmware_py.inference.golden import self_test

    with tempfile.TemporaryDirectory(prefix="ciuic-doctor-") as store:
        unpacked = unpack(path, trust, Path(store))
        manifest = unpacked.manifest
        who = f"{manifest.name} {manifest.version}, task {manifest.task.name}, recipe {manifest.recipe}"
        runtime = runtime_of(manifest)
        self_test(unpacked, DelegateSpec(), SystemClock())
    return f"{who}; trusted, its test rows pass on {runtime}"


def environments(folder: Path) -> Iterator[Finding]:
    """The environments of a checkout."""
    for name, purpose in _ENVIRONMENTS.items():
        here = (folder / name).is_dir()
        yield Finding("environment", name, here, purpose if here else f"absent; for {purpose}")


def guarded(area: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """The findings of one look; a package or file that it lacks becomes a finding of its own."""
    found: list[Finding] = []
    try:
        found.extend(look())
    except ModuleNotFoundError as error:
        todo = 'In a checkout: `scripts/setup run`, or `pip install ".[device,bridge]"`.'
        found.append(
            Finding(area, error.name or "?", found=False, detail="not installed", todo=todo, needed=True)
        )
    except OSError as error:
        found.append(Finding(area, area, found=False, detail=f"could not be looked at: {error}"))
    return found


def venvs() -> Path:
    """Where the environments of this checkout lie."""
    root = Path(importlib.import_module("ciuic").__path__[0]).parent
    return Path(os.environ.get("VENVS", root / ".venvs"))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
