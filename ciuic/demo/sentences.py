"""The demo's sentences: what is asked, what is expected, and over which protocol."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from firmware_py.contracts.errors import DataInvalidError, DataMissingError

if TYPE_CHECKING:
    from pathlib import Path

OUT_OF_SCOPE = "oos"


@dataclass(frozen=True, slots=True)
class Sentence:
    """One row of `examples/home_en.jsonl`; `origin` is `template` or `hand`."""

    text: str
    intent: str
    origin: str

    @property
    def in_scope(self) -> bool:
        """Whether an intent, not a rejection, is the right answer."""
        return self.intent != OUT_OF_SCOPE


@dataclass(frozen=True, slots=True)
class Question:
    """One sentence to ask over one protocol version (5 = MQTT 5, 4 = MQTT 3.1.1)."""

    index: int
    sentence: Sentence
    protocol: int


def load_sentences(path: Path) -> list[Sentence]:
    """Read the rows.

    Raises:
        DataMissingError: there is no such file.
        DataInvalidError: a row is not of the form; the message names its line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        msg = f"no sentences at {path}"
        raise DataMissingError(msg, hint="Give --sentences FILE.jsonl.") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            rows.append(Sentence(str(row["text"]), str(row["intent"]), str(row.get("origin", "template"))))
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{path}:{number} is not a row"
            raise DataInvalidError(msg) from error
    return rows


def plan_questions(sentences: list[Sentence], count: int, legacy: int, seed: int = 0) -> list[Question]:
    """Choose `count` sentences, a tenth of them out of scope, `legacy` of them over MQTT 3.1.1.

    All hand-written in-scope sentences are in, template sentences fill up. The choice and the order
    depend on the seed only.

    Raises:
        DataInvalidError: the file has too few rows of a kind.
    """
    draw = random.Random(seed)  # noqa: S311 - a fixed shuffle, nothing secret
    outside = [row for row in sentences if not row.in_scope]
    hand = [row for row in sentences if row.in_scope and row.origin == "hand"]
    template = [row for row in sentences if row.in_scope and row.origin != "hand"]
    wanted_outside = count // 10
    wanted_hand = min(len(hand), (count - wanted_outside) // 2)
    wanted_template = count - wanted_outside - wanted_hand
    if len(outside) < wanted_outside or len(template) < wanted_template:
        msg = f"the file has too few rows for {count} questions"
        raise DataInvalidError(msg)
    chosen = draw.sample(outside, wanted_outside) + draw.sample(hand, wanted_hand)
    chosen += draw.sample(template, wanted_template)
    draw.shuffle(chosen)
    old = set(draw.sample(range(count), min(legacy, count)))
    return [Question(i, row, 4 if i in old else 5) for i, row in enumerate(chosen)]
