"""Values for open lists: our own names, split into those for training and those for evaluation.

Training also makes names up, so that a slot is known by its place and its kind of word and not by heart: from
the `compose` patterns beside the lists ("(left|old) (spot|lantern)"), and in English from frequent words put
before a listed name's noun. Where an area and a name can stand in the same place ("the … timer", "the …
light") no bare word is made up for either: what a word means must decide, and its embedding knows more of
that than a coin. No name for training is one of evaluation's.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

Side = Literal["train", "eval"]

COMPOSED = 0.45  # share of training values that come from a pattern, where there is one
COMPOUND = 0.35  # share of invented words that are no dictionary's
INVENTED = 0.25  # share of training values made with a frequent word
FREE = ("item", "task", "message", "search_query", "todo", "zone", "person")  # anything may stand
AS_LISTED = (
    "floor",
    "command",
    "weather",
    "light_modifier",
    "timer_name",
)  # what these are is in the word itself
_CHOICE = re.compile(r"\(([^()]*)\)")
_LISTS = {
    "timer_command": "command",
    "shopping_list_item": "item",
    "todo_list_item": "task",
    "input_button": "button",
}


@dataclass(frozen=True, slots=True)
class Names:
    """Draws a value for an open list on one side of the split.

    `words` are frequent ones for invented names, `unseen` the values that training must not make.
    """

    values: dict[str, tuple[str, ...]]
    side: Side
    words: tuple[str, ...] = ()
    compose: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unseen: frozenset[str] = frozenset()

    def draw(self, section: str, random: Random) -> str:
        """A value of a section (`area`, `light`, `timer_command`, …)."""
        key = _LISTS.get(section, section)
        value = random.choice(self.values[key])
        if self.side == "eval":
            return value
        way = random.random()
        patterns = self.compose.get(key)
        if patterns and way < COMPOSED:
            made = pick(random.choice(patterns), random)
        elif self.words and way > 1.0 - INVENTED:
            made = self._invented(key, value, random)
        else:
            return value
        return value if made in self.unseen else made

    def _invented(self, key: str, value: str, random: Random) -> str:
        """A name with frequent words in it; the listed value where no word may be made up."""
        if key in FREE:
            return " ".join(self._word(random) for _ in range(random.randint(1, 3)))
        if key in AS_LISTED:
            return value
        word = self._word(random)
        if key == "area":
            return random.choice((value, f"{word} room", f"{word} {value}"))
        return f"{word} {value.rsplit(maxsplit=1)[-1]}"

    def _word(self, random: Random) -> str:
        """A frequent word, or two run together as in "carport": a word that the vocabulary has to spell."""
        word = random.choice(self.words)
        return word if random.random() > COMPOUND else word[:5] + random.choice(self.words)[:4]


def pick(pattern: str, random: Random) -> str:
    """One reading of a pattern: of each `(a|b)` one at random; single spaces."""
    return " ".join(_CHOICE.sub(lambda choice: random.choice(choice[1].split("|")), pattern).split())


def load_names(side: Side, words: tuple[str, ...] = (), language: str = "en") -> Names:
    """Read `names_<language>.toml`; `words` are for invented values."""
    with (Path(__file__).parent / f"names_{language}.toml").open("rb") as file:
        sections = tomllib.load(file)
    return Names(
        values={name: tuple(section[side]) for name, section in sections.items()},
        side=side,
        words=words,
        compose={name: tuple(section.get("compose", ())) for name, section in sections.items()},
        unseen=frozenset(value for section in sections.values() for value in section["eval"]),
    )
