"""A user's own rows as a task: one file that is cut into all splits, or a training file and a report file.

A user's set may be small: where a cut by shares would leave a split empty or an intent untrained, texts are moved.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from conversion.data.digests import file_sha256
from conversion.data.public import cut_splits
from conversion.data.rows import numbered_rows
from conversion.data.sentence import Sentence, in_scope
from conversion.data.task import TaskData
from firmware_py.contracts.errors import ConfigError, DataInvalidError, DataMissingError
from firmware_py.tasks.intent import OUT_OF_SCOPE, spans_of, tags_of
from firmware_py.tasks.text import PADDING, UNKNOWN, WordPiece, folded_words

REPORT = 0.15  # of a single file
CHOOSING = {"selection": 0.06, "temperature": 0.05, "thresholds": 0.10}  # of the training rows
MIN_TEXTS = 5  # different ones of each intent, as they were given: five splits are cut from them
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


def check_name(name: str, taken: Collection[str] = ()) -> None:
    """Refuse what is no name, or the name of a model that has a plan of its own.

    Raises:
        ConfigError: with what a name may be.
    """
    if not _NAME.fullmatch(name):
        msg = f"{name[:60]!r} is no name for a model"
        raise ConfigError(msg, hint="Small letters, digits and hyphens, 40 at most: --name my-task.")
    if name in taken:
        msg = f"{name} is the name of one of our models"
        raise ConfigError(msg, hint=f"Call yours something else: --name my-{name}.")


def texts_of(files: Sequence[Path], say: Callable[[str], None] = lambda _: None) -> list[str]:
    """The texts of all rows; `say` hears of slots that the model will never find.

    Raises:
        DataMissingError: a file is not there.
        DataInvalidError: a row is not of the form.
    """
    rows = [row for path in files for row in _read(path)]
    lost = unsayable(rows)
    if lost:
        say(
            f"{lost} of {sum(len(row.slots) for row in rows)} slots begin or end inside a word or at a blank, or touch "
            "one of the same name: no tags can say them, they will count as missed\n"
        )
    return [row.text for row in rows]


def unsayable(rows: Sequence[Sentence]) -> int:
    """How many slots are not read back from tags of whole words."""
    words, count = WordPiece([PADDING, UNKNOWN]), 0  # of a vocabulary of nothing each word is one piece
    for row in rows:
        names, pieces = [name for _, _, name in row.slots], words.encode(row.text)
        tags = tags_of([(names.index(name), start, end) for start, end, name in row.slots], pieces.spans)
        said = {(start, end, names[slot]) for slot, start, end in spans_of(tags, pieces, frozenset())}
        count += len(set(row.slots) - said)
    return count


def read_files(
    name: str, files: Sequence[Path], languages: Sequence[str] = ("en",), seed: int = 0
) -> TaskData:
    """Read `{"text", "intent", "slots"?}` rows; the intent `oos` means out of scope.

    Args:
        name: of model and task: small letters, digits, hyphens.
        files: one file for everything, or the training file and the report file.
        languages: that the rows are in.
        seed: of the cut.

    Raises:
        ConfigError: the name is not allowed, or there are more than two files.
        DataMissingError: a file is not there.
        DataInvalidError: a row is not of that form, there are fewer than two intents, one has too few texts,
            or the report file has an intent that the training file has not, or none.
    """
    check_name(name)
    if not 1 <= len(files) <= 2:
        msg = f"{len(files)} data files were given"
        raise ConfigError(msg, hint="Give one file, or a training file and a report file.")
    read = [_read(path) for path in files]
    train, removed = read[0], 0
    if len(read) == 1:
        _check_intents(train, 0)
        parts = _cut(train, seed, {"report": REPORT})
        train, report = parts["train"], parts["report"]
    else:
        report = read[1]
        asked = {row.text.lower() for row in report}
        kept = [row for row in train if row.text.lower() not in asked]
        train, removed = kept, len(train) - len(kept)
        _check_intents(train, removed)
        _check_report(train, report)
    splits = _cut(train, seed, CHOOSING)
    labels = sorted({row.intent for row in train if in_scope(row)})
    foreign = [OUT_OF_SCOPE] if any(not in_scope(row) for row in train) else []
    notes: dict[str, Any] = {
        "sources": [
            {"name": path.name, "licence": "the user's", "sha256": file_sha256(path), "rows": len(rows)}
            for path, rows in zip(files, read, strict=True)
        ],
        "cut": {"report": REPORT if len(read) == 1 else "second file", **CHOOSING, "seed": seed},
        "removed_from_training_because_in_report": removed,
        "slots_that_no_tags_can_say": sum(map(unsayable, read)),
    }
    return TaskData(
        name=name,
        task=name,
        languages=tuple(languages),
        labels=(*labels, *foreign),
        slots=tuple(sorted({slot for row in train for _, _, slot in row.slots})),
        report=tuple(report),
        notes=notes,
        train=tuple(splits["train"]),
        selection=tuple(splits["selection"]),
        temperature=tuple(splits["temperature"]),
        thresholds=tuple(splits["thresholds"]),
    )


def _read(path: Path) -> list[Sentence]:
    if not path.is_file():
        msg = f"there is no data file {path}"
        raise DataMissingError(msg, hint="Give --data one or two JSON-lines files.")
    rows = list(numbered_rows(path))
    blank = [number for number, row in rows if not folded_words(row.text)]
    if blank:
        msg = f"{path.name} has {len(blank)} rows without a text; the first is {path.name}:{blank[0]}"
        raise DataInvalidError(
            msg, hint="A text has a letter, digit or sign that is seen: take such rows out."
        )
    return [row for _, row in rows]


def _check_intents(train: Sequence[Sentence], removed: int) -> None:
    """Hold the training rows against what they must have; `removed` of them were in the report file too."""
    texts = _texts_by_intent(train)
    besides = " besides those of the report file" if removed else ""
    if len(texts.keys() - {OUT_OF_SCOPE}) < 2:
        msg = f"the training rows have fewer than two intents{besides}"
        raise DataInvalidError(msg)
    few = sorted(intent for intent, found in texts.items() if len(found) < MIN_TEXTS)
    if few:
        msg = (
            f"{len(few)} intents have fewer than {MIN_TEXTS} different texts{besides}: "
            f"{', '.join(few[:3])}{' …' if few[3:] else ''}"
        )
        raise DataInvalidError(msg, hint="Give more texts of them, or take them out.")


def _check_report(train: Sequence[Sentence], report: Sequence[Sentence]) -> None:
    asked = {row.intent for row in report if in_scope(row)}
    if not asked:
        msg = "the report file has no row in scope"
        raise DataInvalidError(msg, hint="Give it rows of the training file's intents, or leave it out.")
    strange = sorted(asked - {row.intent for row in train})
    if strange:
        msg = (
            f"the report file has {len(strange)} intents that the training file has not: "
            f"{', '.join(strange[:3])}{' …' if strange[3:] else ''}"
        )
        raise DataInvalidError(msg)


def _cut(rows: list[Sentence], seed: int, shares: Mapping[str, float]) -> dict[str, list[Sentence]]:
    """`cut_splits`; where rows are few, texts are moved until every intent is trained and no split lacks rows in scope.

    Raises:
        DataInvalidError: there are too few texts for that.
    """
    parts = cut_splits(rows, seed, shares)
    for intent in sorted({row.intent for row in rows} - {row.intent for row in parts["train"]}):
        having = [split for split in shares if any(row.intent == intent for row in parts[split])]
        source = max(having, key=lambda split: len(parts[split]))
        text = next(row.text for row in parts[source] if row.intent == intent)
        _move(parts, text, source, "train")
    for split in shares:
        if not any(map(in_scope, parts[split])):
            _move(parts, _spare(parts["train"]), "train", split)
    return parts


def _spare(train: Sequence[Sentence]) -> str:
    """A text that training can do without: of the intent with the most texts, never an intent's last one."""
    texts = _texts_by_intent(train)
    needed = {text for found in texts.values() if len(found) == 1 for text in found}
    spare = [row for row in train if in_scope(row) and row.text.lower() not in needed]
    if not spare:
        msg = "there are too few different texts for five splits"
        raise DataInvalidError(msg, hint="Give more texts; some hundred rows in all are a start.")
    return max(spare, key=lambda row: len(texts[row.intent])).text


def _move(parts: Mapping[str, list[Sentence]], text: str, source: str, target: str) -> None:
    """All rows of a text from one split to another."""
    key = text.lower()
    parts[target].extend(row for row in parts[source] if row.text.lower() == key)
    parts[source][:] = [row for row in parts[source] if row.text.lower() != key]


def _texts_by_intent(rows: Sequence[Sentence]) -> dict[str, set[str]]:
    texts: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        texts[row.intent].add(row.text.lower())
    return texts
