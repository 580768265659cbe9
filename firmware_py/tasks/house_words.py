"""What the house knows better than the model: where a name ends, and what kind of thing it is. Pure.

A model that was trained on other houses takes "the big | lamp" apart, "veranda" for a device, and sees nothing in
"the floor lamp". Where the user's file of names knows the words, it decides. Nothing is guessed: only whole names
of the file count, and one that is known as two kinds of thing leaves the slot as it was.
"""

from __future__ import annotations

import re
from typing import Any

from firmware_py.tasks.folding import fold
from firmware_py.tasks.names import ARTICLES, KINDS, Names

_WORD = re.compile(r"[\w'’]+")
_REACH = ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))  # words more before and behind, the nearest first
_LONGEST = 5  # words of an overlooked name
_DEVICE = "name"  # the slot of a device

Slot = dict[str, Any]
Span = tuple[int, int]


def correct(names: Names, slots: list[Slot], sentence: str) -> None:
    """Mend the slots of one answer in place; an overlooked name is put between them.

    Args:
        names: of the house.
        slots: in the order of the text, each with `name`, `text`, `start`, `end`.
        sentence: the text that they lie in.
    """
    words = [match.span() for match in _WORD.finditer(sentence)]
    things = [slot for slot in slots if slot["name"] in KINDS]
    for slot in things:
        taken = [(one["start"], one["end"]) for one in slots if one is not slot]
        for start, end in _reaches(slot, words, taken):
            name = _slot_of(names, slot["name"], sentence[start:end])
            if name is not None:
                slot |= {"name": name, "text": sentence[start:end], "start": start, "end": end}
                break
    if any(slot["name"] == _DEVICE for slot in things):
        return
    missed = _overlooked(names, sentence, words, [(one["start"], one["end"]) for one in slots])
    if missed is not None and (not things or missed["name"] == _DEVICE):  # a place is said already
        slots.append(missed)
        slots.sort(key=lambda slot: int(slot["start"]))


def _reaches(slot: Slot, words: list[Span], taken: list[Span]) -> list[Span]:
    """The slot's own span, then wider ones that meet no other slot."""
    own = [n for n, word in enumerate(words) if _meet(word, (slot["start"], slot["end"]))]
    out = []
    for before, behind in _REACH if own else ():
        first, last = own[0] - before, own[-1] + behind
        if first >= 0 and last < len(words):
            start = words[first][0] if before else slot["start"]
            end = words[last][1] if behind else slot["end"]
            if not any(_meet(span, (start, end)) for span in taken):
                out.append((start, end))
    return out


def _overlooked(names: Names, sentence: str, words: list[Span], taken: list[Span]) -> Slot | None:
    """The longest name of several words that lies in no slot and is of one kind; None without one."""
    for count in range(min(_LONGEST, len(words)), 1, -1):
        for first in range(len(words) - count + 1):
            start, end = words[first][0], words[first + count - 1][1]
            text = sentence[start:end]
            if any(_meet(span, (start, end)) for span in taken):
                continue
            known = [name for name, kind in KINDS.items() if names.find(kind, text)]
            # Found without its article too, at one word less.
            if len(known) == 1 and fold(text).split()[0] not in ARTICLES:
                return {"name": known[0], "value": text, "text": text, "start": start, "end": end}
    return None


def _slot_of(names: Names, said: str, text: str) -> str | None:
    """The slot whose kind knows the text: the one said, else the only other one; None where neither does."""
    if names.find(KINDS[said], text):
        return said
    others = [name for name, kind in KINDS.items() if name != said and names.find(kind, text)]
    return others[0] if len(others) == 1 else None


def _meet(one: Span, other: Span) -> bool:
    return one[0] < other[1] and one[1] > other[0]
