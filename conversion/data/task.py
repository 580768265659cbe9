"""One task's rows, each in exactly one split.

train        what teacher and student learn from
selection    which run, which exits, which widths (the only split that choices look at)
temperature  calibrates the confidence of each exit, finds the scope threshold
thresholds   finds exit rules
report       looked at once, for the figures that are published
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from conversion.data.sentence import Sentence, in_scope
from firmware_py.tasks.intent import scope_index
from firmware_py.tasks.text import WordPiece
from firmware_py.tasks.values import TASK

PROBED = 4000  # training rows that a converted graph's probes and ranges are taken from
SPLITS = ("train", "selection", "temperature", "thresholds", "report")

Rows = tuple[Sentence, ...]


@dataclass(frozen=True, slots=True)
class TaskData:
    """All rows of a task; out-of-scope ones have the intent `oos`, which then ends `labels`.

    `unlabelled` are texts of other sets that only the teacher speaks about. `notes` says where rows
    came from: sources with licence and SHA-256, what was removed, which templates are in which split.
    `extras` are further sides that are only reported, as `report` is. `lexicon` are names of things: users have others like them,
    so their neighbours are worth a place in the vocabulary.
    """

    name: str
    task: str
    languages: tuple[str, ...]
    labels: tuple[str, ...]
    slots: tuple[str, ...]
    train: Rows
    selection: Rows
    temperature: Rows
    thresholds: Rows
    report: Rows
    unlabelled: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    extras: Mapping[str, Rows] = field(default_factory=dict)
    lexicon: tuple[str, ...] = ()

    @property
    def skips_punctuation(self) -> bool:
        """Whether marks are no tokens: what is said to a house has none, what a program made of it may have any."""
        return self.task == TASK

    def tokenizer(self, pieces: Sequence[str]) -> WordPiece:
        """How a model of these rows cuts texts with a vocabulary."""
        return WordPiece(list(pieces), skips_punctuation=self.skips_punctuation)

    @property
    def scope_index(self) -> int | None:
        """Where `oos` stands among the labels."""
        return scope_index(self.labels)

    def split(self, name: str) -> Rows:
        """The rows of a split by its name."""
        rows: Rows = getattr(self, name)
        return rows

    def hashes(self) -> dict[str, str]:
        """SHA-256 of every split."""
        return {name: rows_sha256(self.split(name)) for name in SPLITS}

    def fingerprint(self) -> str:
        """SHA-256 over all splits and the unlabelled texts."""
        digest = hashlib.sha256(json.dumps(self.hashes()).encode())
        digest.update(json.dumps(self.unlabelled).encode())
        return digest.hexdigest()

    def key(self) -> dict[str, Any]:
        """What training sees of the data: two with equal keys teach the same."""
        return {
            "rows": self.fingerprint(),
            "labels": self.labels,
            "slots": self.slots,
            "languages": self.languages,
        }


def rows_sha256(rows: Sequence[Sentence]) -> str:
    """SHA-256 over text, intent and slots of every row in order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps([row.text, row.intent, row.slots], ensure_ascii=False).encode())
    return digest.hexdigest()


def inside(rows: Sequence[Sentence]) -> list[Sentence]:
    """The in-scope rows."""
    return [row for row in rows if in_scope(row)]


def probed(data: TaskData) -> Sequence[Sentence]:
    """In-scope training rows that a converted graph is tried with, from everywhere: sets stand in the order of intents or languages."""
    return spread(inside(data.train), PROBED)


def spread(rows: Sequence[Sentence], most: int) -> Sequence[Sentence]:
    """At most so many rows, evenly spaced."""
    return rows[:: max(1, -(-len(rows) // most))]


def outside(rows: Sequence[Sentence]) -> list[Sentence]:
    """The out-of-scope rows."""
    return [row for row in rows if not in_scope(row)]


def save(data: TaskData, path: Path) -> None:
    """Write the data as one JSON file."""
    path.write_text(json.dumps(asdict(data), ensure_ascii=False), "utf-8")


def load(path: Path) -> TaskData:
    """Read what `save` wrote."""
    raw: dict[str, Any] = json.loads(path.read_text("utf-8"))
    for name in SPLITS:
        raw[name] = _rows(raw[name])
    raw["extras"] = {name: _rows(rows) for name, rows in raw.get("extras", {}).items()}
    for name in ("languages", "labels", "slots", "unlabelled", "lexicon"):
        raw[name] = tuple(raw.get(name, ()))
    return TaskData(**raw)


def _rows(raw: Sequence[dict[str, Any]]) -> Rows:
    return tuple(
        Sentence(**{**row, "slots": tuple((start, end, slot) for start, end, slot in row["slots"])})
        for row in raw
    )
