"""What the house knows better than the model: where a name ends, and what kind of thing it is. Pure.

A model that was trained on other houses takes "the big | lamp" apart, "veranda" for a device, and sees nothing in
"the floor lamp". Where the user's file of names knows the words, it decides. Nothing is guessed: only whole names
of the file count, and one that is known as two kinds of thing leaves the slot as it was.
"""

from __future__ import annotations

import itertools
import unicodedata
from typing import Any

from firmware_py.tasks.folding import fold
from firmware_py.tasks.names import ARTICLES, KINDS, LANGUAGES, Kind, Languages, Names

_REACH = ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))  # words more before and behind, the nearest first
_LONGEST = 5  # words of an overlooked name
_DEVICE = "name"  # the slot of a device
# What may stand in these intents is said by their own slots, not by a thing of the house.
_THINGLESS = ("Timer", "List", "Broadcast", "Weather", "Current", "Nevermind", "Respond")

Slot = dict[str, Any]
Span = tuple[int, int]


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
    if any(slot["name"] == _DEVICE for slot in things) or any(word in label for word in _THINGLESS):
        return
    missed = _overlooked(names, sentence, words, [(one["start"], one["end"]) for one in slots], languages)
    if missed is not None and (not things or missed["name"] == _DEVICE):  # a place is said already
        slots.append(missed)
        slots.sort(key=lambda slot: int(slot["start"]))


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


def _overlooked(
    names: Names, sentence: str, words: list[Span], taken: list[Span], languages: Languages
) -> Slot | None:
    """The longest name of several words that lies in no slot and is of one kind; None without one."""
    firsts = [
        first
        for first, (start, end) in enumerate(words)
        if fold(sentence[start:end]).partition(" ")[0] in names.first_words
    ]
    for count in range(min(_LONGEST, len(words)), 1, -1):
        for first in firsts:
            part = words[first : first + count]
            if len(part) < count or not _joined(sentence, part):
                continue
            span = part[0][0], part[-1][1]
            if any(_meet(other, span) for other in taken):
                continue
            text = sentence[span[0] : span[1]]
            known = [name for name, kind in KINDS.items() if _is_called(names, kind, text, languages)]
            if len(known) == 1:
                return {"name": known[0], "value": text, "text": text, "start": span[0], "end": span[1]}
    return None


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


def _meet(one: Span, other: Span) -> bool:
    return one[0] < other[1] and one[1] > other[0]
