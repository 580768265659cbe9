"""Where a number ends and what it counts, which its writing tells better than the model. Pure.

A model cuts texts into words, and "2,700", "12.5", "1h30" and 百分之一百 are several of them: it may see two numbers, or
half of one, and 2 is a wrong value where 2,700 was said. A figure is never cut, "one hundred and twenty" and "an hour
and a half" are one number, a minus belongs to its temperature, and a unit of time that stands behind a number says
which slot it fills. Nothing is changed that does not read as one number afterwards.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from firmware_py.contracts.records import record
from firmware_py.tasks.folding import fold
from firmware_py.tasks.numbers import QUARTER_S, Number
from firmware_py.tasks.values import LASTING, SlotValues

# A figure with its separators and fraction, or a row of Chinese numerals (its own group).
_NUMBER = re.compile(
    r"(?<!\d)[13]/[24](?![\d/])"
    r"|\d+(?:[.,'’\u00a0\u2009\u202f]\d+)*(?:\s?[½¼¾]|\s[13]/[24](?![\d/]))?"
    r"|(?:百分之)?([零〇一二两三四五六七八九十百千点]+(?:分之[一二两三四五六七八九十]+|[度个]半)?[半成]?)"
)
_SIGN = re.compile(r"(?:^|(?<!\d)\s)[\-−–]$")  # in "20 -25" it is a dash
_LAST_WORD = re.compile(r"([^\W_]+)[ \-'’]*$")
_NEXT_WORD = re.compile(r"[ \-'’]*([^\W_]+)")
_PART = re.compile(r"\d+|[^\W\d_]+")
# Behind a number: its unit and what it names.
_TIMER = re.compile(r"[ \-]*[^\W\d_]+[ \-]+timers?\b", re.IGNORECASE)
_FIGURE_WITH_UNIT = re.compile(r"\d([^\W\d_]+)$")
_UNITS = {unit_s: name for name, unit_s in LASTING.items()} | {QUARTER_S: "minutes"}
_STARTS = "HassStartTimer"
_TIMED = (_STARTS, "HassIncreaseTimer", "HassDecreaseTimer")  # intents that say how long
_WORDS, _CHARS = 4, 24  # how many words on either side may belong to a number, and how long one of them is
_TEMPERATURE, _BRIGHTNESS = "temperature", "brightness"
_SIGNED = (_TEMPERATURE, "volume_step")  # what may be below zero
_KELVIN = 1000  # no percentage: what is as bright is a colour


@record(frozen=True, slots=True)
class Found:
    """A slot's name with its span [start, end) in code points."""

    name: str
    start: int
    end: int


def mend(found: Sequence[Found], sentence: str, values: SlotValues, known: Collection[str]) -> list[Found]:
    """The slots with their numbers whole, in the order of the text; `known` are the slots that the bundle has."""
    if not any(values.numeric(slot.name) for slot in found):
        return list(found)
    said = _Said(sentence, values)
    slots = said.with_neighbours(
        said.with_figures([slot for slot in found if said.is_something(slot, found)])
    )
    for slot in tuple(slots):
        if slot in slots and values.numeric(slot.name):
            wider = said.with_words(said.with_sign(slot), slots)
            slots = slots if wider == slot else _put(slots, wider)
    for place, slot in enumerate(slots):
        name = said.name(slot)
        if name in known and all(other.name != name for other in slots):
            slots[place] = replace(slot, name=name)
    return slots


def with_duration(
    found: Sequence[Found], sentence: str, values: SlotValues, known: Collection[str], label: str
) -> list[Found]:
    """The slots with how long a timer runs, or by how much it changes, read from the text where the model saw nothing of it.

    `label` is the intent: a timer that starts may have hours and minutes, one that changes has its first duration.
    """
    if label not in _TIMED or any(slot.name in LASTING for slot in found):
        return list(found)
    missed = [slot for slot in _Said(sentence, values).durations(found, label) if slot.name in known]
    if label != _STARTS:
        missed = missed[:1]
    slots = [*found, *{slot.name: slot for slot in reversed(missed)}.values()]
    return mend(sorted(slots, key=lambda slot: slot.start), sentence, values, known) if missed else slots


