"""Small words that turn a sentence around: "not", "except", and those that stand before a place. Pure.

A model that learned commands only hears the command in "do not turn off the heating", too. A negated command is rather
not answered: it asks for nothing. The words are data (`small_words.toml`); those of all languages that a text may be in count.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence, Set

from firmware_py.tasks.folding import fold
from firmware_py.tasks.tables import load_tables

_CLAUSE = re.compile(r"[,;:.!?¡¿，；：。！？、]+")
_GAP = "…"


class _Negation:
    """How one language negates a command; `begin` are the words, or Chinese characters, that its phrases begin with."""

    __slots__ = ("_phrases", "_unless", "begin")

    def __init__(self, table: Mapping[str, Sequence[str]]) -> None:
        polite, first, within = (table.get(key, ()) for key in ("polite", "first", "within"))
        follows = rf" (?:\S+ ){{0,3}}{_either(table['verbs'])}" if "verbs" in table else "(?! ?$)"
        begins = rf"^(?:{_either(polite)} ?)*{_either(first)}{follows}"
        self._phrases = re.compile(f"{begins}|{_either(within)}")
        self._unless = re.compile(_either(table.get("unless", ())))
        self.begin = frozenset(fold(phrase).partition(" ")[0] for phrase in (*first, *within))

    def is_in(self, clauses: Sequence[str]) -> bool:
        """Whether one of the folded clauses of a text negates a command."""
        return any(map(self._phrases.search, clauses)) and not any(map(self._unless.search, clauses))


class SmallWords:
    """Those of some languages."""

    __slots__ = ("_except", "_negations", "_place")

    def __init__(self, tables: Iterable[Mapping[str, Sequence[str]]]) -> None:
        """Join tables of `small_words.toml`."""
        tables = list(tables)
        self._place = frozenset(fold(word) for table in tables for word in table["place"])
        self._except = re.compile(_either([phrase for table in tables for phrase in table["except"]]))
        self._negations = [_Negation(table) for table in tables]

    def negate(self, text: str) -> bool:
        """Whether a text plainly says not to do something; a language's words count together, never with another's."""
        key = fold(text)
        words = set(key.split())
        begun = [
            one
            for one in self._negations
            if not one.begin.isdisjoint(words)
            or not (key.isascii() or all(word.isascii() or word not in key for word in one.begin))
        ]
        clauses = [fold(clause) for clause in _CLAUSE.split(text)] if begun else []
        return any(one.is_in(clauses) for one in begun)

    def leads_to_place(self, word: str) -> bool:
        """Whether a folded word may stand before a place."""
        return word in self._place

    def take_out(self, before: str) -> bool:
        """Whether what stands behind a text is taken out of the command by a word of it."""
        return self._except.search(fold(before)) is not None


@functools.lru_cache(maxsize=16)
def small_words(languages: Set[str]) -> SmallWords:
    """The words of some languages (`en`), a frozen set; unknown ones add nothing."""
    tables = load_tables("small_words.toml", languages)
    return SmallWords([tables[language] for language in sorted(languages) if language in tables])


def _either(phrases: Sequence[str]) -> str:
    """An expression for one of some phrases in a folded text, the longest first; nothing matches none."""
    written = [_written(phrase) for phrase in sorted(phrases, key=len, reverse=True)]
    return f"(?:{'|'.join(written)})" if written else "(?!)"


def _written(phrase: str) -> str:
    """A phrase of whole words; Chinese leaves no blank between its own."""
    parts = [r"(?:\S+ ){0,3}" if part == _GAP else f"{fold(part)} " for part in phrase.split()]
    text = "".join(parts).rstrip()
    return rf"\b{text}\b" if fold(phrase).isascii() else text
