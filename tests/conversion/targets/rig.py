"""The shipped bundle's graphs, operators made by hand, and rows to find a board in."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

from conversion.targets.report import Built, Row
from conversion.targets.tflite import Operator, Tensor
from firmware_py.bundles.read import Bundle, read_bundle
from firmware_py.bundles.verify import Trust

ROOT = Path(__file__).resolve().parents[3]
HOME = ROOT / "models" / "home-en.bundle"
TRUST = Trust(ROOT / "models" / "trust", False)


def tensor(index: int, **asked: Any) -> Tensor:
    return replace(Tensor(index, "int8", (1, 8, 1, 16), False, 1, True), **asked)


def chain(*names: str, **asked: Any) -> list[Operator]:
    """Operators that each read what the one before wrote."""
    return [
        Operator(name, (tensor(place, **asked),), (tensor(place + 1, **asked),))
        for place, name in enumerate(names)
    ]


def dense(rows_: int, scales: int = 1, *, constant: bool = True, name: str = "FULLY_CONNECTED") -> Operator:
    data, out = tensor(0, shape=(rows_, 16)), tensor(2, shape=(rows_, 16))
    return Operator(name, (data, tensor(1, shape=(16, 16), constant=constant, scales=scales)), (out,))


@functools.cache
def home() -> Bundle:
    return read_bundle(HOME, TRUST)


@functools.cache
def graphs() -> list[bytes]:
    bundle = home()
    return [bundle.files[graph.file.name] for graph in bundle.manifest.graphs]


def built(recipe: str = "dyn8", accuracy: float = 0.9) -> Built:
    bundle = home()
    exits = (*bundle.manifest.accuracy_by_exit[:-1], accuracy)
    figures = {**bundle.manifest.provenance["figures"], "accuracy": accuracy}
    provenance = {**bundle.manifest.provenance, "figures": figures}
    manifest = replace(bundle.manifest, recipe=recipe, accuracy_by_exit=exits, provenance=provenance)
    return Built(HOME, manifest, bundle.sha256, 1000, (graphs()[0],))


def row_of(found: list[Row], board: str, delegate: str) -> Row:
    return next(row for row in found if (row.board, row.delegate) == (board, delegate))
