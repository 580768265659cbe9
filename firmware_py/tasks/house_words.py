"""What the house knows better than the model: where a name ends, and what kind of thing it is. Pure.

A model that was trained on other houses takes "the big | lamp" apart, "veranda" for a device, and sees nothing in
"the floor lamp". Where the user's file of names knows the words, it decides. Nothing is guessed: only whole names
of the file count, and one that is known as two kinds of thing leaves the slot as it was.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from typing import Any

from firmware_py.tasks.folding import fold
from firmware_py.tasks.names import ARTICLES, KINDS, LANGUAGES, Kind, Languages, Names, Places, singular
from firmware_py.tasks.small_words import small_words

_REACH = ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))  # words more before and behind, the nearest first
_LONGEST = 5  # words of an overlooked name
_DEVICE, _CLASS = "name", "device_class"  # slots of a device and of its kind
_PLACES = ("floor", "area")
# What may stand in these intents is said by their own slots, not by a thing of the house.
_THINGLESS = ("Timer", "List", "Broadcast", "Weather", "Current", "Nevermind", "Respond")

# Intents that a name of one word is looked for in; elsewhere it is rather a word of its own ("temperature").
_SWITCHED = ("Turn", "LightSet", "GetState", "SetPosition", "FanSetSpeed", "Vacuum", "LawnMower")

# "nell'" of "nell'ufficio": a word with an apostrophe at a place, and at the end of a text.
_ELIDED, _LAST_ELIDED = re.compile(r"([^\W\d_]+)['’](?=\w)"), re.compile(r"([^\W\d_]+)['’]$")

Slot = dict[str, Any]
Span = tuple[int, int]
_Said = tuple[Span, list[str]]  # a name of the house with the slots that it may fill


def correct(
    names: Names, slots: list[Slot], sentence: str, label: str, languages: Languages = LANGUAGES
) -> None:
    """Mend the slots of one answer in place; an overlooked name is put between them.

    Args:
        names: of the house.
        slots: in the order of the text, each with `name`, `text`, `value`, `start`, `end`.
        sentence: the text that they lie in, as far as the model read it.
        label: the intent.
        languages: those that the sentence may be in.
    """
    words = _words(sentence)
    things = [slot for slot in slots if slot["name"] in KINDS]
    for slot in things:
        taken = [(one["start"], one["end"]) for one in slots if one is not slot]
        for start, end in _reaches(slot, sentence, words, taken):
            text = sentence[start:end]
            name = _slot_of(names, slot["name"], text, languages)
            if name is not None:
                if text != slot["text"]:
                    slot |= {"value": text, "text": text, "start": start, "end": end}
                slot["name"] = name
                break
    if not any(word in label for word in _THINGLESS):
        _Search(names, sentence, words, languages).add_to(slots, label)


def _words(sentence: str) -> list[Span]:
    """Where words are: letters and digits with the marks that belong to them, and apostrophes inside."""
    out: list[Span] = []
    start = -1
    for place, char in enumerate(f"{sentence} "):
        inside = char.isalnum() or char in "'’_" or unicodedata.category(char)[0] == "M"
        if inside and start < 0:
            start = place
        elif not inside and start >= 0:
            out.append((start, place))
            start = -1
    return out


def _reaches(slot: Slot, sentence: str, words: list[Span], taken: list[Span]) -> list[Span]:
    """The slot's own span, then wider ones that meet no other slot."""
    out = [(slot["start"], slot["end"])]
    own = [n for n, word in enumerate(words) if _meet(word, out[0])]
    for before, behind in _REACH[1:] if own else ():
        first, last = own[0] - before, own[-1] + behind
        if first >= 0 and last < len(words):
            start = words[first][0] if before else slot["start"]
            end = words[last][1] if behind else slot["end"]
            if _joined(sentence, words[first : last + 1]) and not any(
                _meet(span, (start, end)) for span in taken
            ):
                out.append((start, end))
    return out


