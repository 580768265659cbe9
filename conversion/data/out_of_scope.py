"""Sentences that are none of the house's business: our own of each language, and English rows of public sets.

CLINC150 (Larson et al. 2019, CC BY 3.0) and BANKING77 (Casanueva et al. 2020, CC BY 4.0) are read from a
data folder; without it the build goes on with our own list. Evaluation's topics and intents are unseen in
training.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from random import Random
from typing import Literal

from conversion.data.names import SPACELESS
from conversion.data.sentence import Sentence
from firmware_py.contracts.errors import DataInvalidError
from firmware_py.tasks.intent import OUT_OF_SCOPE

Side = Literal["train", "calibration", "evaluation"]

# CLINC150 domains that a home hub does not serve; left out: home, utility, small talk and meta overlap with
# the Home Assistant intents, and "kitchen and dining" has shopping and timers in it.
_FOREIGN = ("banking", "credit_cards", "auto_and_commute", "travel", "work")
FILES = tuple(
    f"{name}/{file}" for name in ("clinc150", "banking77") for file in ("train.jsonl", "domains.json")
)
_CHOICE = re.compile(r"\(([^)]*)\)")
_NEIGHBOURS = 3000
_PER_INTENT: dict[Side, int] = {"train": 30, "calibration": 25, "evaluation": 25}
NEAR_MISS = "near_miss"  # a topic of both lists: a house's words in sentences that are no business of it


@dataclass(frozen=True, slots=True)
class Foreign:
    """Out-of-scope sentences per side and where they came from (name, SHA-256, licence, rows)."""

    train: tuple[Sentence, ...]
    calibration: tuple[Sentence, ...]
    evaluation: tuple[Sentence, ...]
    sources: tuple[dict[str, object], ...]


def own_sentences(side: str, language: str = "en") -> list[tuple[str, str]]:
    """(topic, text) of a language's committed list (`train` or `eval`), every choice written out."""
    return _listed(f"out_of_scope_{language}.toml", side)


def _listed(name: str, side: str) -> list[tuple[str, str]]:
    """(topic, text) of one side of a committed list, every choice written out."""
    with (Path(__file__).parent / name).open("rb") as file:
        topics = tomllib.load(file)[side]
    return [(topic, text) for topic, rows in topics.items() for row in rows for text in _expand(row)]


def overheard(language: str, held_out: Iterable[Sentence]) -> tuple[Sentence, ...]:
    """More out-of-scope rows of a language, for training only: its `overheard_<language>.toml`.

    Args:
        language: of the file.
        held_out: what calibrates or judges. What has half of such a sentence's words is left out.
    """
    known = [_words(row.text, language) for row in held_out]

    def is_apart(row: Sentence) -> bool:
        own = _words(row.text, language)
        return all(2 * len(own & words) < len(words) for words in known)

    texts = [text for _, text in _listed(f"overheard_{language}.toml", "heard")]
    return tuple(filter(is_apart, _rows(texts, language)))


def _words(text: str, language: str) -> frozenset[str]:
    """Distinct words; where none are written apart, pairs of neighbouring characters."""
    if language in SPACELESS:
        return frozenset(map("".join, pairwise(text))) or frozenset((text,))
    return frozenset(text.replace("'", " ").replace(",", " ").split())


def own_rows(language: str, seed: int) -> dict[Side, tuple[Sentence, ...]]:
    """Out-of-scope rows of a language's own list alone; calibration's and evaluation's topics are not trained."""
    random = Random(f"foreign {seed} {language}")  # noqa: S311 - reproducible draws, no secret
    return {side: _rows(texts, language) for side, texts in _own_sides(language, random).items()}


