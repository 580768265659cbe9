"""A user's own rows as a task: one file that is cut into all splits, or a training file and a report file."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conversion.data.digests import file_sha256
from conversion.data.public import cut_splits, read_rows
from conversion.data.sentence import Sentence, in_scope
from conversion.data.task import TaskData
from firmware_py.contracts.errors import ConfigError, DataInvalidError, DataMissingError
from firmware_py.tasks.intent import OUT_OF_SCOPE

REPORT = 0.15  # of a single file
CHOOSING = {"selection": 0.06, "temperature": 0.05, "thresholds": 0.10}  # of the training rows
MIN_TEXTS = 5  # different ones of each intent: fewer cannot be in every split
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


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
            or the report file has an intent that the training file has not.
    """
    if not _NAME.fullmatch(name):
        msg = f"{name[:60]!r} is no name for a model"
        raise ConfigError(msg, hint="Small letters, digits and hyphens, 40 at most: --name my-task.")
    if not 1 <= len(files) <= 2:
        msg = f"{len(files)} data files were given"
        raise ConfigError(msg, hint="Give one file, or a training file and a report file.")
    read = [_read(path) for path in files]
    train, removed = read[0], 0
    if len(read) == 1:
        parts = cut_splits(train, seed, {"report": REPORT})
        train, report = parts["train"], parts["report"]
    else:
        report = read[1]
        asked = {row.text.lower() for row in report}
        kept = [row for row in train if row.text.lower() not in asked]
        train, removed = kept, len(train) - len(kept)
    _check_intents(train, report)
    splits = cut_splits(train, seed, CHOOSING)
    labels = sorted({row.intent for row in train if in_scope(row)})
    foreign = [OUT_OF_SCOPE] if any(not in_scope(row) for row in train) else []
    notes: dict[str, Any] = {
        "sources": [
            {"name": path.name, "licence": "the user's", "sha256": file_sha256(path), "rows": len(rows)}
            for path, rows in zip(files, read, strict=True)
        ],
        "cut": {"report": REPORT if len(read) == 1 else "second file", **CHOOSING, "seed": seed},
        "removed_from_training_because_in_report": removed,
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
    try:
        return read_rows(path)
    except UnicodeDecodeError as error:
        msg = f"{path.name} is not UTF-8"
        raise DataInvalidError(msg) from error


def _check_intents(train: Sequence[Sentence], report: Sequence[Sentence]) -> None:
    texts: dict[str, set[str]] = defaultdict(set)
    for row in train:
        texts[row.intent].add(row.text.lower())
    if len(texts.keys() - {OUT_OF_SCOPE}) < 2:
        msg = "the training rows have fewer than two intents"
        raise DataInvalidError(msg)
    few = sorted(intent for intent, found in texts.items() if len(found) < MIN_TEXTS)
    if few:
        msg = f"{len(few)} intents have fewer than {MIN_TEXTS} different texts: {', '.join(few[:3])}{' …' if few[3:] else ''}"
        raise DataInvalidError(msg, hint="Give more texts of them, or take them out.")
    strange = sorted({row.intent for row in report if in_scope(row)} - texts.keys())
    if strange or not report:
        msg = f"the report rows have intents that the training rows have not: {', '.join(strange[:3]) or 'no rows'}"
        raise DataInvalidError(msg)
