"""From a recipe's files to a bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conversion.export.lattice import graph_name
from conversion.export.recipes import RUNTIMES
from conversion.export.to_onnx import INPUTS
from conversion.nets.deepseek_lite import Dims
from firmware_py.bundles.write import member, write_bundle
from firmware_py.contracts.manifest import Graph, Head, Manifest, Task, TensorSpec, Variant
from firmware_py.contracts.run import GraphKey
from firmware_py.contracts.slot_sets import SlotSets

VERSION = "0.2.0"


@dataclass(frozen=True, slots=True)
class Model:
    """What a bundle is, whatever its recipe: `task` is its name (`home`), `languages` what it understands."""

    name: str
    task: str
    languages: tuple[str, ...]
    labels: tuple[str, ...]
    slots: tuple[str, ...]
    dims: Dims
    kind: str = "intent"
    punctuation: str = "tokens"
    slot_sets: SlotSets | None = None


@dataclass(frozen=True, slots=True)
class Exits:
    """What calibration found for one recipe; the fields are the manifest's, see `contracts/manifest.py`.

    `temperatures` are of the exits 1 … S at full width; `zeroth` of exit 0, None: the bundle has no such
    exit. `rules` have one threshold per exit 1 … S, the last 0.
    """

    temperatures: tuple[float, ...]
    rules: Mapping[str, tuple[float, ...]]
    default_rule: str
    accuracy: tuple[float, ...]
    scope_threshold: float
    zeroth: float | None = None
    zeroth_rules: Mapping[str, float] = field(default_factory=dict)
    variants: tuple[Variant, ...] = ()
    scope_score: str = "label"
    confidence: str = "label"


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes into a bundle. `parts` is the folder that `write_parts` wrote."""

    model: Model
    recipe: str
    graphs: Mapping[GraphKey, Path]
    ops: Mapping[GraphKey, Mapping[str, int]]
    parts: Path
    golden: bytes
    exits: Exits
    provenance: Mapping[str, Any]


def manifest_of(contents: Contents, files: Mapping[str, bytes]) -> Manifest:
    """Describe the files."""
    model, exits = contents.model, contents.exits
    temperatures = dict(enumerate(exits.temperatures, 1))
    if exits.zeroth is not None:
        temperatures[0] = exits.zeroth
    graphs = [
        _graph(key, model.dims, contents.ops.get(key, {}), files[graph_name(key)])
        for key in sorted(contents.graphs)
    ]
    heads = [
        Head(model.task, number, temperatures[number], member(_head(number), files[_head(number)]))
        for number in sorted(temperatures)
    ]
    return Manifest(
        name=model.name,
        version=VERSION,
        recipe=contents.recipe,
        task=Task(model.task, model.kind, model.languages),
        labels=model.labels,
        slots=model.slots,
        stages=model.dims.stages,
        buckets=tuple(sorted({key.bucket for key in contents.graphs})),
        dims=model.dims.manifest(),
        runtimes=RUNTIMES[contents.recipe],
        graphs=tuple(graphs),
        heads=tuple(heads),
        embedding=member("embedding.npz", files["embedding.npz"]),
        tokenizer=member("vocab.txt", files["vocab.txt"]),
        golden=member("golden.jsonl", files["golden.jsonl"]),
        exit_rules={name: tuple(row) for name, row in exits.rules.items()},
        default_rule=exits.default_rule,
        accuracy_by_exit=exits.accuracy,
        out_of_scope_threshold=exits.scope_threshold,
        provenance=json.loads(json.dumps(contents.provenance)),
        zeroth_rules=dict(exits.zeroth_rules),
        variants=exits.variants,
        out_of_scope_score=exits.scope_score,
        punctuation=model.punctuation,
        slot_sets=model.slot_sets,
        exit_confidence=exits.confidence,
    )


@dataclass(frozen=True, slots=True)
class Written:
    """What lies in the archive, and its SHA-256 in hex."""

    manifest: Manifest
    sha256: str


def bundle(contents: Contents, path: Path) -> Written:
    """Write the archive.

    Raises:
        BundleError: what was given makes no bundle that its reader would take.
    """
    files = members(contents)
    manifest = manifest_of(contents, files)
    return Written(manifest, write_bundle(path, manifest, files))


def members(contents: Contents) -> dict[str, bytes]:
    """Every file of the archive but the manifest, by name."""
    first = 1 if contents.exits.zeroth is None else 0
    names = [_head(number) for number in range(first, contents.model.dims.stages + 1)]
    files = {graph_name(key): file.read_bytes() for key, file in contents.graphs.items()}
    files |= {name: (contents.parts / name).read_bytes() for name in (*names, "embedding.npz", "vocab.txt")}
    return files | {"golden.jsonl": contents.golden}


def _head(number: int) -> str:
    return f"head-{number}.npz"


def _graph(key: GraphKey, dims: Dims, ops: Mapping[str, int], data: bytes) -> Graph:
    length = key.bucket
    shapes = {
        "h": (length, dims.d),
        "bias": (length, length),
        "cos": (length, dims.rope),
        "sin": (length, dims.rope),
    }
    return Graph(
        key=key,
        role="stage",
        past=0,
        inputs=tuple(TensorSpec(name, "float32", shapes[name]) for name in INPUTS),
        outputs=(
            TensorSpec("h_out", "float32", (length, dims.d)),
            TensorSpec("state", "float32", (length, dims.state)),
        ),
        ops=dict(ops),
        file=member(graph_name(key), data),
    )
