"""The build's files: ONNX and TFLite per stage and length bucket, embedding and heads as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from conversion.export.quantise import quantise
from conversion.export.to_onnx import INPUTS, export_stage
from conversion.export.to_tflite import convert, find_tool
from conversion.nets.deepseek_lite import GROUPS, DeepSeekLite
from conversion.nets.heads import npz_bytes
from firmware_py.contracts.run import GraphKey

Tell = Callable[[float], None]


def keys(buckets: Sequence[int], stages: int) -> list[GraphKey]:
    """The graphs that ship: every stage at every length, full width."""
    return [GraphKey(bucket, stage, GROUPS) for bucket in buckets for stage in range(1, stages + 1)]


def export_stages(trunk: DeepSeekLite, buckets: Sequence[int], folder: Path, tell: Tell) -> None:
    """Write `<key>.onnx` for every graph."""
    folder.mkdir(exist_ok=True)
    todo = keys(buckets, trunk.dims.stages)
    for done, key in enumerate(todo, 1):
        export_stage(trunk, key, folder / f"{_stem(key)}.onnx")
        tell(done / len(todo))


def convert_stages(source: Path, folder: Path, root: Path, tell: Tell) -> None:
    """Write a float32 `<key>.tflite` for every ONNX file."""
    folder.mkdir(exist_ok=True)
    tool = find_tool(root)
    todo = sorted(source.glob("*.onnx"))
    for done, path in enumerate(todo, 1):
        convert(tool, path, folder / f"{path.stem}.tflite", INPUTS)
        tell(done / len(todo))


def quantise_stages(source: Path, folder: Path, recipes: Sequence[str], tell: Tell) -> None:
    """Write `<recipe>/<key>.tflite` for every float32 file."""
    todo = [(recipe, path) for recipe in recipes for path in sorted(source.glob("*.tflite"))]
    for done, (recipe, path) in enumerate(todo, 1):
        (folder / recipe).mkdir(parents=True, exist_ok=True)
        quantise(path, folder / recipe / path.name, recipe)
        tell(done / len(todo))


def graph_paths(folder: Path, recipe: str, buckets: Sequence[int], stages: int) -> dict[GraphKey, Path]:
    """Where `quantise_stages` put a recipe's graphs."""
    return {key: folder / recipe / f"{_stem(key)}.tflite" for key in keys(buckets, stages)}


def embedding_bytes(trunk: DeepSeekLite) -> bytes:
    """The token table as int8 rows with one scale each (symmetric, largest magnitude = 127)."""
    table = trunk.embedding.weight.detach().numpy().astype(np.float32)
    scale = np.maximum(np.abs(table).max(1), 1e-8) / 127.0
    rows = np.clip(np.rint(table / scale[:, None]), -127, 127).astype(np.int8)
    return npz_bytes({"rows": rows, "scale": scale.astype(np.float32)})


def _stem(key: GraphKey) -> str:
    return f"s{key.stage}-w{key.width}-t{key.bucket}"