class _Search:
    """Looks for names of the house in the words of a sentence that no slot holds."""

    __slots__ = ("_languages", "_names", "_sentence", "_small", "_words")

    def __init__(self, names: Names, sentence: str, words: list[Span], languages: Languages) -> None:
        self._names, self._sentence, self._languages = names, sentence, languages
        self._small = small_words(frozenset(languages))
        self._words = [self._without_place_word(word) for word in words]

    def add_to(self, slots: list[Slot], label: str) -> None:
        """Put what the model overlooked between the slots: a device where it saw none, places where it saw none."""
        said = [one for one in self._said() if not self._small.take_out(self._sentence[: one[0][0]])]
        self._free_of_numbers(said, slots)
        self._class_as_area(slots)
        free = [one for one in said if not any(_meet(_span(slot), one[0]) for slot in slots)]
        missed: list[Slot] = []
        if not any(slot["name"] in _PLACES for slot in slots):
            missed += self._places(free)
        if not any(slot["name"] == _DEVICE for slot in slots):
            missed += self._device(free, [*slots, *missed], label)
        slots += missed
        slots.sort(key=lambda slot: int(slot["start"]))

    def _said(self) -> list[_Said]:
        """Names of the house in the sentence, the longest first; none lies in another, whatever slots hold them."""
        firsts = [first for first, word in enumerate(self._words) if self._begins(word)]
        found: list[_Said] = []
        for count in range(min(_LONGEST, len(self._words)), 0, -1):
            for first in firsts:
                part = self._words[first : first + count]
                span = part[0][0], part[-1][1]
                if len(part) < count or any(_meet(other, span) for other, _ in found):
                    continue
                if not _joined(self._sentence, part):
                    continue
                text = self._text(span)
                known = [
                    name
                    for name, kind in KINDS.items()
                    if _is_called(self._names, kind, text, self._languages)
                ]
                if known:
                    found.append((span, known))
        return found

    def _without_place_word(self, word: Span) -> Span:
        """The end of a word that a place word is joined with by an apostrophe: "nell'ufficio"."""
        match = _ELIDED.match(self._sentence, *word)
        leads = match is not None and self._small.leads_to_place(fold(match[1]))
        return (match.end(), word[1]) if match is not None and leads else word

    def _begins(self, word: Span) -> bool:
        said = fold(self._text(word)).partition(" ")[0]
        return said in self._names.first_words or singular(said) in self._names.first_words

    def _free_of_numbers(self, said: list[_Said], slots: list[Slot]) -> None:
        """Take the number slots out that are a word of a device's name: in "Lamp 5", 5 is no temperature."""
        names = [span for span, known in said if known == [_DEVICE] and self._is_long(span)]
        slots[:] = [
            slot
            for slot in slots
            if slot["name"] in KINDS
            or not slot["text"].isdecimal()
            or not any(start < slot["start"] and slot["end"] <= end for start, end in names)
        ]

    def _class_as_area(self, slots: list[Slot]) -> None:
        """Where no place is said, a kind of device with the name of an area and "in" before it is that area."""
        if any(slot["name"] in _PLACES for slot in slots):
            return
        for slot in slots:
            named = slot["name"] == _CLASS and self._names.find("area", slot["text"], self._languages)
            if named and self._is_behind_place_word(_span(slot)):
                slot |= {"name": "area", "value": slot["text"]}

    def _places(self, free: list[_Said]) -> list[Slot]:
        """Areas and floors; where some of a kind stand behind a word like "in", of that kind only those."""
        places: list[tuple[bool, Slot]] = []
        for span, known in free:
            behind = self._is_behind_place_word(span)
            kinds = [name for name in known if name in _PLACES]
            if kinds and (behind or len(kinds) == len(known)):
                # Of an area and a floor of one name, the smaller: less is switched by mistake.
                places.append((behind, _slot(kinds[-1], span, self._sentence)))
        sure = {slot["name"] for behind, slot in places if behind}
        return [slot for behind, slot in places if behind or slot["name"] not in sure]

    def _device(self, free: list[_Said], slots: list[Slot], label: str) -> list[Slot]:
        """The longest name of a device that is a name of nothing else; one word only where it is switched or set."""
        inside = self._names.inside(slots, self._languages)
        one_word = any(word in label for word in _SWITCHED)
        for span, known in free:
            if known != [_DEVICE] or any(_meet(_span(slot), span) for slot in slots):
                continue
            if self._is_long(span) or (one_word and self._is_meant(span, inside)):
                return [_slot(_DEVICE, span, self._sentence)]
        return []

    def _is_long(self, span: Span) -> bool:
        return sum(_meet(word, span) for word in self._words) > 1

    def _is_meant(self, span: Span, inside: Places) -> bool:
        """Whether one word is a device's name in its own number, and one of those lies where the sentence says."""
        text = self._text(span)
        return any(
            not inside or inside & self._names.places(entry)
            for entry in self._names.find(KINDS[_DEVICE], text, self._languages)
            if fold(text) in {fold(name).rpartition(" ")[2] for name in (entry.name, *entry.aliases)}
        )

    def _is_behind_place_word(self, span: Span) -> bool:
        """Whether a word like "in" stands before a span, perhaps with an article between."""
        before = _LAST_ELIDED.search(self._sentence[: span[0]])
        if before is not None and self._small.leads_to_place(fold(before[1])):
            return True
        for word in reversed([word for word in self._words if word[1] <= span[0]]):
            said = fold(self._text(word))
            if self._small.leads_to_place(said):
                return True
            if not ARTICLES.get(said, frozenset()) & self._languages:
                return False
        return False

    def _text(self, span: Span) -> str:
        return self._sentence[span[0] : span[1]]


def _is_called(names: Names, kind: Kind, text: str, languages: Languages) -> bool:
    """Whether a name is all of the text; what is also found without its article begins a word later."""
    head, _, rest = text.partition(" ")
    if not ARTICLES.get(fold(head), frozenset()) & languages:
        return bool(names.find(kind, text, languages))
    return bool({*names.find(kind, text, frozenset())}.difference(names.find(kind, rest, languages)))


def _joined(sentence: str, words: list[Span]) -> bool:
    """Whether nothing but blanks and hyphens stands between the words: no name goes over the end of a clause."""
    gaps = (sentence[one[1] : other[0]] for one, other in itertools.pairwise(words))
    return all(not gap.strip(" \t-‐‑–") for gap in gaps)


def _slot_of(names: Names, said: str, text: str, languages: Languages) -> str | None:
    """The slot whose kind knows the text: the one said, else the only other one; None where neither does."""
    if names.find(KINDS[said], text, languages):
        return said
    others = [name for name, kind in KINDS.items() if name != said and names.find(kind, text, languages)]
    return others[0] if len(others) == 1 else None


def _slot(name: str, span: Span, sentence: str) -> Slot:
    text = sentence[span[0] : span[1]]
    return {"name": name, "value": text, "text": text, "start": span[0], "end": span[1]}


def _span(slot: Slot) -> Span:
    return slot["start"], slot["end"]


def _meet(one: Span, other: Span) -> bool:
    return one[0] < other[1] and one[1] > other[0]
