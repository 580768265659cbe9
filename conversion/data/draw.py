"""A random draw over a template's expression tree, with slot spans in code points.

Alternative: pick one; sequence: join; permutation: shuffle; rule: follow; list: draw a value. The
exhaustive expansion has 10^7 sentences in English, nearly all of them from a few templates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Any

from conversion.data.names import Names
from conversion.data.sentence import Sentence
from conversion.data.templates import Grammar, Template

WORDED = 0.25  # share of numbers written in words
_LIGHT_AFTER_NAME = re.compile(r"\{name\} <light>")
_COMMON = (1, 2, 3, 5, 10, 15, 20, 25, 30, 40, 45, 50, 60, 70, 75, 80, 90, 100)

_Piece = tuple[str, str | None, str]  # text, slot name, kind of the value


@dataclass(frozen=True, slots=True)
class Drawn:
    """A sentence and its form with the values left out: equal forms are the same words otherwise.

    `values` are the open lists' values with their kinds: the things that the sentence names.
    """

    sentence: Sentence
    form: str
    values: tuple[tuple[str, str], ...] = ()


class Drawer:
    """Draws sentences of one grammar with one side's names; all randomness is the argument's."""

    def __init__(self, grammar: Grammar, names: Names) -> None:
        self._grammar = grammar
        self._names = names

    def draw(self, template: Template, random: Random) -> Drawn:
        """One sentence of a template."""
        domain = random.choice(template.domains) if template.domains else ""
        bare = "light_modifier" in self._names.values
        if bare and domain == "light" and _LIGHT_AFTER_NAME.search(template.text):
            domain = "light_modifier"
        pieces = self._walk(template.expression, domain, random)
        text, slots = join(pieces)
        form, _ = join([("{" + kind + "}" if slot else value, None, "") for value, slot, kind in pieces])
        values = tuple(
            (kind, value) for value, slot, kind in pieces if slot and kind not in self._grammar.lists
        )
        row = Sentence(text, template.intent, slots, template.number, lang=self._names.language)
        return Drawn(row, form, values)

    def _walk(self, node: Any, domain: str, random: Random) -> list[_Piece]:
        kind = type(node).__name__
        if kind == "TextChunk":
            return [(node.original_text, None, "")]
        if kind == "ListReference":
            value, group = self._value(node.list_name, domain, random)
            return [(value, node.slot_name, group)]
        if kind == "RuleReference":
            return self._walk(self._grammar.rules[node.rule_name].expression, domain, random)
        if kind == "Alternative":
            return self._walk(random.choice(node.items), domain, random)
        items = list(node.items)
        if kind == "Permutation":
            random.shuffle(items)
            return [piece for item in items for piece in [*self._walk(item, domain, random), (" ", None, "")]]
        return [piece for item in items for piece in self._walk(item, domain, random)]

    def _value(self, name: str, domain: str, random: Random) -> tuple[str, str]:
        """A list's value and the group that it is of."""
        values: Any = self._grammar.lists.get(name)
        kind = type(values).__name__
        if kind == "RangeSlotList":
            return _number(values, self._names, random), "number"
        if kind == "TextSlotList":
            pieces = self._walk(random.choice(values.values).text_in, domain, random)
            return join(pieces)[0], name
        section = (domain or "light") if name == "name" else name
        return self._names.draw(section, random), section


def join(pieces: list[_Piece]) -> tuple[str, tuple[tuple[int, int, str], ...]]:
    """Put pieces together with single spaces; spans follow."""
    text = ""
    slots: list[tuple[int, int, str]] = []
    for value, slot, _ in pieces:
        start = -1
        for char in value:
            if char.isspace():
                if text and not text.endswith(" "):
                    text += " "
                continue
            if start < 0:
                start = len(text)
            text += char
        if slot is not None and start >= 0:
            slots.append((start, len(text.rstrip()), slot))
    return text.rstrip(), tuple(slots)


def _number(values: Any, names: Names, random: Random) -> str:
    """A number of a range: half of them round ones, a quarter in words where the language has them."""
    common = [value for value in _COMMON if values.start <= value <= values.stop]
    if values.step > 1 or not common:
        return str(random.randrange(values.start, values.stop + 1, values.step))
    number = random.choice(common) if random.random() < 0.5 else random.randint(values.start, values.stop)
    if values.fraction_type is not None and random.random() < 0.05:
        return f"{number}{names.comma}5"
    return names.numbers[number] if number in names.numbers and random.random() < WORDED else str(number)