class _Said:
    """One sentence, and how its numbers are read."""

    __slots__ = ("_sentence", "_values")

    def __init__(self, sentence: str, values: SlotValues) -> None:
        self._sentence = sentence
        self._values = values

    def is_something(self, slot: Found, slots: Sequence[Found]) -> bool:
        """Whether a slot has a letter or digit at all, and is not just a unit: of a number before it, if no number slot's."""
        if self._values.numeric(slot.name):
            key = fold(self._text(slot))
            return bool(key) and (self._values.numbers.units(key) is None or self._number(slot) is not None)
        numbers = (one for one in slots if one.end <= slot.start and self._number(one) is not None)
        behind = (fold(self._sentence[one.end : slot.end]) for one in numbers)
        return all(not key or self._values.numbers.units(key) is None for key in behind)

    def with_figures(self, slots: list[Found]) -> list[Found]:
        """Slots that hold a part of a figure hold all of it; the longest part says whose it is."""
        for match in _NUMBER.finditer(self._sentence):
            start, end = match.span(1 if match[1] else 0)
            meeting = [slot for slot in slots if _meet(slot, start, end)]
            numeric = [slot for slot in meeting if self._values.numeric(slot.name)]
            if not numeric or all(slot.start <= start and end <= slot.end for slot in meeting):
                continue
            if len(numeric) > 1 and " " in match[0]:  # "3 1/2 minutes" may be 3 minutes and 30 seconds
                continue
            longest = max(numeric, key=lambda slot: (slot.end - slot.start, slot.start))
            start, end = min(start, numeric[0].start), max(end, numeric[-1].end)
            whole = replace(longest, start=start, end=end)
            if all(_holds(whole, slot) for slot in meeting) and self._number(whole) is not None:
                slots = _put(slots, whole)
        return slots

    def durations(self, slots: Sequence[Found], label: str) -> list[Found]:
        """Numbers and articles with a unit of time behind them, in no slot, in the order of the text."""
        out: list[Found] = []
        for start, end, unit_s in self._timed():
            slot = Found(_UNITS[unit_s], start, end)
            number = self._number(slot)
            if number is None or any(_meet(one, start, end) for one in (*slots, *out)):
                continue
            if unit_s == 1 and number == 1:  # "a second timer" is another one
                continue
            if label != _STARTS and _TIMER.match(self._sentence, end):  # "to my 1 hour timer" says which
                continue
            out.append(replace(slot, name=self.name(slot)))
        return sorted(out, key=lambda slot: slot.start)

    def _timed(self) -> Iterator[tuple[int, int, int]]:
        """Spans before units of time that may be numbers, the longest of each first, and the seconds of the unit."""
        for match in _NUMBER.finditer(self._sentence):
            start, end = match.span(1 if match[1] else 0)
            if unit_s := self._values.unit_after(self._sentence, end):
                yield start, end, unit_s
        for unit in _PART.finditer(self._sentence):
            unit_s = self._values.numbers.time_of(fold(unit[0])) if len(unit[0]) > 1 else 0
            starts, end = [unit.start()], 0
            while unit_s and len(starts) <= _WORDS and (word := _LAST_WORD.search(self._before(starts[-1]))):
                if not self._values.numbers.is_part(fold(word[1])):
                    break
                starts.append(starts[-1] - len(word[0]))
                end = end or starts[-1] + len(word[1])
            yield from ((start, end, unit_s) for start in reversed(starts[1:]))

    def with_neighbours(self, slots: list[Found]) -> list[Found]:
        """Slots of time side by side that hold one number are one slot: the last's, whose unit stands behind it.

        They stay where together they say what they say apart, as hours and minutes do, and "five | and a half" minutes.
        """
        for before, last in itertools.pairwise(tuple(slots)):
            first = next((slot for slot in slots if _holds(slot, before)), before)  # joined already
            both = replace(last, start=first.start)
            if first in slots and last in slots and self._is_one(first, last, both):
                slots = _put(slots, both)
        return slots

    def _is_one(self, first: Found, last: Found, both: Found) -> bool:
        if not (_lasts(first) and _lasts(last)):
            return False
        parts = _PART.findall(fold(self._text(both)))
        if not all(map(self._values.numbers.is_part, parts)):
            return False
        together, apart = self._lasting_s(both), [self._lasting_s(slot) for slot in (first, last)]
        if together is None:
            return False
        said = [seconds for seconds in apart if seconds is not None]
        if len(said) < len(apart):  # one alone is no number
            return True
        between = fold(self._sentence[first.end : last.start]).split()
        return together != sum(said) and not any(map(self._values.numbers.time_of, between))

    def _lasting_s(self, slot: Found) -> Number | None:
        """How many seconds a slot of time says in the unit that stands behind it; None where it is no number."""
        named = replace(slot, name=self.name(slot))
        number = self._number(named)
        return None if number is None else number * LASTING[named.name.rpartition("_")[2]]

    def with_sign(self, slot: Found) -> Found:
        """A temperature with the sign before it."""
        if slot.name != _TEMPERATURE:
            return slot
        before = self._before(slot.start)
        signs = (
            minus for minus in self._values.numbers.minus if not minus.isascii() and before.endswith(minus)
        )
        sign = "-" if _SIGN.search(before) else next(signs, "")
        signed = replace(slot, start=slot.start - len(sign))
        return signed if sign and self._number(signed) is not None else slot

    def with_words(self, slot: Found, slots: Sequence[Found]) -> Found:
        """A slot with the words around it that make its number another one; for a duration, a longer one."""
        wider = self._reaches(slot, slots)
        said = self._number(slot) if wider else None
        read = [(one, number) for one in wider if (number := self._number(one)) is not None]
        more = [(one, number) for one, number in read if _is_more(slot, number, said)]
        if not more:
            return slot
        best = max(more, key=_length)[1]
        return min((pair for pair in more if pair[1] == best), key=_length)[0]

    def name(self, slot: Found) -> str:
        """The slot that a number fills: "90 s" are seconds, the 30 of "1h30" minutes, and 2700 is no percentage."""
        if slot.name == _BRIGHTNESS:
            return _TEMPERATURE if (self._number(slot) or 0) >= _KELVIN else slot.name
        start, joint, kind = slot.name.rpartition("_")
        if kind not in LASTING:
            return slot.name
        reading = self._values.numbers.read(self._text(slot))
        unit_s = (reading.unit_s if reading else 0) or self._values.unit_after(self._sentence, slot.end)
        if not unit_s:  # what follows a unit counts in the next smaller one
            unit_s = self._unit_before(slot, part=reading is None) // 60
        elif reading is None or not isinstance(reading.number, int):  # and so does a part of one
            unit_s //= 60
        return f"{start}{joint}{_UNITS.get(unit_s, kind)}"

    def _unit_before(self, slot: Found, *, part: bool) -> int:
        """The seconds of the unit of time that stands before a slot, perhaps with "and a" between; else 0.

        A number that is no part must touch it or be the last word: what comes then may be its own unit after all.
        """
        numbers = self._values.numbers
        glued = _FIGURE_WITH_UNIT.search(self._before(slot.start))
        if glued is not None:
            return numbers.time_of(fold(glued[1]))
        if not part and any(map(str.isalnum, self._sentence[slot.end :])):
            return 0
        at = slot.start
        while word := _LAST_WORD.search(self._before(at)):
            key = fold(word[1])
            if key not in numbers.links and numbers.words.get(key) != 1:
                return numbers.time_of(key)
            at -= len(word[0])
        return 0

    def _reaches(self, slot: Found, slots: Sequence[Found]) -> list[Found]:
        """The slot with number words around it; it cuts no other slot and holds none that holds another number."""
        starts, ends = [slot.start], [slot.end]
        while len(starts) <= _WORDS and (word := _LAST_WORD.search(self._before(starts[-1]))):
            if not self._values.numbers.is_part(fold(word[1])):
                break
            starts.append(starts[-1] - len(word[0]))
        while len(ends) <= _WORDS and (word := _NEXT_WORD.match(self._sentence, ends[-1])):
            if not self._values.numbers.is_part(key := fold(word[1])):
                break
            ends.append(word.end())
        if len(ends) == 2 and self._values.numbers.time_of(key):
            del ends[1]  # its own unit, and no more: the usual case
        wider = [Found(slot.name, start, end) for start in starts for end in ends][1:]
        others = [other for other in slots if other != slot] if wider else []
        return [one for one in wider if all(self._may_hold(one, other) for other in others)]

    def _may_hold(self, wider: Found, other: Found) -> bool:
        if not _meet(other, wider.start, wider.end):
            return True
        return _holds(wider, other) and (other.name == wider.name or not self._values.numeric(other.name))

    def _number(self, slot: Found) -> Number | None:
        value = self._values.value(slot.name, self._text(slot), self._sentence, end=slot.end)
        return None if isinstance(value, str) else value

    def _text(self, slot: Found) -> str:
        return self._sentence[slot.start : slot.end]

    def _before(self, at: int) -> str:
        return self._sentence[max(0, at - _CHARS) : at]


def _is_more(slot: Found, number: Number, said: Number | None) -> bool:
    """Whether a wider span tells another number than the slot's own, which the slot may hold."""
    if _lasts(slot):
        return number > (said or 0)
    return number != said and (number >= 0 or slot.name in _SIGNED)


def _lasts(slot: Found) -> bool:
    return slot.name.rpartition("_")[2] in LASTING


def _length(pair: tuple[Found, Number]) -> int:
    return pair[0].end - pair[0].start


def _put(slots: Sequence[Found], wider: Found) -> list[Found]:
    """The slots with one in place of all that it holds."""
    return sorted([*(slot for slot in slots if not _holds(wider, slot)), wider], key=lambda slot: slot.start)


def _holds(wider: Found, other: Found) -> bool:
    return wider.start <= other.start and other.end <= wider.end


def _meet(slot: Found, start: int, end: int) -> bool:
    return slot.start < end and start < slot.end
