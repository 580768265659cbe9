"""Public intent sets as tasks: rows `{"text", "intent", "slots"?}` in `<folder>/<set>/{train,val}.jsonl`.

The validation share is the report split and nothing else; the three splits that choose and calibrate are
cut from the training share. Duplicate texts stay together, so that no text is in two splits; one that is in the
report too, in whatever case, is taken out of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from conversion.data.digests import file_sha256
from conversion.data.rows import read_rows
from conversion.data.sentence import Sentence, in_scope
from conversion.data.task import TaskData
from firmware_py.contracts.errors import DataMissingError
from firmware_py.tasks.intent import OUT_OF_SCOPE

SHARES = {"selection": 0.03, "temperature": 0.03, "thresholds": 0.065}
CUT_SEED = 0
UNLABELLED_EACH = 3000  # texts of each other set


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A set's folder name, licence, the sets whose texts may be shown to its teacher without labels, and where it is from."""

    name: str
    licence: str
    unlabelled: tuple[str, ...]
    source: str


# SLURP reuses HWU64's sentences, so the two never meet.
SETS = {
    "clinc150": PublicSet(
        "clinc150", "CC-BY-3.0", ("hwu64", "banking77", "snips7"), "github.com/clinc/oos-eval"
    ),
    "hwu64": PublicSet("hwu64", "CC-BY-4.0", ("clinc150", "snips7"), "github.com/xliuhw/NLU-Evaluation-Data"),
    "banking77": PublicSet(
        "banking77", "CC-BY-4.0", ("clinc150",), "github.com/PolyAI-LDN/task-specific-datasets"
    ),
    "snips7": PublicSet("snips7", "CC0-1.0", ("clinc150",), "github.com/sonos/nlu-benchmark"),
}


def files_of(name: str) -> tuple[str, ...]:
    """The files below the data folder that `read_task` reads."""
    return (
        f"{name}/train.jsonl",
        f"{name}/val.jsonl",
        *(f"{other}/train.jsonl" for other in SETS[name].unlabelled),
    )


def read_task(name: str, folder: Path | None) -> TaskData:
    """Read a set and cut its splits, which no training's seed moves.

    Raises:
        DataMissingError: the set is not in the folder.
        DataInvalidError: a file is not rows of text and intent.
    """
    known = SETS[name]
    train, digest = _share(folder, name, "train")
    report, report_digest = _share(folder, name, "val")
    parts, removed = _unasked(cut_splits(train, CUT_SEED, SHARES), report)
    seen = {row.text.lower() for rows in (*parts.values(), report) for row in rows}
    unlabelled, sources = [], []
    for other in known.unlabelled:
        rows, sha256 = _share(folder, other, "train")
        texts = sorted({row.text for row in rows if row.text.lower() not in seen})
        unlabelled += Random(f"unlabelled {CUT_SEED}").sample(texts, min(UNLABELLED_EACH, len(texts)))  # noqa: S311 - as below
        sources.append({"name": other, "licence": SETS[other].licence, "sha256": sha256, "use": "no labels"})
    labels = sorted({row.intent for row in train if in_scope(row)})
    foreign = [OUT_OF_SCOPE] if any(not in_scope(row) for row in train) else []
    return TaskData(
        name=name,
        task=name,
        languages=("en",),
        labels=(*labels, *foreign),
        slots=tuple(sorted({slot for row in train for _, _, slot in row.slots})),
        report=tuple(report),
        unlabelled=tuple(unlabelled),
        extras={},
        notes={
            "sources": [
                {"name": f"{name}/train", "licence": known.licence, "sha256": digest, "rows": len(train)},
                {
                    "name": f"{name}/val",
                    "licence": known.licence,
                    "sha256": report_digest,
                    "rows": len(report),
                },
                *sources,
            ],
            "removed_from_training_because_in_report": removed,
        },
        train=tuple(parts["train"]),
        selection=tuple(parts["selection"]),
        temperature=tuple(parts["temperature"]),
        thresholds=tuple(parts["thresholds"]),
    )


def report_texts(folder: Path) -> frozenset[str]:
    """Every text of the validation shares in the folder, in lower case: what no training may read, of whatever set.

    Raises:
        DataInvalidError: a file is not rows of text and intent.
    """
    shares = [folder / name / "val.jsonl" for name in SETS]
    return frozenset(row.text.lower() for share in shares if share.is_file() for row in read_rows(share))


def _share(folder: Path | None, name: str, share: str) -> tuple[list[Sentence], str]:
    path = (folder or Path()) / name / f"{share}.jsonl"
    if folder is None or not path.is_file():
        msg = f"the data set {name} is not there"
        raise DataMissingError(msg, hint=f"Put {name}/{share}.jsonl below the folder given by --data.")
    return read_rows(path), file_sha256(path)


def _unasked(
    parts: Mapping[str, list[Sentence]], report: list[Sentence]
) -> tuple[dict[str, list[Sentence]], int]:
    """The parts without texts of the report, and how many rows that were: the cut of all other rows stays as it is."""
    asked = {row.text.lower() for row in report}
    kept = {part: [row for row in rows if row.text.lower() not in asked] for part, rows in parts.items()}
    return kept, sum(map(len, parts.values())) - sum(map(len, kept.values()))


def cut_splits(rows: list[Sentence], seed: int, shares: Mapping[str, float]) -> dict[str, list[Sentence]]:
    """Rows by split, drawn by text, the same share of every intent as far as whole rows allow; the rest is `train`."""
    random = Random(f"splits {seed}")  # noqa: S311 - reproducible draws, no secret
    groups: dict[str, list[Sentence]] = {}
    for row in rows:
        groups.setdefault(row.text.lower(), []).append(row)
    keys = list(groups)
    random.shuffle(keys)
    keys.sort(key=lambda key: groups[key][0].intent)  # stable: at random within an intent
    out: dict[str, list[Sentence]] = {"train": [], **{split: [] for split in shares}}
    # Walking through the intents with one stride gives every intent its share of every split.
    offset = random.random()
    for number, key in enumerate(keys):
        place, edge, target = (number * 0.6180339887498949 + offset) % 1.0, 0.0, "train"
        for split, share in shares.items():
            edge += share
            if place < edge:
                target = split
                break
        out[target] += groups[key]
    return out
