"""Sentences that no template generates: smart-home rows of public sets, with the hub's intent.

HWU64 (Liu et al. 2019) and SLURP (Bastianelli et al. 2020), both CC BY 4.0, are read from the data folder;
`mapping_home.toml` says which rows have a clear intent of the hub. They are only reported, never trained on,
and have no slots. `origin` is the share a row is of: rows of `hwu64/val` and `slurp/devel` were read while the
mapping and our own phrasings were written, rows of `hwu64/train` were not.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conversion.data.digests import file_sha256
from conversion.data.sentence import Sentence
from firmware_py.contracts.errors import DataInvalidError

# Shares that were read come first: a text in two shares counts as read.
SHARES = (
    ("hwu64/val", "hwu64/val.jsonl"),
    ("slurp/devel", "slurp_text/devel.jsonl"),
    ("hwu64/train", "hwu64/train.jsonl"),
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the mapping: rows of intent `source` that fit have the hub's `intent`."""

    source: str
    intent: str
    every: tuple[re.Pattern[str], ...]
    none: tuple[re.Pattern[str], ...]

    def fits(self, text: str) -> bool:
        """Whether the lower-cased text is one of the rule's."""
        return all(one.search(text) for one in self.every) and not any(one.search(text) for one in self.none)


@dataclass(frozen=True, slots=True)
class FreeText:
    """The mapped rows, where they came from, and how many of each intent."""

    rows: tuple[Sentence, ...]
    sources: tuple[dict[str, Any], ...]
    counts: dict[str, int]


def load_rules() -> tuple[Rule, ...]:
    """Read the committed mapping; what is never mapped stands in every rule's `none`."""
    with (Path(__file__).parent / "mapping_home.toml").open("rb") as file:
        raw = tomllib.load(file)
    return tuple(
        Rule(
            rule["from"],
            rule["intent"],
            tuple(map(re.compile, rule["all"])),
            tuple(map(re.compile, (*raw["never"], *rule.get("none", ())))),
        )
        for rule in raw["rule"]
    )


def map_intent(rules: tuple[Rule, ...], source: str, text: str) -> str | None:
    """The hub's intent of a row, None where it is not clear."""
    found = (rule.intent for rule in rules if rule.source == source and rule.fits(text.lower()))
    return next(found, None)


def load_free_text(folder: Path | None) -> FreeText:
    """Read and map the shares that are in the folder; each text once.

    Raises:
        DataInvalidError: a file is there and is not rows of text and intent.
    """
    rules = load_rules()
    rows: dict[str, Sentence] = {}
    sources: list[dict[str, Any]] = []
    for origin, name in SHARES:
        path = (folder or Path()) / name
        if folder is None or not path.is_file():
            sources.append({"name": origin, "licence": "CC-BY-4.0", "rows": 0, "note": "not present"})
            continue
        before = len(rows)
        for text, source in _pairs(path):
            intent = map_intent(rules, source, text)
            if intent is not None:
                rows.setdefault(text.lower(), Sentence(text, intent, origin=origin))
        sources.append(
            {
                "name": origin,
                "licence": "CC-BY-4.0",
                "rows": len(rows) - before,
                "sha256": file_sha256(path),
                "use": "reported only",
            }
        )
    counts = Counter(row.intent for row in rows.values())
    return FreeText(tuple(rows.values()), tuple(sources), dict(sorted(counts.items())))


def _pairs(path: Path) -> list[tuple[str, str]]:
    """(text, intent) of a JSON-lines file; the sets' own slots are of no use here."""
    try:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        return [(str(row["text"]), str(row["intent"])) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{path.parent.name}/{path.name} is not rows of text and intent"
        raise DataInvalidError(msg) from error
