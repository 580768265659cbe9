"""The home-en data of one seed: drawn, cleaned, split.

Cleaning: a text must mean one thing. Drawn sentences are compared by their form - the words with every
value replaced by the kind of its list - and a form that occurs with two intents, or with two different
rows of slots, is removed everywhere; so are equal texts of different forms, and texts that the templates
themselves read in two ways (`readings`). Nothing here looks at which side of the split a sentence is on.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from conversion.data.draw import Drawer, Drawn
from conversion.data.drawing import ambiguous
from conversion.data.names import load_names
from conversion.data.out_of_scope import load_foreign
from conversion.data.readings import ambiguous_forms
from conversion.data.sentence import Sentence
from conversion.data.templates import Grammar, Split, load_grammar, split_templates
from firmware_py.tasks.intent import OUT_OF_SCOPE

PER_TEMPLATE = {"train": 32, "calibration": 16, "evaluation": 16}
PER_INTENT = 160  # a small intent's templates are drawn more often, to at least this many in training
POLITE = 0.15  # share of training sentences with one of the package's own skip words around them
_BEFORE = ("please", "can you", "could you", "would you", "i'd like to", "i want to")
_AFTER = ("please", "for me", "now")


@dataclass(frozen=True, slots=True)
class HomeData:
    """All rows of one seed; `labels` ends with `oos`."""

    train: tuple[Sentence, ...]
    calibration: tuple[Sentence, ...]
    evaluation: tuple[Sentence, ...]
    foreign_evaluation: tuple[Sentence, ...]
    labels: tuple[str, ...]
    slots: tuple[str, ...]
    split: Split
    sources: tuple[dict[str, object], ...]
    removed: int


def build(
    seed: int, folder: Path | None, words: tuple[str, ...] = (), tell: Callable[[float], None] | None = None
) -> HomeData:
    """Draw the data of a seed.

    Args:
        seed: of split, draws and order.
        folder: with the public sets for out-of-scope sentences, or None.
        words: for invented names in training.
        tell: given, texts that hassil reads in two ways are removed too (some minutes), and told how far it is.
    """
    grammar = load_grammar()
    split = split_templates(grammar.templates, seed)
    sides = {"train": split.train, "calibration": split.calibration, "evaluation": split.evaluation}
    drawn = {side: _draw(grammar, side, numbers, seed, words) for side, numbers in sides.items()}
    bad = ambiguous(row for rows in drawn.values() for row in rows)
    clear = {side: [row for row in rows if not bad(row)] for side, rows in drawn.items()}
    if tell is not None:
        every = [row for rows in clear.values() for row in rows]
        twice = ambiguous_forms(every, tell)
        clear = {side: [row for row in rows if row.form not in twice] for side, rows in clear.items()}
    kept = {side: [row.sentence for row in rows] for side, rows in clear.items()}
    removed = sum(map(len, drawn.values())) - sum(map(len, kept.values()))
    foreign = load_foreign(folder, seed)
    random = Random(f"polite {seed}")  # noqa: S311 - reproducible draws, no secret
    train = [_politely(row, random) for row in kept["train"]]
    return HomeData(
        train=(*train, *foreign.train),
        calibration=(*kept["calibration"], *foreign.calibration),
        evaluation=tuple(kept["evaluation"]),
        foreign_evaluation=foreign.evaluation,
        labels=(*sorted({template.intent for template in grammar.templates}), OUT_OF_SCOPE),
        slots=tuple(sorted({slot for row in kept["train"] for _, _, slot in row.slots})),
        split=split,
        sources=foreign.sources,
        removed=removed,
    )


def save(data: HomeData, path: Path) -> None:
    """Write the data as one JSON file."""
    split = {name: sorted(value) for name, value in asdict(data.split).items()}
    path.write_text(json.dumps(asdict(data) | {"split": split}, ensure_ascii=False), "utf-8")


def load(path: Path) -> HomeData:
    """Read what `save` wrote."""
    raw: dict[str, Any] = json.loads(path.read_text("utf-8"))
    split = raw["split"]

    def side(name: str) -> tuple[Sentence, ...]:
        return tuple(
            Sentence(**{**row, "slots": tuple((start, end, slot) for start, end, slot in row["slots"])})
            for row in raw[name]
        )

    return HomeData(
        train=side("train"),
        calibration=side("calibration"),
        evaluation=side("evaluation"),
        foreign_evaluation=side("foreign_evaluation"),
        labels=tuple(raw["labels"]),
        slots=tuple(raw["slots"]),
        split=Split(
            frozenset(split["train"]),
            frozenset(split["calibration"]),
            frozenset(split["evaluation"]),
            tuple(split["train_only"]),
        ),
        sources=tuple(raw["sources"]),
        removed=int(raw["removed"]),
    )


def _draw(
    grammar: Grammar, side: str, numbers: frozenset[int], seed: int, words: tuple[str, ...]
) -> list[Drawn]:
    """Distinct sentences of the side's templates, the same number of each where it has so many."""
    drawer = Drawer(grammar, load_names("eval" if side == "evaluation" else "train", words))
    sizes: dict[str, int] = defaultdict(int)
    for number in numbers:
        sizes[grammar.templates[number].intent] += 1
    out: list[Drawn] = []
    for number in sorted(numbers):
        template = grammar.templates[number]
        random = Random(f"draw {seed} {side} {number}")  # noqa: S311 - reproducible draws, no secret
        wanted = PER_TEMPLATE[side]
        if side == "train":
            wanted = max(wanted, PER_INTENT // sizes[template.intent])
        seen: dict[str, Drawn] = {}
        for _ in range(wanted * 4):
            row = drawer.draw(template, random)
            seen.setdefault(row.sentence.text, row)
            if len(seen) == wanted:
                break
        out += seen.values()
    return out


def _politely(row: Sentence, random: Random) -> Sentence:
    """Sometimes put a courtesy around a training sentence, as the package's own skip words allow."""
    if random.random() > POLITE:
        return row
    if random.random() < 0.5:
        return Sentence(f"{row.text} {random.choice(_AFTER)}", row.intent, row.slots, row.template)
    before = random.choice(_BEFORE) + " "
    slots = tuple((start + len(before), end + len(before), name) for start, end, name in row.slots)
    return Sentence(before + row.text, row.intent, slots, row.template)
