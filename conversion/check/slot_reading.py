"""Which slots go together, counted over training rows, and tags that are read by it as a node reads them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from conversion.check.answers import Array, Prefix
from conversion.data.sentence import Sentence
from conversion.data.task import TaskData, inside
from firmware_py.contracts.manifest import Manifest
from firmware_py.contracts.slot_sets import MAX_SETS, SlotSets, parse_slot_sets
from firmware_py.tasks.intent import scope_index
from firmware_py.tasks.slot_choice import SlotChoice, Words
from firmware_py.tasks.text import Pieces

# Held-back rows of home-en, home-multi and SNIPS had the same slot F1 within 0.7 points from 0.3 to 0.7.
WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class SlotReading:
    """How tags become slots: `sets` of a bundle, None where it has none; `scope_index` of the label `oos`."""

    sets: SlotSets | None = None
    scope_index: int | None = None

    @classmethod
    def of(cls, data: TaskData) -> SlotReading:
        """A task's, by its training rows; the commonest sets where there are too many."""
        if not data.slots:
            return cls()
        label, slot = ({name: at for at, name in enumerate(names)} for names in (data.labels, data.slots))
        counts = Counter(
            (
                label[row.intent],
                tuple(sorted(slot[name] for name in _spans(row, marks=not data.skips_punctuation))),
            )
            for row in inside(data.train)
        )
        rows: dict[int, dict[tuple[int, ...], int]] = defaultdict(dict)
        for (index, slots), count in sorted(counts.most_common(MAX_SETS)):
            rows[index][slots] = count
        return cls(SlotSets(WEIGHT, dict(rows)), data.scope_index)

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> SlotReading:
        """A bundle's."""
        return cls(manifest.slot_sets, scope_index(manifest.labels))

    def to_dict(self) -> dict[str, Any]:
        """For the job of a child process."""
        return {"sets": None if self.sets is None else self.sets.to_dict(), "scope_index": self.scope_index}

    @classmethod
    def from_dict(cls, data: dict[str, Any], labels: int, slots: int) -> SlotReading:
        """Read `to_dict`'s form.

        Raises:
            BundleFormatError: it is of another form, or of other labels or slots.
        """
        return cls(parse_slot_sets(data["sets"], labels, slots), data["scope_index"])


class TagReader:
    """Tags of one text at one exit, for counting its slots."""

    def __init__(self, how: SlotReading, continues: frozenset[int]) -> None:
        """`continues`: the ids of pieces that go on a word."""
        self._choice = SlotChoice(how.sets, continues)
        self._scope_index = how.scope_index

    def words(self, scores: Array, pieces: Pieces) -> Words:
        """The words of a text, from tag scores [n,G]."""
        return self._choice.words(scores, pieces)

    def tags(self, logits: Array, words: Words) -> list[int]:
        """From label logits [C]; the label is the best one in scope, as a reply's is."""
        if self._scope_index is not None:
            logits = logits.copy()
            logits[self._scope_index] = -np.inf
        return self._choice.tags(words, int(logits.argmax()))


class TagTables:
    """What tag heads said of N texts, by prefix, as `LatticeAnswers` has it: empty without prefixes that have tags."""

    def __init__(
        self, how: SlotReading, continues: frozenset[int], prefixes: Iterable[Prefix], shape: tuple[int, int]
    ) -> None:
        """`prefixes`: those that have tags; `shape`: texts, and tokens of the longest."""
        self._reader = TagReader(how, continues)
        self.tags = {prefix: np.full(shape, -1, np.int16) for prefix in prefixes}
        self.slot_tags = {prefix: one.copy() for prefix, one in self.tags.items() if how.sets is not None}
        self.slots_sure = {prefix: np.ones(shape[0], np.float32) for prefix in self.tags}

    def take(self, prefix: Prefix, row: int, said: tuple[Array, Array], pieces: Pieces) -> None:
        """Label logits [C] and tag scores [n,G] of one text."""
        logits, scores = said
        words = self._reader.words(scores, pieces)
        self.tags[prefix][row, : len(scores)] = words.tags
        self.slots_sure[prefix][row] = words.sure()
        if self.slot_tags:
            self.slot_tags[prefix][row, : len(scores)] = self._reader.tags(logits, words)


def _spans(row: Sentence, *, marks: bool) -> list[str]:
    """A row's slots as tags can say them: neighbours of one slot are one. `marks`: they stand between words, too."""
    out: list[str] = []
    behind = 0
    for start, end, name in sorted(row.slots):
        between = row.text[behind:start]
        apart = any(letter.isalnum() or (marks and not letter.isspace()) for letter in between)
        if apart or not out or out[-1] != name:
            out.append(name)
        behind = end
    return out
