"""The whole lattice at once: a TFLite file for every graph and recipe, in parallel, each made only once.

    folded stage (torch) -> ONNX -> float32 TFLite (onnx2tf) -> the recipe's file

What is in the cache is taken from there; the rest is made by worker processes, which import torch once
and hand several files at a time to onnx2tf.
"""

from __future__ import annotations

import contextlib
import io
import math
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from conversion.export.cache import GraphCache, float32_key
from conversion.export.quantise import key_of, quantise
from conversion.export.recipes import RECIPES, Recipe
from conversion.export.to_onnx import INPUTS, example, export_graph, folded
from conversion.export.to_tflite import convert, find_tool
from conversion.nets.deepseek_lite import DeepSeekLite
from firmware_py.contracts.errors import ConversionError
from firmware_py.contracts.run import GraphKey

Tell = Callable[[float], None]
Files = dict[str, dict[GraphKey, Path]]
CHUNK = 4  # graphs that one worker hands to one onnx2tf process: its import is shared, progress still shows


@dataclass(frozen=True, slots=True)
class Place:
    """Where the build is: the checkout with the environments, the cache, and how many processes may work."""

    root: Path
    cache: Path
    workers: int = 2


@dataclass(frozen=True, slots=True)
class Piece:
    """A graph to convert: its module and example inputs, and the float32 file's key in the cache."""

    key: str
    module: Any
    inputs: tuple[torch.Tensor, ...]


def make_graphs(
    trunk: DeepSeekLite, keys: Sequence[GraphKey], recipes: Sequence[str], place: Place, tell: Tell
) -> Files:
    """Every recipe's file of every graph.

    Raises:
        ConversionError: a converter failed; the message names the graph.
        ToolMissingError: there is no onnx2tf.
    """
    pieces = {}
    for key in keys:
        module = folded(trunk, key)
        pieces[key] = Piece(float32_key(module, key.bucket), module, example(trunk, key.bucket))
    return make_files(pieces, [RECIPES[name] for name in recipes], place, tell)


def make_files(pieces: dict[GraphKey, Piece], recipes: Sequence[Recipe], place: Place, tell: Tell) -> Files:
    """The same for graphs of any kind that `torch.onnx` exports; the modules' classes must be importable.

    Raises:
        ConversionError: a converter failed.
        ToolMissingError: there is no onnx2tf.
    """
    cache = GraphCache(place.cache)
    todo = [piece for piece in pieces.values() if not _is_made(piece.key, recipes, cache)]
    total = max(1, len(todo))
    if todo:
        done = 0
        for made in _in_workers(todo, recipes, place):
            done += made
            tell(0.99 * done / total)
    files: Files = {recipe.name: {} for recipe in recipes}
    for key, piece in pieces.items():
        data = cache.path(piece.key).read_bytes()
        for recipe in recipes:
            files[recipe.name][key] = _target(data, piece.key, recipe, cache)
    tell(1.0)
    return files


def _target(data: bytes, float32: str, recipe: Recipe, cache: GraphCache) -> Path:
    return cache.path(key_of(data, recipe) if recipe.quantiser else float32)


def _is_made(float32: str, recipes: Sequence[Recipe], cache: GraphCache) -> bool:
    path = cache.path(float32)
    if not path.is_file():
        return False
    data = path.read_bytes()
    return all(_target(data, float32, recipe, cache).is_file() for recipe in recipes)


def _in_workers(todo: Sequence[Piece], recipes: Sequence[Recipe], place: Place) -> Any:
    """Yield how many pieces each finished chunk had."""
    python = find_tool(place.root)
    # Even shares: no worker waits long for the other's last chunk.
    size = min(CHUNK, math.ceil(len(todo) / place.workers))
    chunks = [list(todo[start : start + size]) for start in range(0, len(todo), size)]
    workers = min(place.workers, len(chunks))
    with (
        tempfile.TemporaryDirectory(prefix="ciuic-graphs-") as folder,
        ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start) as pool,
    ):
        jobs = []
        for number, chunk in enumerate(chunks):
            path = Path(folder) / f"chunk-{number}.pt"
            torch.save(chunk, path)
            jobs.append(pool.submit(_work, path, tuple(recipes), python, place.cache))
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BrokenProcessPool as error:
            msg = "a conversion process died (too little memory?)"
            raise ConversionError(msg) from error
        finally:
            for job in jobs:
                job.cancel()


def _start() -> None:
    """One thread a process: the processes are the parallelism."""
    torch.set_num_threads(1)


def _work(path: Path, recipes: tuple[Recipe, ...], python: Path, folder: Path) -> int:
    """Make the files of one chunk; returns how many graphs it had."""
    quiet = io.StringIO()  # exporter and quantizer print notes and progress bars of their own
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        return _make(path, recipes, python, folder)


def _make(path: Path, recipes: tuple[Recipe, ...], python: Path, folder: Path) -> int:
    chunk: list[Piece] = torch.load(path, weights_only=False)  # our own process wrote it a moment ago
    cache = GraphCache(folder)
    missing = [piece for piece in chunk if not cache.path(piece.key).is_file()]
    with tempfile.TemporaryDirectory(prefix="ciuic-onnx-") as place:
        sources = []
        for piece in missing:
            source = Path(place) / f"{piece.key}.onnx"
            export_graph(piece.module, piece.inputs, source)
            sources.append(source)
        written = convert(python, sources, Path(place) / "tflite", INPUTS) if sources else []
        for piece, made in zip(missing, written, strict=True):
            cache.put(piece.key, made.read_bytes())
    for piece in chunk:
        source = cache.path(piece.key)
        data = source.read_bytes()
        for recipe in recipes:
            if not _target(data, piece.key, recipe, cache).is_file():
                cache.put(key_of(data, recipe), quantise(source, recipe))
    return len(chunk)
