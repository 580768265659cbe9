"""Texts that say nothing to an English house: mashed keys, lone words, commands in other languages.

A classifier has to choose some label, and without such rows it chose boldly: "asdf qwer" started the lawn
mower. Evaluation's key runs, words, templates and names are none of training's. It is a side of its own:
such rows are easy, and would flatter the figures of sentences that people say.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from random import Random
from typing import Literal

from conversion.data.draw import Drawer
from conversion.data.names import load_names
from conversion.data.sentence import Sentence
from conversion.data.templates import Grammar, load_grammar, split_templates
from firmware_py.tasks.intent import OUT_OF_SCOPE
from firmware_py.tasks.text import folded_words

Side = Literal["train", "eval"]

LANGUAGES = ("de", "fr", "es", "it", "nl", "pl")  # in Latin script
AMOUNTS: dict[Side, tuple[int, int, int]] = {
    "train": (500, 500, 100),
    "eval": (80, 80, 12),
}  # mashed keys, lone words, commands of each language
ORIGIN = "noise"

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_HELD_OUT = 5  # one run or word in so many is evaluation's
_TRIES = 6  # draws for each text wanted


def noise(
    side: Side, seed: int, words: Sequence[str], known: Iterable[str], apart: Collection[str] = ()
) -> tuple[Sentence, ...]:
    """Out-of-scope rows of a side.

    Args:
        side: whose key runs, words, templates and names.
        seed: of the draws.
        words: frequent English ones; none, for a model of many languages: mashed keys alone.
        known: what a house hears, as this side may know it; a lone word is none of its words.
        apart: texts, in lower case, that no row may be.
    """
    random = Random(f"noise {seed} {side}")  # noqa: S311 - reproducible draws, no secret
    keys, lone, foreign = AMOUNTS[side]
    texts = {text.lower() for text in known}
    heard = {word for text in texts for word in folded_words(text)}
    made = {mashed(side, random) for _ in range(keys)}
    if words:
        own = [word for word in sorted(set(words) - heard) if side_of(word) == side]
        made |= {_lone(own, random) for _ in range(lone if own else 0)}
        for language in LANGUAGES:
            made |= _strange(_commands(language, side, seed, random), foreign, heard)
    rows = sorted(made - texts - set(apart))
    random.shuffle(rows)
    return tuple(Sentence(text, OUT_OF_SCOPE, origin=ORIGIN) for text in rows)


def side_of(piece: str) -> Side:
    """The side that may say a key run or a lone word, the same for every seed."""
    return "train" if zlib.crc32(piece.encode()) % _HELD_OUT else "eval"


def mashed(side: Side, random: Random) -> str:
    """What a cat types: one to four runs of a key row or of any letters, each of the side's own."""
    runs: list[str] = []
    wanted = random.choice((1, 1, 2, 2, 3, 4))
    while len(runs) < wanted:
        run = _run(random)
        if side_of(run) == side:
            runs.append(run)
    return " ".join(runs)


def _run(random: Random) -> str:
    size, way = random.randint(3, 9), random.random()
    if way < 0.5:
        row = random.choice(_ROWS)
        row = row[::-1] if random.random() < 0.2 else row
        start = random.randrange(len(row) - 2)
        return row[start : start + min(size, 6)]
    if way < 0.6:
        return random.choice(_LETTERS) * size
    letters = random.choice((_LETTERS, _ROWS[1], "bcdfghjklmnpqrstvwxz"))
    return "".join(random.choices(letters, k=size))


def _lone(words: Sequence[str], random: Random) -> str:
    """One word, or now and then two."""
    return " ".join(random.sample(words, min(len(words), random.choice((1, 1, 1, 2)))))


def _commands(language: str, side: Side, seed: int, random: Random) -> Iterator[str]:
    """Sentences of the side's templates and names, without end."""
    grammar = _grammar(language)
    drawer = Drawer(grammar, load_names(side, (), language))
    held = split_templates(grammar.templates, seed).evaluation
    templates = [one for one in grammar.templates if (one.number in held) == (side == "eval")]
    while True:
        yield drawer.draw(random.choice(templates), random).sentence.text.lower()


def _strange(texts: Iterator[str], wanted: int, heard: Collection[str]) -> set[str]:
    """So many of the texts of whose words the English house hears no more than half."""
    out: set[str] = set()
    for text in islice(texts, wanted * _TRIES):
        said = folded_words(text)
        if 2 * sum(word in heard for word in said) <= len(said):
            out.add(text)
        if len(out) == wanted:
            break
    return out


@cache
def _grammar(language: str) -> Grammar:
    return load_grammar(language)
