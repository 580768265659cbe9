"""Numbers as people write and say them: "2,700 K", "21.5 degrees", "minus zwei", "two thousand seven hundred", "1h30".

Pure. The words are data (`numbers.toml`); the tables of a bundle's languages are joined, because nobody is asked
which language a text is in. Where only the language tells what a separator means ("2.700"), the one that the asker
named decides; where none was named, a group of exactly three digits is thousands if it may be so in any of
the languages: a home has no use for three decimal places. What is not surely a number is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from firmware_py.tasks.folding import fold

Number = int | float
T = TypeVar("T")

HOUR_S, QUARTER_S, MINUTE_S = 3600, 900, 60  # a quarter of an hour has its own word in some languages
# Signs that every language has; one of them stands alone or right behind a figure.
_TIME_SIGNS = {"h": HOUR_S, "min": MINUTE_S, "m": MINUTE_S, "s": 1}
_OTHER_SIGNS = ("c", "f", "k")  # what folding leaves of °C, ℉ and K
_FRACTIONS = {"½": 0.5, "¼": 0.25, "¾": 0.75, "1/2": 0.5, "1/4": 0.25, "3/4": 0.75}
_DIGITS, _PLACES = 9, 6  # more are no value of a home
_CHARS = 80  # no number is longer, and reading words must not take long
_ALIKE = str.maketrans({"’": "'", "℃": "c", "℉": "f"} | dict.fromkeys("\u00a0\u2009\u202f", " "))

_SIGNED = re.compile(r"\s*([+\-−–]?)\s*(.*)", re.DOTALL)
# Figures with separators; a blank is one before exactly three digits only.
_FIGURES = re.compile(r"(\d+(?:[.,']\d+| \d{3}(?!\d))*)(?:\s*([½¼¾])|\s+([13]/[24])(?!\d))?(.*)", re.DOTALL)
_SEPARATOR = re.compile(r"\D")
_PART = re.compile(r"\d+|[^\W\d_]+")
_NO_FIGURE = frozenset(".,/:")  # what a torn figure begins with
_NO_WORDS = frozenset("/:")  # folding would drop it: a fraction or a time of day is not two numbers


@dataclass(frozen=True, slots=True)
class Reading:
    """A number, and the seconds of its unit where that is one of time (else 0)."""

    number: Number
    unit_s: int = 0


class Numbers:
    """How some languages say numbers; `words` are those of one word or a fixed row of words."""

    __slots__ = (
        "_before",
        "_ends",
        "_heads",
        "_parts",
        "_scales",
        "_thousands",
        "_time",
        "_units",
        "links",
        "minus",
        "points",
        "words",
    )

    def __init__(self, tables: Mapping[str, Mapping[str, Any]]) -> None:
        """Join the tables of `numbers.toml`, by language; the first that knows a word counts."""
        self.words: dict[str, Number] = {str(number): number for number in range(101)}
        self._heads: dict[str, int] = {}  # round numbers that a smaller one may follow
        for table in tables.values():
            for number, spellings in enumerate(table["words"]):
                for spelling in spellings.split("|"):
                    self.words.setdefault(fold(spelling), number)
                    if number == 100:
                        self._heads[fold(spelling)] = number
            for value, word in _entries(table, "more"):
                self.words.setdefault(word, value)
                if value >= 70:
                    self._heads[word] = int(value)
        self.minus = _words(tables, "minus")
        self.points, self._before = _words(tables, "decimal"), _words(tables, "before")
        self.links = _words(tables, "link")
        self._ends = _longest(
            {word: value for one in tables.values() for value, word in _entries(one, "ending")}
        )
        self._scales = sorted(
            {(int(value), word) for table in tables.values() for value, word in _entries(table, "scale")},
            key=lambda scale: (-scale[0], -len(scale[1]), scale[1]),
        )
        time = {word: int(value) for table in tables.values() for value, word in _entries(table, "time")}
        self._time = time | _TIME_SIGNS
        self._units = _longest(dict.fromkeys((*_words(tables, "unit"), *_OTHER_SIGNS), 0) | self._time)
        self._parts = {
            part
            for keys in (self.words, dict(self._ends), self.minus, self.points, self.links, self._time)
            for key in keys
            for part in key.split()
        } | {word for _, word in self._scales}
        self._thousands = {language: str(table["thousands"]) for language, table in tables.items()}

    def read(self, text: str, language: str = "") -> Reading | None:
        """The number that a text is, in figures or words, with its sign and units; None where it is not surely one.

        `language` is the asker's where it is known; it decides what a point or comma before three digits is.
        """
        match = _SIGNED.fullmatch(text.casefold().translate(_ALIKE))
        if match is None or len(text) > _CHARS or not _NO_FIGURE.isdisjoint(match[2][:1]):
            return None
        reading = self._figures(match[2], language)
        if reading is None and _NO_WORDS.isdisjoint(match[2]):
            reading = self._spoken(fold(match[2]))
        if reading is None or match[1] in {"", "+"}:
            return reading
        return Reading(-reading.number, reading.unit_s)

    def is_part(self, word: str) -> bool:
        """Whether a folded word may be one of several that are a number."""
        return word in self._parts or word.isdecimal()

    def time_of(self, word: str) -> int:
        """The seconds of a folded word that is a unit of time, else 0."""
        return self._time.get(word, 0)

    def without_unit(self, key: str) -> Iterator[tuple[str, int]]:
        """A folded text without a unit that it ends with, the longest first, and the seconds of that, else 0."""
        for unit, unit_s in self._units:
            rest = _before_unit(key, unit)
            if rest is not None:
                yield rest, unit_s

    def units(self, key: str) -> int | None:
        """The seconds of a row of units, 0 where none is of time; None where it is something else."""
        unit_s = 0
        while key:
            cut = next(self.without_unit(key), None)
            if cut is None or (unit_s and cut[1]):
                return None
            key, unit_s = cut[0], unit_s or cut[1]
        return unit_s

    # --- figures -------------------------------------------------------------------------------------

    def _figures(self, text: str, language: str) -> Reading | None:
        match = _FIGURES.match(text)
        if match is None:
            return None
        number = self._written(match[1], language)
        unit_s = self.units(fold(match[4]))
        if number is None or unit_s is None:
            return None
        part = _FRACTIONS.get(match[2] or match[3], 0.0)
        return Reading(number + part if part else number, unit_s)

    def _written(self, figures: str, language: str) -> Number | None:
        separators, groups = _SEPARATOR.findall(figures), _SEPARATOR.split(figures)
        if not separators:
            return int(figures) if len(figures) <= _DIGITS else None
        last = separators[-1]
        before = set(separators[:-1])
        if not before - {last} and self._are_thousands(last, groups, language):
            return int("".join(groups)) if len("".join(groups)) <= _DIGITS else None
        # The last one may begin the decimal places, when those before it are one kind of another.
        alike = len(before) < 2 and last not in before and last in ".,"
        if not alike or (before and not _grouped(groups[:-1])) or len(groups[-1]) > _PLACES:
            return None
        if not before and _grouped(groups) and not self._rules(language):
            return None  # no language to tell "2.700"
        return whole(float(f"{''.join(groups[:-1])}.{groups[-1]}"))

    def _are_thousands(self, separator: str, groups: list[str], language: str) -> bool:
        if not _grouped(groups):
            return False
        return separator not in ".," or len(groups) > 2 or separator in self._rules(language)

    def _rules(self, language: str) -> set[str]:
        """Which of point and comma may separate thousands."""
        known = self._thousands.get(language)
        return set(self._thousands.values()) if known is None else {known}

    # --- words ---------------------------------------------------------------------------------------

    def _spoken(self, key: str) -> Reading | None:
        for before in self._before:
            key = key.removeprefix(before)
        for minus in self.minus:
            if key.startswith(minus) and (not minus.isascii() or key[len(minus) :].startswith(" ")):
                found = self._positive(key.removeprefix(minus).lstrip())
                return None if found is None else Reading(-found.number, found.unit_s)
        return self._positive(key)

    def _positive(self, key: str) -> Reading | None:
        """A number with units behind it, and perhaps a fraction behind or before those."""
        number = self._amount(key)
        if number is not None:
            return Reading(number)
        for rest, unit_s in self.without_unit(key):
            found = self._positive(rest) if rest else Reading(1) if unit_s == QUARTER_S else None
            # Two units are one of time and one that says nothing, or a measure word.
            if found is not None and not (found.unit_s and unit_s):
                return Reading(found.number, found.unit_s or unit_s)
        return self._with_part(key) or self._lasting(key)

    def _with_part(self, key: str) -> Reading | None:
        """A fraction at the end: "twenty and a half", "an hour and a half", 二十度半."""
        for ending, part in self._ends:
            if key.endswith(ending):
                rest = key.removesuffix(ending).rstrip()
                number = self._amount(rest) if ending.isascii() else None  # 一半 is a half
                found = self._positive(rest) if number is None and any(self.without_unit(rest)) else None
                if number is not None or found is not None:
                    reading = found or Reading(number or 0)
                    if isinstance(reading.number, int):
                        return Reading(reading.number + part, reading.unit_s)
        return None

    def _lasting(self, key: str) -> Reading | None:
        """Hours with minutes, minutes with seconds: "1h30", "one hour and twenty minutes"; in its smallest unit."""
        total, begun = 0, ""
        units: list[int] = []
        words = _PART.findall(key) if key.isascii() else []
        for word in [*words, ""]:
            unit_s = self.time_of(word)
            if word and not unit_s:
                begun = f"{begun} {word}".strip() if begun or word not in self.links else ""
                continue
            if (
                not word and units and units[-1] in {HOUR_S, MINUTE_S}
            ):  # what is left is of the next smaller unit
                unit_s = units[-1] // 60
            if begun:
                number = self._whole(begun)
                if number is None or not unit_s or (units and unit_s >= units[-1]):
                    return None
                if not word and number < 2 and not begun.isdecimal():
                    return None  # the article of something else: "two hours and a"
                total += number * unit_s
                units.append(unit_s)
                begun = ""
        return Reading(total // units[-1], units[-1]) if len(units) > 1 else None

    def _amount(self, key: str) -> Number | None:
        """A number in words, perhaps with decimal places."""
        found = self.words.get(key)
        number = self._whole(key) if found is None else found
        if number is not None:
            return number
        for point in self.points:
            spaced = key if point.isascii() else key.replace(point, f" {point} ")
            left, found_point, right = spaced.partition(f" {point} ")
            if not found_point:
                continue
            whole_part, places = self._whole(left.strip()), self._places(right.split())
            if whole_part is not None and places:
                return whole(float(f"{whole_part}.{places}"))
        return None

    def _places(self, words: list[str]) -> str:
        """Decimal places digit by digit, or two as one number; empty where they are none."""
        if len(words) == 1 and words[0].isdecimal():
            return words[0] if len(words[0]) <= _PLACES else ""
        numbers = [self.words.get(word) for word in words] if len(words) <= _PLACES else []
        if all(isinstance(number, int) and number < 10 for number in numbers):
            return "".join(map(str, numbers))
        together = self.words.get(" ".join(words))
        return str(together) if isinstance(together, int) and together < 100 else ""

    def _whole(self, key: str, below: int = 10**6) -> int | None:
        """A number without places; scales smaller than `below` may be in it."""
        if key.isdecimal():
            return int(key) if len(key) <= _DIGITS else None
        found = self.words.get(key)
        if found is not None:
            return found if isinstance(found, int) else None
        for size, word in self._scales:
            if size >= below or word not in key:
                continue
            left, _, right = key.partition(word)
            times = self._whole(left.strip(), size) if left.strip() else 1
            rest = None if times is None else self._rest(right.strip(), size)
            if times is not None and rest is not None and 0 < times < 1000 and rest < size:
                return times * size + rest
        head, _, tail = key.partition(" ")
        if head in self._heads and tail:
            more = self._rest(tail, 100)
            number = self._heads[head]
            if more is not None and 0 < more < (100 if number >= 100 else 10):
                return number + more
        return None

    def _rest(self, key: str, size: int) -> int | None:
        """What stands behind a hundred or thousand."""
        if not key:
            return 0
        number = self._whole(key, size)
        if number is not None:  # 一百五 is 150; five alone is 一百零五
            return number if key.isascii() or number >= 10 else number * size // 10
        if not key.isascii() and key.startswith("一十"):
            return self._whole(key[1:], size)
        for link in self.links:
            linked = key.removeprefix(link).strip()
            if linked != key and (number := self._whole(linked, size)) is not None:
                return number
        return None


def whole(number: float) -> Number:
    """An integer where it is one."""
    return int(number) if float(number).is_integer() else number


def _grouped(groups: list[str]) -> bool:
    """Whether figures are written in groups of thousands."""
    first, *others = groups
    return len(first) <= 3 and not first.startswith("0") and all(len(group) == 3 for group in others)


def _before_unit(key: str, unit: str) -> str | None:
    """What stands before a unit at the end of a key; a short one is no part of a word."""
    if not key.endswith(unit):
        return None
    rest = key.removesuffix(unit)
    alone = not rest or rest[-1] == " " or rest[-1].isdigit()
    return rest.rstrip() if alone or len(unit) > 3 or not unit.isascii() else None


def _words(tables: Mapping[str, Mapping[str, Any]], name: str) -> frozenset[str]:
    return frozenset(fold(word) for table in tables.values() for word in table.get(name, ()))


def _entries(table: Mapping[str, Any], name: str) -> Iterator[tuple[Number, str]]:
    """A table's values with each of their words."""
    for value, words in table.get(name, {}).items():
        for word in words:
            yield whole(float(value)), fold(word)


def _longest(words: Mapping[str, T]) -> tuple[tuple[str, T], ...]:
    """In the order in which they are tried at the end of a text."""
    return tuple(sorted(words.items(), key=lambda entry: (-len(entry[0]), entry[0])))
