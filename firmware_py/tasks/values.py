"""Slot values as a home-automation hub takes them: 50 for "fifty percent", "red" for "rot", 2700 for "warm white".

The words are data: `values.toml` and `numbers.toml`, one table a language. A bundle's languages are joined
into one table per slot, because nobody is asked which language a text is in; where two languages mean
different things by a word, the bundle's first counts. What no table knows stays the text, lower case.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from firmware_py.tasks.folding import fold

TASK = "home"  # whose slots these tables are for; other tasks' slots may have the same names and mean other things
Value = str | int | float

_FIGURES = re.compile(r"\s*([+\-−]?)\s*(\d{1,9})(?:[.,](\d{1,6}))?\s*[%％‰°º度]?\s*[a-z]?\s*")
_MOST_KNOWN, _KNOWN_CHARS = 1024, 64  # texts with their values, about 200 KB; dropped whole when it is full
_HALF = {"and a half": 0.5}  # en; other languages say it in one word with the number, or in figures


@dataclass(frozen=True, slots=True)
class _Slot:
    """One slot's words with their values; `numeric` slots also read figures and number words."""

    words: Mapping[str, Value]
    numeric: bool
    minus: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Numbers:
    words: Mapping[str, int]
    minus: frozenset[str]
    decimal: frozenset[str]
    units: tuple[str, ...]


class SlotValues:
    """Normalises the slots of one bundle."""

    __slots__ = ("_known", "_numbers", "_slots")

    def __init__(self, languages: Iterable[str]) -> None:
        """Join the tables of some languages (`en`, `zh`, `de-CH` as `de`); unknown ones add nothing."""
        known = tuple(dict.fromkeys(language.partition("-")[0].lower() for language in languages))
        self._numbers, self._slots = _tables(known)
        self._known: dict[tuple[str, str], Value] = {}  # a home says the same few words again and again

    def value(self, slot: str, text: str, sentence: str = "") -> Value:
        """The hub's value of a slot's text; `sentence` tells "up by 10" from "down by 10"."""
        known = self._known.get((slot, text))
        if known is not None:
            return known
        table = self._slots.get(slot)
        value = plain(text) if table is None else self._read(table, text, sentence)
        if len(text) <= _KNOWN_CHARS and (table is None or not table.minus):  # else the sentence has a say
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[slot, text] = value
        return value

    def _read(self, table: _Slot, text: str, sentence: str) -> Value:
        key = fold(text)
        found = table.words.get(key)
        # Folding drops signs and points: what may have one is read as figures first.
        if found is not None and (not table.numeric or text.isalnum() or text[0].isalpha()):
            return found
        number = self._number(text, key) if table.numeric else None
        if number is None:
            return plain(text) if found is None else found
        down = table.minus and not table.minus.isdisjoint(fold(sentence).split())
        return -number if down else number

    def _number(self, text: str, key: str) -> int | float | None:
        match = _FIGURES.fullmatch(text.casefold())
        if match is None:
            return self._spoken(key)
        sign = -1 if match[1] in {"-", "−"} else 1
        return sign * _whole(float(f"{match[2]}.{match[3] or 0}"))

    def _spoken(self, key: str) -> int | float | None:
        """A number in words with sign, fraction and unit around it; also figures with a spoken unit."""
        numbers = self._numbers
        for unit in numbers.units:
            if key != unit and key.endswith(unit):
                key = key.removesuffix(unit).rstrip()
                break
        sign = 1
        for minus in numbers.minus:
            if key.startswith(minus) and (not minus.isascii() or key[len(minus) :].startswith(" ")):
                sign, key = -1, key.removeprefix(minus).lstrip()
                break
        number = self._fraction(key)
        return None if number is None else sign * number

    def _fraction(self, key: str) -> int | float | None:
        """A number in words, perhaps with a half or one decimal place behind it."""
        for ending, more in _HALF.items():
            if key.endswith(ending):
                whole = self._whole_word(key.removesuffix(ending).rstrip())
                return None if whole is None else whole + more
        whole = self._whole_word(key)
        if whole is not None:
            return whole
        for point in self._numbers.decimal:
            key = key if point.isascii() else key.replace(point, f" {point} ")
        *words, point, last = ["", "", *key.split()]
        if point not in self._numbers.decimal:
            return None
        whole, tenth = self._whole_word(" ".join(words).strip()), self._whole_word(last)
        return None if whole is None or tenth is None or tenth > 9 else _whole(whole + tenth / 10.0)

    def _whole_word(self, key: str) -> int | None:
        if key.isdecimal() and len(key) <= 9:
            return int(key)
        return self._numbers.words.get(key)


def plain(text: str) -> str:
    """One canonical writing of what has no value: lower case, single spaces."""
    return " ".join(text.lower().split())


def _whole(number: float) -> int | float:
    return int(number) if number.is_integer() else number


def _load(name: str) -> dict[str, Any]:
    return tomllib.loads(files("firmware_py.tasks").joinpath(name).read_text(encoding="utf-8"))


@functools.lru_cache(maxsize=4)
def _tables(languages: tuple[str, ...]) -> tuple[_Numbers, dict[str, _Slot]]:
    values, spoken = _load("values.toml"), _load("numbers.toml")
    numbers = _numbers([spoken[language] for language in languages if language in spoken])
    kinds: dict[str, dict[str, Value]] = {}
    for language in languages:
        for kind, table in values.get(language, {}).items():
            words = kinds.setdefault(kind, {})
            for value, texts in table.items():
                for text in texts:
                    words.setdefault(fold(text), int(value) if value.isdecimal() else value)
    slots = {}
    for slot, names in values["slots"].items():
        numeric = "number" in names
        words = dict(numbers.words) if numeric else {}
        for name in names:
            if name not in {"number", "down"}:
                words.update(kinds.get(name, {}))
        minus = frozenset(kinds.get("down", {})) if "down" in names else frozenset()
        # A step's number word goes the long way, where the sentence gives it its sign.
        slots[slot] = _Slot(kinds.get("step", {}) if minus else words, numeric, minus)
    return numbers, slots


def _numbers(tables: list[Mapping[str, Any]]) -> _Numbers:
    words: dict[str, int] = {str(number): number for number in range(101)}
    for table in tables:
        for number, spellings in enumerate(table["words"]):
            for spelling in spellings.split("|"):
                words.setdefault(fold(spelling), number)
    units = {fold(unit) for table in tables for unit in table["unit"]}
    return _Numbers(
        words=words,
        minus=frozenset(fold(word) for table in tables for word in table["minus"]),
        decimal=frozenset(fold(word) for table in tables for word in table["decimal"]),
        units=tuple(sorted(units, key=lambda unit: (-len(unit), unit))),  # the longest that fits is taken off
    )
