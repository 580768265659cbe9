"""`ciuic model targets BUNDLE`: finds the model's recipe bundles beside it, and what is measured of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conversion.check.hosts import host_of, other_host
from conversion.targets.report import OTHER_RUNTIME, Built, Measured, rows
from conversion.targets.text import table_text
from device_profiles.vocabulary import RECIPES
from firmware_py.bundles.read import read_bundle
from firmware_py.bundles.verify import Trust
from firmware_py.contracts.errors import CiuicError
from firmware_py.contracts.measurement import is_publishable

_USUAL = "ai-edge-litert"
_ENGINE = "engine, exits as the rule chose"  # the row of engine.json that is one whole answer


def targets(bundle: Path, trust: Trust, measurements: Path) -> dict[str, Any]:
    """The document of `--json`; `rows` as `report.Row` says.

    Raises:
        BundleError: the bundle asked for is missing, damaged or not trusted. One beside it that is is left out
            and named in `refused`.
    """
    reference = _open(bundle, trust)
    built, refused = {reference.manifest.recipe: reference}, {}
    for path in _beside(bundle):
        if path == bundle:
            continue
        try:
            one = _open(path, trust)
        except CiuicError as error:
            refused[path.name] = str(error)
            continue
        if one.manifest.name == reference.manifest.name:
            built.setdefault(one.manifest.recipe, one)
    found = rows(built, reference, _measured(measurements, built))
    return {
        "v": 1,
        "model": reference.manifest.name,
        "version": reference.manifest.version,
        "reference": bundle.name,
        "simulated": True,
        "refused": refused,
        "rows": [row.to_dict() for row in found],
        "text": table_text(found),
    }


def _open(path: Path, trust: Trust) -> Built:
    found = read_bundle(path, trust)
    manifest = found.manifest
    widest, length = max(graph.key.width for graph in manifest.graphs), min(manifest.buckets)
    names = [
        graph.file.name
        for graph in manifest.graphs
        if graph.key.width == widest and graph.key.bucket == length
    ]
    graphs = tuple(found.files[name] for name in names)
    return Built(path, manifest, found.sha256, path.stat().st_size, graphs)


def _beside(bundle: Path) -> list[Path]:
    """The same model's and seed's bundles in other recipes, by their file names."""
    stem = bundle.name.removesuffix(".bundle")
    for recipe in RECIPES:
        stem = stem.removesuffix(f".{recipe}")
    names = [f"{stem}.bundle", *(f"{stem}.{recipe}.bundle" for recipe in RECIPES)]
    return [path for path in (bundle.parent / one for one in names) if path.is_file()]


def _measured(measurements: Path, built: Mapping[str, Built]) -> dict[str, Measured]:
    """Seconds of one answer by recipe, of these very bundles in the recipe's runtime, as a host that is known wrote them when quiet.

    From `ciuic bench model`, `bench engine`, or a trade-off of the bundle: published, there or in a host's folder, or beside it. A mean goes before
    a median, which some files have alone.
    """
    found: dict[str, Measured] = {}
    for recipe, one in built.items():
        said = _said_of(measurements, one, OTHER_RUNTIME.name if recipe == OTHER_RUNTIME.recipe else _USUAL)
        if said:
            found[recipe] = min(said, key=_doubt)
    return found


def _doubt(said: Measured) -> tuple[bool, float]:
    """A mean is better than a median, then the reference host than one that was compared with it."""
    host = host_of(said.machine)
    return not said.mean, math.inf if host is None else host.u95


def _said_of(measurements: Path, one: Built, runtime: str) -> list[Measured]:
    out = []
    hosts = sorted(path for path in measurements.glob("*/") if path.is_dir())
    names = (f"model-{one.manifest.name}.json", "engine.json", f"{one.path.stem}.tradeoff.json")
    published = [folder / name for folder in (measurements, *hosts) for name in names]
    for path in (*published, one.path.parent / names[-1]):
        document = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        latency = _of_tradeoff(document, one, runtime) or _of_bench(document, one, runtime)
        machine = document.get("machine", {})
        if latency is None or other_host(machine) is not None:
            continue
        which, mean = ("mean", True) if "mean" in latency else ("p50", False)
        file = f"{path.parent.name}/{path.name}" if path.parent in hosts else path.name
        source = f"{'mean' if mean else 'median'} of {file} ({machine.get('cpu')}, {str(document.get('date'))[:10]})"
        out.append(Measured(float(latency[which]), source, machine, mean))
    return out


def _of_bench(document: Mapping[str, Any], one: Built, runtime: str) -> Mapping[str, Any] | None:
    """Seconds of one whole answer; a bench runs in ai-edge-litert where that is installed."""
    if document.get("bundle_sha256") != one.sha256 or not is_publishable(document):
        return None
    there = document.get("versions", {})
    other = OTHER_RUNTIME.name in there and _USUAL not in there
    if runtime != (OTHER_RUNTIME.name if other else _USUAL):
        return None
    for row in document.get("rows", ()):
        what = str(row.get("extra", {}).get("what", ""))
        whole = row.get("config") == one.manifest.default_rule or what.startswith(_ENGINE)
        if whole and row.get("latency_s"):
            return row["latency_s"]
    return None


def _of_tradeoff(document: Mapping[str, Any], one: Built, runtime: str) -> Mapping[str, Any] | None:
    """The same from a trade-off, which times every runtime that is there."""
    if document.get("bundle", {}).get("sha256") != one.sha256:
        return None
    if not document["timings"].get(runtime, {}).get("quiet"):
        return None
    for row in document["points"]:
        if row["reachable"] and row["name"] == one.manifest.default_rule:
            return row["latency_s"][runtime]
    return None
