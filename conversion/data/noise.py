"""Texts that say nothing to an English house: mashed keys, lone words, commands in other languages.

A classifier has to choose some label, and without such rows it chose boldly: "asdf qwer" started the lawn
mower. Each side has texts of its own; the foreign commands of calibration and evaluation are of templates that
training has not read, and the lone words are other words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from random import Random

from conversion.data.draw import Drawer
from conversion.data.names import load_names
from conversion.data.sentence import Sentence
from conversion.data.templates import Grammar, load_grammar
from firmware_py.tasks.intent import OUT_OF_SCOPE
from firmware_py.tasks.text import folded_words

LANGUAGES = ("de", "fr", "es", "it", "nl", "pl")  # written in the letters that English has
AMOUNTS = {
    "evaluation": (80, 80, 12),
    "calibration": (60, 60, 10),
    "train": (500, 500, 100),
}  # keys, words, commands of each language; a text is on the first side that draws it
SIDES = {0: "calibration", 1: "evaluation"}  # by the remainder of a number by ten; the rest trains
ORIGIN = "noise"

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_TRIES = 6  # draws for each text wanted


def noise(
    seed: int, words: Sequence[str], known: Iterable[str], held: Iterable[str] = ()
) -> dict[str, tuple[Sentence, ...]]:
    """Out-of-scope rows per side: `train`, `calibration`, `evaluation`.

    Args:
        seed: of the draws.
        words: frequent English ones; none, for a model of many languages: mashed keys alone.
        known: texts that are a command, or a name in the house; a lone word is none of theirs.
        held: more texts that no row may be, in lower case.
    """
    texts = set(known)
    taken = {word for text in texts for word in folded_words(text)}
    spare = sorted(set(words) - taken)
    out, elsewhere = {}, {*(text.lower() for text in texts), *held}
    for side, (keys, lone, foreign) in AMOUNTS.items():
        random = Random(f"noise {seed} {side}")  # noqa: S311 - reproducible draws, no secret
        made = {mashed(random) for _ in range(keys)}
        if words:
            own = [word for number, word in enumerate(spare) if SIDES.get(number % 10, "train") == side]
            made |= {_lone(own, random) for _ in range(lone if own else 0)}
            made |= {
                text for language in LANGUAGES for text in _commands(language, side, foreign, taken, random)
            }
        rows = sorted(made - elsewhere)
        elsewhere |= made
        random.shuffle(rows)
        out[side] = tuple(Sentence(text, OUT_OF_SCOPE, origin=ORIGIN) for text in rows)
    return out


def _lone(words: Sequence[str], random: Random) -> str:
    """One word, or now and then two."""
    return " ".join(random.sample(words, min(len(words), random.choice((1, 1, 1, 2)))))


def mashed(random: Random) -> str:
    """What a cat types: one to four runs of a key row or of any letters."""
    return " ".join(_run(random) for _ in range(random.choice((1, 1, 2, 2, 3, 4))))


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


def _commands(language: str, side: str, wanted: int, taken: Collection[str], random: Random) -> set[str]:
    """Sentences of a language's own templates of which English knows no more than half of the words."""
    grammar = _grammar(language)
    drawer = Drawer(grammar, load_names("train", (), language))
    templates = [one for one in grammar.templates if SIDES.get(one.number % 10, "train") == side]
    out: set[str] = set()
    for _ in range(wanted * _TRIES):
        text = drawer.draw(random.choice(templates), random).sentence.text.lower()
        said = folded_words(text)
        if 2 * sum(word in taken for word in said) <= len(said):
            out.add(text)
        if len(out) == wanted:
            break
    return out


@cache
def _grammar(language: str) -> Grammar:
    return load_grammar(language)
