"""What a student says at every prefix of the lattice, wherever it was run.

A *prefix* is the widths of the stages run so far: `()` is the zeroth exit, `(4, 2)` the exit behind stage 2
at these widths. Stages share prefixes, so every width combination of three stages is in 85 of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_py.contracts.run import GraphKey

Array = npt.NDArray[Any]
Prefix = tuple[int, ...]
KINDS = ("logits", "tags", "slot_tags", "slots_sure")  # fields of `LatticeAnswers` that are arrays by prefix


@dataclass(frozen=True, slots=True)
class Answers:
    """One width combination: logits float32 [N,E,C] of the exits 1 … E, tags int16 [N,E,T], -1 behind the last token, slots_sure [N,E]."""

    logits: Array
    tags: Array
    slots_sure: Array


@dataclass(frozen=True, slots=True)
class LatticeAnswers:
    """Every prefix that was asked for.

    `logits`: float32 [N,C]. `tags`: int16 [N,T], each piece's best one, -1 behind the last token; empty where the task has no
    slots. `slot_tags`: so, but of words' last pieces chosen together, as a node does (`slot_reading`); empty where each
    stands for itself. `slots_sure`: float32 [N], how sure the least sure word's tag is (`slot_choice.Words`); empty without slots.
    `ops`: each graph's operators and their counts. `seconds`: (minimum, median) of one run of each
    graph over the texts, host's copies included; figures only when nothing else runs.
    """

    logits: Mapping[Prefix, Array]
    tags: Mapping[Prefix, Array] = field(default_factory=dict)
    slot_tags: Mapping[Prefix, Array] = field(default_factory=dict)
    slots_sure: Mapping[Prefix, Array] = field(default_factory=dict)
    ops: Mapping[GraphKey, Mapping[str, int]] = field(default_factory=dict)
    seconds: Mapping[GraphKey, tuple[float, float]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """N."""
        return len(next(iter(self.logits.values())))

    def part(self, rows: slice | Array) -> LatticeAnswers:
        """Some of the sentences."""
        kinds = {kind: {prefix: one[rows] for prefix, one in getattr(self, kind).items()} for kind in KINDS}
        return replace(self, **kinds)

    def along(self, widths: Sequence[int]) -> Answers:
        """The exits 1 … E of one width combination; without slots tags are [N,E,0] and all are sure."""
        prefixes = [tuple(widths[:depth]) for depth in range(1, len(widths) + 1)]
        logits = np.stack([self.logits[prefix] for prefix in prefixes], 1)
        shape = logits.shape[:2]
        return Answers(
            logits,
            np.stack([self.tags[prefix] for prefix in prefixes], 1)
            if self.tags
            else np.zeros((*shape, 0), np.int16),
            np.stack([self.slots_sure[prefix] for prefix in prefixes], 1)
            if self.slots_sure
            else np.ones(shape, np.float32),
        )


def prefixes_of(combinations: Sequence[Sequence[int]], *, zeroth: bool = True) -> list[Prefix]:
    """Every prefix of some width combinations, each once; `()` first where the zeroth exit is asked."""
    found = {tuple(widths[:depth]) for widths in combinations for depth in range(1, len(widths) + 1)}
    return [()] * zeroth + sorted(found, key=lambda prefix: (len(prefix), prefix))


def save(answers: LatticeAnswers, path: Path) -> None:
    """Write an `.npz`."""
    arrays = {
        f"{kind}:{_name(prefix)}": one for kind in KINDS for prefix, one in getattr(answers, kind).items()
    }
    told = {
        "ops": [[*key, dict(ops)] for key, ops in answers.ops.items()],
        "seconds": [[*key, list(pair)] for key, pair in answers.seconds.items()],
    }
    with path.open("wb") as file:
        np.savez(file, told=json.dumps(told), **arrays)


def load(path: Path) -> LatticeAnswers:
    """Read what `save` wrote."""
    kinds: dict[str, dict[Prefix, Array]] = {kind: {} for kind in KINDS}
    with np.load(path, allow_pickle=False) as file:
        told = json.loads(str(file["told"]))
        for name in file.files:
            kind, _, prefix = name.partition(":")
            if kind in kinds:
                kinds[kind][_prefix(prefix)] = file[name]
    return LatticeAnswers(
        **kinds,
        ops={GraphKey(*row[:3]): row[3] for row in told["ops"]},
        seconds={GraphKey(*row[:3]): (row[3][0], row[3][1]) for row in told["seconds"]},
    )


def _name(prefix: Prefix) -> str:
    return ",".join(map(str, prefix))


def _prefix(name: str) -> Prefix:
    return tuple(int(part) for part in name.split(",") if part)
