"""Values for open lists: our own names, split into those for training and those for evaluation.

Training also invents values (a modifier with a domain's noun, or random words where anything may
stand), so that a slot is known by its place and not by heart. Where an area and a name can stand in the same place
("the … timer", "the … light") no bare word is made up for either: what a word means must decide, and its
embedding knows more of that than a coin.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

Side = Literal["train", "eval"]

COMPOUND = 0.35  # share of invented words that are no dictionary's
INVENTED = 0.45  # share of training values that are made up
FREE = ("item", "task", "message", "search_query", "todo", "zone", "person")  # anything may stand
AS_LISTED = (
    "floor",
    "command",
    "weather",
    "light_modifier",
    "timer_name",
)  # what these are is in the word itself
_MODIFIERS = (
    "new", "old", "big", "small", "left", "right", "blue", "green", "black", "white", "round", "tall", "second",
    "smart", "wooden", "tom's", "anna's", "dad's", "kids", "cheap", "silver", "front", "rear", "tiny", "spare",
)  # fmt: skip
_LISTS = {
    "timer_command": "command",
    "shopping_list_item": "item",
    "todo_list_item": "task",
    "input_button": "button",
}


@dataclass(frozen=True, slots=True)
class Names:
    """Draws a value for an open list on one side of the split."""

    values: dict[str, tuple[str, ...]]
    side: Side
    words: tuple[str, ...] = ()

    def draw(self, section: str, random: Random) -> str:
        """A value of a section (`area`, `light`, `timer_command`, …)."""
        key = _LISTS.get(section, section)
        value = random.choice(self.values[key])
        if self.side == "eval" or random.random() > INVENTED:
            return value
        if key in FREE:
            if not self.words:
                return value
            return " ".join(self._word(random) for _ in range(random.randint(1, 3)))
        if key in AS_LISTED:
            return value
        word = self._word(random)
        if key == "area":
            return random.choice((value, f"{word} room", f"{word} {value}"))
        return f"{word} {value.split()[-1]}"

    def _word(self, random: Random) -> str:
        """A frequent word, or two run together as in "carport": a word that the vocabulary has to spell."""
        if not self.words:
            return random.choice(_MODIFIERS)
        word = random.choice(self.words)
        return word if random.random() > COMPOUND else word[:5] + random.choice(self.words)[:4]


def load_names(side: Side, words: tuple[str, ...] = ()) -> Names:
    """Read `names_en.toml`; `words` are for invented values."""
    with (Path(__file__).parent / "names_en.toml").open("rb") as file:
        sections = tomllib.load(file)
    return Names({name: tuple(section[side]) for name, section in sections.items()}, side, words)