def _own_sides(language: str, random: Random) -> dict[Side, list[str]]:
    own = own_sentences("train", language)
    topics = sorted({topic for topic, _ in own} - {NEAR_MISS})
    spared = set(random.sample(topics, max(1, len(topics) // 6)))  # calibration's topics are unseen too
    return {
        "train": [text for topic, text in own if topic not in spared],
        "calibration": [text for topic, text in own if topic in spared],
        "evaluation": [text for _, text in own_sentences("eval", language)],
    }


def _rows(texts: Iterable[str], language: str = "en") -> tuple[Sentence, ...]:
    distinct = dict.fromkeys(map(str.lower, texts))
    return tuple(Sentence(text, OUT_OF_SCOPE, origin="foreign", lang=language) for text in distinct)


def load_foreign(folder: Path | None, seed: int) -> Foreign:
    """Gather and split.

    Args:
        folder: of the public sets; None or a folder without them: our own list alone.
        seed: which intents are for evaluation.

    Raises:
        DataInvalidError: a data file is there and cannot be read.
    """
    random = Random(f"foreign {seed}")  # noqa: S311 - reproducible draws, no secret
    sides = _own_sides("en", random)
    sources: list[dict[str, object]] = [
        {"name": "out_of_scope_en.toml", "licence": "Apache-2.0", "rows": sum(map(len, sides.values()))}
    ]
    for name, licence in (("clinc150", "CC-BY-3.0"), ("banking77", "CC-BY-4.0")):
        if folder is None or not (folder / name / "train.jsonl").is_file():
            sources.append({"name": name, "licence": licence, "rows": 0, "note": "not present"})
            continue
        digest, rows = _public(folder / name)
        for side, texts in _by_intent(rows, random).items():
            sides[side] += texts
        sources.append({"name": name, "licence": licence, "rows": len(rows), "sha256": digest})
    as_rows = {side: _rows(texts) for side, texts in sides.items()}
    return Foreign(as_rows["train"], as_rows["calibration"], as_rows["evaluation"], tuple(sources))


def neighbours(folder: Path | None, seed: int) -> tuple[str, ...]:
    """Texts without labels for the teacher to speak about: CLINC150's domains that are no rows of `load_foreign`.

    They are about lists, timers, music, small talk: what a house hears. No row of a reported set is among them.
    """
    path = (folder or Path()) / "clinc150"
    if folder is None or not (path / "train.jsonl").is_file() or not (path / "domains.json").is_file():
        return ()
    strange = {text.lower() for _, text in _public(path)[1]}
    texts = sorted({text.lower() for _, text in _pairs((path / "train.jsonl").read_bytes(), path)} - strange)
    random = Random(f"neighbours {seed}")  # noqa: S311 - reproducible draws, no secret
    return tuple(random.sample(texts, min(_NEIGHBOURS, len(texts))))


def _expand(row: str) -> list[str]:
    parts = _CHOICE.split(row)
    choices = [part.split("|") if number % 2 else [part] for number, part in enumerate(parts)]
    return [" ".join("".join(picked).split()) for picked in product(*choices)]


def _public(folder: Path) -> tuple[str, list[tuple[str, str]]]:
    """SHA-256 of the training share and its (intent, text) rows that are foreign to a house."""
    data = (folder / "train.jsonl").read_bytes()
    pairs = _pairs(data, folder)
    domains = folder / "domains.json"
    if domains.is_file():
        try:
            listed = json.loads(domains.read_text("utf-8"))
            wanted = {intent for domain in _FOREIGN for intent in listed[domain]}
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{folder.name}/domains.json is not lists of intents by domain"
            raise DataInvalidError(msg) from error
        pairs = [pair for pair in pairs if pair[0] in wanted]
    return hashlib.sha256(data).hexdigest(), pairs


def _pairs(data: bytes, folder: Path) -> list[tuple[str, str]]:
    """(intent, text) of JSON lines."""
    try:
        rows = [json.loads(line) for line in data.decode("utf-8").splitlines() if line]
        return [(str(row["intent"]), str(row["text"])) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{folder.name}/train.jsonl is not rows of text and intent"
        raise DataInvalidError(msg) from error


def _by_intent(rows: list[tuple[str, str]], random: Random) -> dict[Side, list[str]]:
    """70 % of the intents for training, 10 % for calibration, 20 % for evaluation."""
    intents = sorted({intent for intent, _ in rows})
    random.shuffle(intents)
    cut, end = round(0.7 * len(intents)), round(0.8 * len(intents))
    sides: dict[Side, list[str]] = {
        "train": intents[:cut],
        "calibration": intents[cut:end],
        "evaluation": intents[end:],
    }
    out: dict[Side, list[str]] = {}
    for side, names in sides.items():
        out[side] = []
        for name in names:
            texts = sorted(text for intent, text in rows if intent == name)
            out[side] += random.sample(texts, min(_PER_INTENT[side], len(texts)))
    return out
