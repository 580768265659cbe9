"""From a recipe's files to a signed bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conversion.export.quantise import RUNTIMES
from conversion.export.to_onnx import INPUTS
from conversion.nets.deepseek_lite import GROUPS, Dims
from firmware_py.bundles.write import member, write_bundle
from firmware_py.contracts.manifest import Graph, Head, Manifest, Task, TensorSpec
from firmware_py.contracts.run import GraphKey

VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes into a bundle besides the graphs' own description."""

    recipe: str
    dims: Dims
    labels: tuple[str, ...]
    slots: tuple[str, ...]
    graphs: Mapping[GraphKey, Path]
    ops: Mapping[GraphKey, Mapping[str, int]]
    vocabulary: bytes
    embedding: bytes
    heads: Sequence[bytes]
    golden: bytes
    temperatures: tuple[float, ...]
    presets: Mapping[str, float]
    default_rule: str
    accuracy_by_exit: tuple[float, ...]
    scope_threshold: float
    provenance: Mapping[str, Any]


def graph_name(key: GraphKey) -> str:
    """A graph's file name in the archive."""
    return f"s{key.stage}-w{key.width}-t{key.bucket}.tflite"


def manifest_of(contents: Contents, files: Mapping[str, bytes]) -> Manifest:
    """Describe the files; thresholds are the preset at every exit but the last, which always accepts."""
    dims = contents.dims
    stages = dims.stages
    graphs = [
        _graph(key, dims, contents.ops.get(key, {}), files[graph_name(key)])
        for key in sorted(contents.graphs)
    ]
    heads = [
        Head(
            "home",
            exit_,
            contents.temperatures[exit_ - 1],
            member(f"head-{exit_}.npz", files[f"head-{exit_}.npz"]),
        )
        for exit_ in range(1, stages + 1)
    ]
    return Manifest(
        name="home-en",
        version=VERSION,
        recipe=contents.recipe,
        task=Task("home", "intent", ("en",)),
        labels=contents.labels,
        slots=contents.slots,
        stages=stages,
        buckets=tuple(sorted({key.bucket for key in contents.graphs})),
        dims=dims.manifest(),
        runtimes=RUNTIMES[contents.recipe],
        graphs=tuple(graphs),
        heads=tuple(heads),
        embedding=member("embedding.npz", files["embedding.npz"]),
        tokenizer=member("vocab.txt", files["vocab.txt"]),
        golden=member("golden.jsonl", files["golden.jsonl"]),
        exit_rules={name: (value,) * (stages - 1) + (0.0,) for name, value in contents.presets.items()},
        default_rule=contents.default_rule,
        accuracy_by_exit=contents.accuracy_by_exit,
        out_of_scope_threshold=contents.scope_threshold,
        provenance=json.loads(json.dumps(contents.provenance)),
    )


def bundle(contents: Contents, path: Path) -> str:
    """Write the archive and return its SHA-256."""
    files = {graph_name(key): file.read_bytes() for key, file in contents.graphs.items()}
    files |= {f"head-{number}.npz": data for number, data in enumerate(contents.heads, 1)}
    files |= {
        "embedding.npz": contents.embedding,
        "vocab.txt": contents.vocabulary,
        "golden.jsonl": contents.golden,
    }
    return write_bundle(path, manifest_of(contents, files), files)


def _graph(key: GraphKey, dims: Dims, ops: Mapping[str, int], data: bytes) -> Graph:
    length = key.bucket
    shapes = {
        "h": (length, dims.d),
        "bias": (length, length),
        "cos": (length, dims.rope),
        "sin": (length, dims.rope),
    }
    assert key.width <= GROUPS  # noqa: S101 - our own keys
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
