"""How people speak to a house beyond the package's templates: own phrasings and manners, for training only.

Phrasings stand in `spoken_<language>.toml` in the templates' own language. Manners are what is said around a
command: a call ("hey computer"), a courtesy, a filler. Neither is taken from a public set.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from conversion.data.draw import Drawer, Drawn
from conversion.data.drawing import Amount, draw_rows
from conversion.data.names import Names, read_language
from conversion.data.sentence import Sentence
from conversion.data.templates import Grammar, Split, Template

FIRST_NUMBER = 5000  # own phrasings are numbered from here; the package has about 900 English templates
POLITE = 0.25  # share of training sentences with manners around them


@dataclass(frozen=True, slots=True)
class Manners:
    """Words around a command: `call` before anything, `ask` before an order only, `after` at its end."""

    call: tuple[str, ...]
    ask: tuple[str, ...]
    after: tuple[str, ...]
    questions: frozenset[str]  # first words of a question, before which nobody says "can you"


def phrasings(grammar: Grammar, language: str) -> tuple[Grammar, tuple[Template, ...]]:
    """Own templates with the package's rules and lists, numbered apart from the package's."""
    intents = {
        intent: {
            "data": [
                {"sentences": block["sentences"], "requires_context": {"domain": block.get("domain", [])}}
                for block in blocks
            ]
        }
        for intent, blocks in _read(language).items()
        if intent != "manners"
    }
    own = Grammar({**grammar.source, "intents": intents})
    return own, tuple(replace(one, number=FIRST_NUMBER + one.number) for one in own.templates)


def spoken_rows(grammar: Grammar, split: Split, names: Names, amount: Amount, key: str) -> list[Drawn]:
    """Own phrasings drawn with training's names, without those that a held-out template reads.

    Args:
        grammar: the package's, with all of its templates.
        split: which of those are held out.
        names: of training; their language is that of the phrasings.
        amount: of each phrasing.
        key: names the random stream.
    """
    own, templates = phrasings(grammar, names.language)
    rows = draw_rows(Drawer(own, names), templates, amount, key)
    return unread(grammar.only(split.calibration | split.evaluation), rows)


def manners(language: str) -> Manners:
    """The manners of a language: English ones stand beside its phrasings, others beside its names."""
    raw = (_read(language) if language == "en" else read_language(language))["manners"]
    lists = {name: tuple(raw[name]) for name in ("call", "ask", "after")}
    return Manners(**lists, questions=frozenset(raw["questions"]))


@cache
def _read(language: str) -> dict[str, Any]:
    with (Path(__file__).parent / f"spoken_{language}.toml").open("rb") as file:
        return tomllib.load(file)


def politely(row: Sentence, known: Manners, random: Random, join: str = " ") -> Sentence:
    """Sometimes put manners around a sentence; its slots move along.

    Args:
        row: left as it is.
        known: of its language.
        random: of the choice.
        join: what stands between words.
    """
    if random.random() > POLITE:
        return row
    before: list[str] = []
    if known.call and random.random() < 0.3:
        before.append(random.choice(known.call))
    asks = row.text.split()[0].lower() not in known.questions
    if known.ask and asks and random.random() < 0.6:
        before.append(random.choice(known.ask))
    after = known.after and (not before or random.random() < 0.3)
    head = "".join(part + join for part in before)
    tail = join + random.choice(known.after) if after else ""
    slots = tuple((start + len(head), end + len(head), name) for start, end, name in row.slots)
    return replace(row, text=head + row.text + tail, slots=slots)


def unread(held_out: Grammar, rows: Sequence[Drawn]) -> list[Drawn]:
    """The rows whose form none of the held-out templates reads: one sentence of each form is asked."""
    from conversion.data.readings import read_by_any

    verdict: dict[str, bool] = {}
    for row in rows:
        if row.form not in verdict:
            verdict[row.form] = read_by_any(held_out, row)
    return [row for row in rows if not verdict[row.form]]
