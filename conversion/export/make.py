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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import nn

from conversion.export.cache import GraphCache, float32_key
from conversion.export.quantise import Inputs, is_float32, key_of, quantise
from conversion.export.recipes import RECIPES, Recipe
from conversion.export.samples import samples_of
from conversion.export.to_onnx import INPUTS, example, export_graph, folded
from conversion.export.to_tflite import convert, find_tool
from conversion.nets.deepseek_lite import DeepSeekLite
from firmware_py.children import tie_worker
from firmware_py.contracts.errors import ConversionError
from firmware_py.contracts.run import GraphKey

Tell = Callable[[float], None]
Files = dict[str, dict[GraphKey, Path]]
CHUNK = 4  # graphs that one worker hands to one onnx2tf process: its import is shared, progress still shows


@dataclass(frozen=True, slots=True)
class Place:
    """Where the build is: the checkout with the environments, the cache, and how many processes may work.

    `sentences` are token ids of real texts of every length, for recipes that need the ranges of activations.
    """

    root: Path
    cache: Path
    workers: int = 2
    sentences: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """A graph to convert: its module and example inputs, the float32 file's key in the cache, its recipes.

    `samples` are inputs as the graph meets them; empty where no recipe is calibrated.
    """

    graph: GraphKey
    key: str
    module: nn.Module
    inputs: tuple[torch.Tensor, ...]
    recipes: tuple[Recipe, ...]
    samples: tuple[Inputs, ...] = ()


def make_graphs(
    trunk: DeepSeekLite, keys: Sequence[GraphKey], recipes: Sequence[str], place: Place, tell: Tell
) -> Files:
    """Every recipe's file of every graph.

    Raises:
        ConversionError: the trunk's norm is not the recipe's, sentences are missing, or a converter failed.
        ToolMissingError: there is no onnx2tf.
    """
    asked = [RECIPES[name] for name in recipes]
    for recipe in asked:
        if recipe.norm != trunk.dims.norm:
            msg = (
                f"recipe {recipe.name} is for a trunk with norm {recipe.norm}, this one has {trunk.dims.norm}"
            )
            raise ConversionError(msg)
        if recipe.calibrated and not place.sentences:
            msg = f"recipe {recipe.name} takes its ranges from sentences, and there are none"
            raise ConversionError(msg)
    pieces: list[Piece] = []
    for form in sorted({recipe.form for recipe in asked}):
        mine = tuple(recipe for recipe in asked if recipe.form == form)
        calibrated = any(recipe.calibrated for recipe in mine)
        samples = samples_of(trunk, keys, place.sentences, form) if calibrated else {}
        for key in keys:
            module = folded(trunk, key, form)
            float32 = float32_key(module, key.bucket)
            given = tuple(samples.get(key, ()))
            pieces.append(Piece(key, float32, module, example(trunk, key.bucket), mine, given))
    return make_files(pieces, place, tell)


def make_files(pieces: Sequence[Piece], place: Place, tell: Tell) -> Files:
    """The same for graphs of any kind that `torch.onnx` exports; the modules' classes must be importable.

    Raises:
        ConversionError: a converter failed.
        ToolMissingError: there is no onnx2tf.
    """
    cache = GraphCache(place.cache)
    todo = [piece for piece in pieces if not _is_made(piece, cache)]
    done = 0
    for made in _in_workers(todo, place) if todo else ():
        done += made
        tell(0.99 * done / len(todo))
    files: Files = {}
    for piece in pieces:
        data = cache.path(piece.key).read_bytes()
        for recipe in piece.recipes:
            files.setdefault(recipe.name, {})[piece.graph] = _target(data, piece, recipe, cache)
    tell(1.0)
    return files


def _target(data: bytes, piece: Piece, recipe: Recipe, cache: GraphCache) -> Path:
    return cache.path(piece.key if is_float32(recipe) else key_of(data, recipe, piece.samples))


def _is_made(piece: Piece, cache: GraphCache) -> bool:
    path = cache.path(piece.key)
    if not path.is_file():
        return False
    data = path.read_bytes()
    return all(_target(data, piece, recipe, cache).is_file() for recipe in piece.recipes)


def _in_workers(todo: Sequence[Piece], place: Place) -> Iterator[int]:
    """Yield how many pieces each finished chunk had."""
    python = find_tool(place.root)
    # Even shares: no worker waits long for the other's last chunk.
    size = min(CHUNK, math.ceil(len(todo) / place.workers))
    chunks = [list(todo[start : start + size]) for start in range(0, len(todo), size)]
    workers = min(place.workers, len(chunks))
    with (
        tempfile.TemporaryDirectory(prefix="ciuic-graphs-") as folder,
        worker_pool(workers) as pool,
    ):
        jobs = []
        for number, chunk in enumerate(chunks):
            path = Path(folder) / f"chunk-{number}.pt"
            torch.save(chunk, path)
            jobs.append(pool.submit(_work, path, python, place.cache))
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BrokenProcessPool as error:
            msg = "a conversion process died (too little memory?)"
            raise ConversionError(msg) from error
        finally:
            for job in jobs:
                job.cancel()


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """Processes that convert, and end when this one does, however that comes."""
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start)


def _start() -> None:
    """One thread a process: the processes are the parallelism."""
    tie_worker()
    torch.set_num_threads(1)


def _work(path: Path, python: Path, folder: Path) -> int:
    """Make the files of one chunk; returns how many graphs it had."""
    quiet = io.StringIO()  # exporter and quantizer print notes and progress bars of their own
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        return _make(path, python, folder)


def _make(path: Path, python: Path, folder: Path) -> int:
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
        for recipe in piece.recipes:
            if not _target(data, piece, recipe, cache).is_file():
                cache.put(key_of(data, recipe, piece.samples), quantise(source, recipe, piece.samples))
    return len(chunk)
