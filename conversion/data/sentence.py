"""One labelled sentence, and the JSON-lines form that training, evaluation and demo share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from firmware_py.contracts.errors import DataInvalidError
from firmware_py.tasks.intent import OUT_OF_SCOPE

Slot = tuple[int, int, str]  # start, end (exclusive, code points), name

NO_LABEL = ""  # the intent of a text that nobody labelled; no row that is read from a file has it

_MARKED = re.compile(r"\[([^\]]+)\]\(([a-z_]+)\)")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text with its intent and slots. `template` groups draws of one template, -1 for none.

    `lang` is a language code as in `task.languages` of a bundle.
    """

    text: str
    intent: str
    slots: tuple[Slot, ...] = ()
    template: int = -1
    origin: str = "template"
    lang: str = "en"

    def to_row(self) -> dict[str, object]:
        """The JSON-lines row."""
        slots = [list(slot) for slot in self.slots]
        return {"text": self.text, "intent": self.intent, "slots": slots, "origin": self.origin}


def parse_marked(line: str) -> Sentence:
    """Read one `intent<tab>text with [value](slot)` line of the hand-written file.

    Raises:
        DataInvalidError: there is no tab.
    """
    intent, tab, marked = line.partition("\t")
    if not tab:
        msg = "a hand-written line has no tab between intent and text"
        raise DataInvalidError(msg)
    text, slots, last = "", [], 0
    for match in _MARKED.finditer(marked):
        text += marked[last : match.start()]
        slots.append((len(text), len(text) + len(match[1]), match[2]))
        text += match[1]
        last = match.end()
    return Sentence(text + marked[last:], intent, tuple(slots), origin="hand")


def hand_written(language: str = "en") -> list[Sentence]:
    """The sentences of `hand_<language>.txt`, out-of-scope ones among them."""
    lines = (Path(__file__).parent / f"hand_{language}.txt").read_text("utf-8").splitlines()
    rows = [parse_marked(line) for line in lines if line and not line.startswith("#")]
    return [replace(row, lang=language) for row in rows]


def write_rows(path: Path, sentences: Iterable[Sentence]) -> None:
    """Write JSON lines, one sentence each."""
    lines = [json.dumps(sentence.to_row(), ensure_ascii=False) for sentence in sentences]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def unlabelled(texts: Iterable[str]) -> list[Sentence]:
    """Texts that only a teacher speaks about."""
    return [Sentence(text, NO_LABEL) for text in texts]


def in_scope(sentence: Sentence) -> bool:
    """Whether the sentence is one of the house's."""
    return sentence.intent != OUT_OF_SCOPE
