"""Labelled sentences as arrays, and the file that keeps what a system said of each row of a report split.

Two systems can only be compared row by row. `save_rows` writes one `.npz` beside a report: for every system
whether each row was right, and where known what it computed, its exits and its slot counts; and once what
the rows are. `conversion/study` joins such files of several runs.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from conversion.check.cascade import Prefix, Truth
from conversion.check.compute import Lengths
from conversion.data.sentence import Sentence
from firmware_py.contracts.errors import DataInvalidError
from firmware_py.tasks.intent import spans_of
from firmware_py.tasks.text import WordPiece

_OPTIONAL = ("macs", "exits", "slots")

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class RowFile:
    """A report split and what systems said of it.

    `sha256` is the split's (`TaskData.hashes()["report"]`); `truth` as in `cascade`; `systems` by name.
    """

    sha256: str
    truth: Truth
    systems: Mapping[str, SystemRows]


@dataclass(frozen=True, slots=True)
class SystemRows:
    """What one system said of N rows: right bool [N]; macs [N], exits [N] and slots [N,3] where known."""

    right: Array
    macs: Array | None = None
    exits: Array | None = None
    slots: Array | None = None


def truth_of(rows: Sequence[Sentence], labels: Sequence[str]) -> Truth:
    """Targets, weights and groups: rows of one template weigh one together, and are resampled together."""
    place = {label: number for number, label in enumerate(labels)}
    foreign = place.get("oos", -1)
    target = np.array([place.get(row.intent, -1) for row in rows], np.int64)
    target[target == foreign] = -1
    count = Counter(row.template for row in rows if row.template >= 0)
    weight = np.array([1.0 / count[row.template] if row.template >= 0 else 1.0 for row in rows])
    alone = max(count, default=-1) + 1
    group = np.array(
        [row.template if row.template >= 0 else alone + number for number, row in enumerate(rows)]
    )
    return Truth(target, weight, group.astype(np.int64))


def lengths_of(rows: Sequence[Sentence], tokenizer: WordPiece, buckets: Sequence[int]) -> Lengths:
    """Tokens and length bucket of every row."""
    return Lengths.of([max(1, len(tokenizer.encode(row.text).ids)) for row in rows], buckets)


def slot_table(
    rows: Sequence[Sentence], tags: Mapping[Prefix, Array], slots: Sequence[str], tokenizer: WordPiece
) -> dict[Prefix, Array]:
    """Exact spans found, invented and missed, int [N,3] per prefix, from tags [N,T] (-1 behind the last token).

    A text is cut once, and what prefixes agree on is counted once.
    """
    out = {prefix: np.zeros((len(rows), 3), np.int32) for prefix in tags}
    for number, row in enumerate(rows):
        pieces, want = tokenizer.encode(row.text), set(row.slots)
        seen: dict[bytes, tuple[int, int, int]] = {}
        for prefix, said in tags.items():
            key = said[number].tobytes()
            if key not in seen:
                kept = [int(tag) for tag in said[number] if tag >= 0]
                got = {
                    (start, end, slots[slot])
                    for slot, start, end in spans_of(kept, pieces, tokenizer.continues)
                }
                seen[key] = len(want & got), len(got - want), len(want - got)
            out[prefix][number] = seen[key]
    return out


def save_rows(path: Path, file: RowFile) -> None:
    """Write the file; equal arrays give equal bytes."""
    arrays: dict[str, Array] = {
        "sha256": np.array(file.sha256),
        "target": file.truth.target.astype(np.int32),
        "weight": file.truth.weight.astype(np.float64),
        "group": file.truth.group.astype(np.int32),
        "systems": np.array(list(file.systems)),
    }
    for name, system in file.systems.items():
        arrays[f"{name}:right"] = np.packbits(np.asarray(system.right, bool))
        kinds = {"macs": np.int64, "exits": np.int8, "slots": np.int16}
        for part in _OPTIONAL:
            if (values := getattr(system, part)) is not None:
                arrays[f"{name}:{part}"] = np.asarray(values).astype(kinds[part])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        np.savez_compressed(out, allow_pickle=False, **arrays)


def load_rows(path: Path) -> RowFile:
    """Read what `save_rows` wrote.

    Raises:
        DataInvalidError: the file is not there, or is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            truth = Truth(
                arrays["target"].astype(np.int64), arrays["weight"], arrays["group"].astype(np.int64)
            )
            rows = len(truth.target)
            systems = {
                str(name): SystemRows(
                    np.unpackbits(arrays[f"{name}:right"], count=rows).astype(bool),
                    *(arrays[key] if (key := f"{name}:{part}") in arrays else None for part in _OPTIONAL),
                )
                for name in arrays["systems"]
            }
            return RowFile(str(arrays["sha256"]), truth, systems)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        msg = f"{path} is not a file of rows"
        raise DataInvalidError(msg, hint="Run the command that makes it again.") from error
