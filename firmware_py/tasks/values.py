"""Slot values as a home-automation hub takes them: 50 for "fifty percent", "red" for "rot", 2700 for "warm white".

The words are data: `values.toml` and `numbers.toml`, one table a language. A bundle's languages are joined
into one table per slot, because nobody is asked which language a text is in; where two languages mean
different things by a word, the bundle's first counts. What no table knows stays the text, lower case.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from firmware_py.tasks.folding import fold
from firmware_py.tasks.numbers import HOUR_S, MINUTE_S, Number, Numbers, Reading, whole
from firmware_py.tasks.tables import load_tables

TASK = "home"  # whose slots these tables are for; other tasks' slots may have the same names and mean other things
Value = str | int | float

# What a slot of that name, or with that end of its name, counts in.
LASTING = {"hours": HOUR_S, "minutes": MINUTE_S, "seconds": 1}

_MOST_KNOWN, _KNOWN_CHARS = 1024, 64  # texts with their values, about 200 KB; dropped whole when it is full
_KELVIN = 1000  # no temperature of a home is as high: the number is a colour's
_NEXT_WORD = re.compile(r"[\s\-]*([^\W\d_]+)(?!['’]|[^\W\d])")  # no "s'il vous plaît"


@dataclass(frozen=True, slots=True)
class _Slot:
    """One slot's words with their values; `numeric` slots also read figures and number words.

    `minus` are the words of a sentence that turn a step down, `unit_s` what a slot of time counts in, else 0.
    """

    words: Mapping[str, Value]
    numeric: bool
    percent: bool
    minus: frozenset[str]
    unit_s: int


class SlotValues:
    """Normalises the slots of one bundle."""

    __slots__ = ("_known", "_slots", "numbers")

    def __init__(self, languages: Iterable[str]) -> None:
        """Join the tables of some languages (`en`, `zh`, `de-CH` as `de`); unknown ones add nothing."""
        known = tuple(dict.fromkeys(language.partition("-")[0].lower() for language in languages))
        self.numbers, self._slots = _tables(known)
        # A home says the same few words again and again.
        self._known: dict[tuple[str, str, int, str], Value] = {}

    def value(
        self, slot: str, text: str, sentence: str = "", *, end: int | None = None, language: str = ""
    ) -> Value:
        """The hub's value of a slot's text.

        Args:
            slot: its name.
            text: what the sentence says there.
            sentence: tells "up by 10" from "down by 10", and "half" an hour from half a minute.
            end: where the text ends in the sentence; None: nothing follows it.
            language: the asker's, where it is known (`en`): tells what "2.700" is.
        """
        table = self._slots.get(slot)
        if table is None:
            return plain(text)
        unit_s = self.unit_after(sentence, end) if table.unit_s and end is not None else 0
        known = self._known.get((slot, text, unit_s, language))
        if known is not None:
            return known
        value = self._read(table, text, unit_s, language)
        if table.minus and isinstance(value, int | float):
            down = not table.minus.isdisjoint(fold(sentence).split())
            return -abs(value) if down else value
        if len(text) <= _KNOWN_CHARS:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[slot, text, unit_s, language] = value
        return value

    def numeric(self, slot: str) -> bool:
        """Whether a slot may hold a number."""
        table = self._slots.get(slot)
        return table is not None and table.numeric

    def knows(self, slot: str, text: str) -> bool:
        """Whether a slot's table has a text."""
        table = self._slots.get(slot)
        return table is not None and fold(text) in table.words

    def unit_after(self, sentence: str, end: int) -> int:
        """The seconds of the unit of time that stands next in a sentence, else 0."""
        match = _NEXT_WORD.match(sentence, end)
        word = "" if match is None else fold(match[1])
        if word.isascii():
            return self.numbers.time_of(word)
        word = word.removeprefix("个")  # 两个小时; Chinese leaves no blank behind its units
        return self.numbers.time_of(word[:2]) or self.numbers.time_of(word[:1])

    def _read(self, table: _Slot, text: str, unit_s: int, language: str) -> Value:
        key = fold(text)
        found = table.words.get(key)
        if table.unit_s and found is None:
            cuts = (cut for cut in self.numbers.without_unit(key) if cut[0] in table.words)
            rest, said_s = next(cuts, ("", 0))
            found, unit_s = table.words.get(rest), said_s or unit_s
        # Folding drops signs and points: what may have one is read as figures first.
        reading = None
        if table.numeric and (found is None or not text[:1].isalpha()):
            reading = self.numbers.read(text, language)
        if reading is not None:
            value = _number(table, reading, unit_s)
            return plain(text) if value is None else value
        if table.unit_s and isinstance(found, int):
            # A part is told in minutes of an hour: "half" is 30. Without a unit it is one of the next larger unit.
            return whole(found * (unit_s or min(HOUR_S, 60 * table.unit_s)) / 60 / table.unit_s)
        return plain(text) if found is None else found


def _number(table: _Slot, reading: Reading, unit_s: int) -> Number | None:
    """What a hub takes for a number: whole percents and kelvins, and a duration in the slot's unit; None: not here."""
    number = reading.number
    if table.unit_s:
        said_s = reading.unit_s or unit_s or table.unit_s
        return number if said_s == table.unit_s else whole(round(number * said_s / table.unit_s, 4))
    if reading.unit_s or (table.percent and 0 < abs(number) < 1):  # 0.5 may be half as well as half a percent
        return None
    if table.percent or number >= _KELVIN:
        return math.floor(number + 0.5)
    return number


def plain(text: str) -> str:
    """One canonical writing of what has no value: lower case, single spaces."""
    return " ".join(text.lower().split())


@functools.lru_cache(maxsize=4)
def _tables(languages: tuple[str, ...]) -> tuple[Numbers, dict[str, _Slot]]:
    values, spoken = load_tables("values.toml", ("slots", *languages)), load_tables("numbers.toml", languages)
    kinds: dict[str, dict[str, Value]] = {}
    for language in languages:
        for kind, table in values.get(language, {}).items():
            words = kinds.setdefault(kind, {})
            for value, texts in table.items():
                for text in texts:
                    words.setdefault(fold(text), int(value) if value.isdecimal() else value)
    slots = {}
    for slot, names in values["slots"].items():
        words = {}
        for name in names:
            if name not in {"number", "down"}:
                words.update(kinds.get(name, {}))
        slots[slot] = _Slot(
            words=words,
            numeric="number" in names,
            percent="level" in names or "down" in names,
            minus=frozenset(kinds.get("down", {})) if "down" in names else frozenset(),
            unit_s=LASTING.get(slot.rpartition("_")[2], 0),
        )
    return Numbers({language: spoken[language] for language in languages if language in spoken}), slots
