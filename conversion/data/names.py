"""Values for open lists: our own names, split into those for training and those for evaluation.

Training also makes names up, so that a slot is known by its place and its kind of word and not by heart: from
the `compose` patterns beside the lists ("(left|old) (spot|lantern)", where `*` is an invented word), and in
English from frequent words put before a listed name's noun. Where an area and a name can stand in the same
place ("the … timer", "the … light") no bare word is made up for either: what a word means must decide, and its
embedding knows more of that than a coin. No name for training is one of evaluation's.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal

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
SPACELESS = ("zh-CN",)  # written without spaces between words
_NO_SECTION = ("numbers", "manners")
_DIGITS = "零一二三四五六七八九"
_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
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

    `words` are frequent ones for invented names, `unseen` the values that training must not make, `numbers` the
    integers that the language writes in words here.
    """

    values: dict[str, tuple[str, ...]]
    side: Side
    words: tuple[str, ...] = ()
    compose: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unseen: frozenset[str] = frozenset()
    numbers: dict[int, str] = field(default_factory=dict)
    language: str = "en"

    @property
    def comma(self) -> str:
        """What stands before a decimal."""
        return "." if self.language in ("en", *SPACELESS) else ","

    def draw(self, section: str, random: Random) -> str:
        """A value of a section (`area`, `light`, `timer_command`, …)."""
        key = _LISTS.get(section, section)
        value = random.choice(self.values[key])
        if self.side == "eval":
            return value
        way = random.random()
        patterns = self.compose.get(key)
        if patterns and way < COMPOSED:
            made = pick(random.choice(patterns), random, self._word)
        elif way > 1.0 - INVENTED and (self.words or self.language != "en"):
            made = self._invented(key, value, random)
        else:
            return value
        return value if made in self.unseen else made

    def _invented(self, key: str, value: str, random: Random) -> str:
        """A name with frequent words in it; the listed value where no word may be made up."""
        if self.language != "en":
            return value if key in ("floor", "command") else self._crossed(key, value, random)
        if key in FREE:
            return " ".join(self._word(random) for _ in range(random.randint(1, 3)))
        if key in AS_LISTED:
            return value
        word = self._word(random)
        if key == "area":
            return random.choice((value, f"{word} room", f"{word} {value}"))
        return f"{word} {value.rsplit(maxsplit=1)[-1]}"

    def _crossed(self, key: str, value: str, random: Random) -> str:
        """The first half of one listed name's last word with the second half of another's."""
        other = random.choice(self.values[key])
        if self.language in SPACELESS:
            return self._word(random) + (other[-1] if len(other) > 1 else "")
        *before, word = value.split()
        end = other.rsplit(maxsplit=1)[-1]
        return " ".join((*before, word[: max(2, len(word) // 2)] + end[len(end) // 2 :]))

    def _word(self, random: Random) -> str:
        """A frequent word, or two run together as in "carport": a word that the vocabulary has to spell."""
        if self.language in SPACELESS:
            return "".join(random.choices(common_characters(), k=random.randint(1, 3)))
        word = random.choice(self.words)
        return word if random.random() > COMPOUND else word[:5] + random.choice(self.words)[:4]


def pick(pattern: str, random: Random, invent: Callable[[Random], str] = lambda _: "") -> str:
    """One reading of a pattern: of each `(a|b)` one at random, `*` invented; single spaces."""
    chosen = _CHOICE.sub(lambda choice: random.choice(choice[1].split("|")), pattern)
    return " ".join(re.sub(r"\*", lambda _: invent(random), chosen).split())


def load_names(side: Side, words: tuple[str, ...] = (), language: str = "en") -> Names:
    """Read `names_<language>.toml`, and `names_shared.toml` for sections that it lacks.

    Args:
        side: of the split.
        words: for invented values; empty: those of the language's own training lists, English without any.
        language: code as in the package of templates.
    """
    raw = read_language(language)
    shared = {} if language == "en" else _read("shared")
    sections = {name: value for name, value in (shared | raw).items() if name not in _NO_SECTION}
    own = tuple(
        sorted(
            {word for one in sections.values() for value in _values(one, "train") for word in _words(value)}
        )
    )
    return Names(
        values={name: _values(section, side) for name, section in sections.items()},
        side=side,
        words=words or (() if language == "en" else own),
        compose={name: tuple(section.get("compose", ())) for name, section in sections.items()},
        unseen=frozenset(value for section in sections.values() for value in _values(section, "eval")),
        numbers=_numbers(language, str(raw.get("numbers", ""))),
        language=language,
    )


@cache
def _read(name: str) -> dict[str, Any]:
    with (Path(__file__).parent / f"names_{name}.toml").open("rb") as file:
        return tomllib.load(file)


def read_language(language: str) -> dict[str, Any]:
    """A language's file as it is: sections, `numbers`, `manners`."""
    return _read(language)


def _values(section: dict[str, Any], side: Side) -> tuple[str, ...]:
    """A section's list, written as a list or as "a|b"."""
    values = section[side]
    return tuple(values.split("|") if isinstance(values, str) else values)


@cache
def common_characters() -> str:
    """The 3,755 most common Chinese characters: the first level of the national standard GB 2312."""
    codes = (bytes((high, low)) for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF))
    return "".join(code.decode("gb2312", "ignore") for code in codes)


def _words(value: str) -> list[str]:
    return [word for word in value.split() if word.isalpha() and (len(word) > 3 or not word.isascii())]


def _numbers(language: str, written: str) -> dict[int, str]:
    """Numbers in words: English and Chinese by rule, others by list (1 to 20, then tens to 100)."""
    if language == "en":
        return {number: number_words(number) for number in range(101)}
    if language in SPACELESS:
        return {number: _chinese(number) for number in range(1, 101)}
    keys = (*range(1, 21), *range(30, 101, 10))
    return dict(zip(keys, written.split(), strict=True))


def number_words(number: int) -> str:
    """An integer from 0 to 100 in English words."""
    if number < 20:
        return _UNITS[number]
    if number == 100:
        return "one hundred"
    tens, units = divmod(number, 10)
    return _TENS[tens] + (f" {_UNITS[units]}" if units else "")


def _chinese(number: int) -> str:
    """An integer from 1 to 100 in Chinese numerals."""
    if number == 100:
        return "一百"
    tens, units = divmod(number, 10)
    head = "" if not tens else "十" if tens == 1 else _DIGITS[tens] + "十"
    return head + (_DIGITS[units] if units else "")
