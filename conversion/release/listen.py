"""What a recipe's files say, in the runtimes that they are for, and how far that is from torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from conversion.check import golden
from conversion.check.answers import LatticeAnswers, Prefix, prefixes_of
from conversion.check.calibrate import Strangeness
from conversion.check.parity import Parity, Rules, apart, combinations, compare
from conversion.check.reference import torch_answers
from conversion.check.runtime import RecipeFiles, Where, run_lattice
from conversion.check.slot_reading import SlotReading
from conversion.data.task import TaskData, probed
from conversion.export.lattice import BUCKETS
from conversion.export.recipes import RECIPES
from conversion.nets.deepseek_lite import GROUPS
from conversion.nets.student import Student
from firmware_py.contracts.run import GraphKey
from firmware_py.tasks.text import WordPiece

GATE_ROWS = 100  # of each length bucket
SPLITS = ("selection", "temperature", "thresholds", "report")


@dataclass(frozen=True, slots=True)
class Trained:
    """What all recipes of a model share."""

    data: TaskData
    student: Student
    pieces: tuple[str, ...]
    parts: Path
    strangeness: Strangeness
    provenance: Mapping[str, Any]

    @property
    def stages(self) -> int:
        """Depth."""
        return int(self.student.trunk.dims.stages)

    @property
    def full(self) -> Prefix:
        """The full width."""
        return (GROUPS,) * self.stages


@dataclass(frozen=True, slots=True)
class Target:
    """Where a recipe's bundle goes, who signs it, where the environments are; `every`: all 85 prefixes are run."""

    recipe: str
    graphs: Mapping[GraphKey, Path]
    path: Path
    key: Path | None
    root: Path
    every: bool


@dataclass(frozen=True, slots=True)
class Heard:
    """A recipe's answers: of the gate's probes, the first `own` of them the bundle's golden ones, and of each side."""

    probes: list[str]
    own: int
    probed: LatticeAnswers
    sides: dict[str, LatticeAnswers]
    runtime: str


def listen(trained: Trained, target: Target, tokenizer: WordPiece) -> Heard:
    """Run probes, splits and extra sides in the recipe's first runtime, all at once: a child is started once.

    Raises:
        ConversionError: a child died or hung.
        ToolMissingError: the runtime's environment is not there.
    """
    data = trained.data
    known = probed(data)
    own = golden.choose(known, tokenizer, BUCKETS, 0)
    probes = own + golden.of_each_length(known, tokenizer, BUCKETS, 0, GATE_ROWS)
    rows = {name: data.split(name) for name in SPLITS} | dict(data.extras)
    texts = [*probes, *(row.text for side in rows.values() for row in side)]
    runtime = next(iter(RECIPES[target.recipe].runtimes))
    # Sides overlap, and equal texts have equal answers: each is run once.
    place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    answers = _run(trained, target, runtime, list(place), every=target.every)

    def of(asked: Sequence[str]) -> LatticeAnswers:
        return answers.part(np.array([place[text] for text in asked], np.intp))

    sides = {name: of([row.text for row in side]) for name, side in rows.items()}
    return Heard(probes, len(own), of(probes), sides, runtime)


def compared(
    trained: Trained, target: Target, tokenizer: WordPiece, heard: Heard, rules: Rules
) -> tuple[list[Parity], float]:
    """The gate's figures in every runtime of the recipe, and how far apart the runtimes' logits are at most.

    The first runtime's answers are already there.

    Raises:
        ConversionError: a child died or hung.
        ToolMissingError: a runtime's environment is not there.
    """
    said = torch_answers(trained.student, tokenizer, heard.probes, _prefixes(trained, every=False))
    out, farthest = [], 0.0
    for runtime in RECIPES[target.recipe].runtimes:
        first = runtime == heard.runtime
        probed = heard.probed if first else _run(trained, target, runtime, heard.probes, every=False)
        out.append(compare(target.recipe, runtime, probed, said, rules))
        farthest = max(farthest, apart(heard.probed, probed))
    return out, farthest


def _run(trained: Trained, target: Target, runtime: str, texts: list[str], *, every: bool) -> LatticeAnswers:
    files = RecipeFiles(
        name=target.recipe,
        graphs=target.graphs,
        tokenizer=trained.parts / "vocab.txt",
        embedding=trained.parts / "embedding.npz",
        heads=tuple(trained.parts / f"head-{number}.npz" for number in range(trained.stages + 1)),
        rope=trained.student.trunk.dims.rope,
        skips_punctuation=trained.data.skips_punctuation,
        slots=SlotReading.of(trained.data),
    )
    return run_lattice(files, Where(runtime, target.root), texts, _prefixes(trained, every=every))


def _prefixes(trained: Trained, *, every: bool) -> list[Prefix]:
    """Which exits are asked. The zeroth reads words, not sentences: where slots are asked too it is left out."""
    stages = trained.stages
    ways = list(product(range(GROUPS, 0, -1), repeat=stages)) if every else combinations(stages)
    return prefixes_of(ways, zeroth=not trained.data.slots)
