"""More texts for the teacher to speak about: near neighbours of the training texts, without labels.

Three changes, mixed (TinyBERT, Jiao et al. 2019, section 3.3 replaces words by neighbours of their embedding;
the others are word dropout and splicing): a word becomes one of its nearest neighbours in the teacher's
embedding table; a word is lost; the head of one text meets the tail of another. A crossing changes no word: one
text goes on as another does behind the same word or two, which makes it likelier English. And words that no training text has
stand in for some that it has: what they mean there a student hears from no other text. Only the teacher says what such texts mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

import numpy as np
import numpy.typing as npt

NEIGHBOURS = 8
REPLACED, LOST, SPLICED = 0.25, 0.1, 0.2  # shares of words, of words, of texts
MAX_WORDS = 40
PAIRED = 0.6  # share of crossings behind two equal words, where at least `KNOWN` places have them
KNOWN, TRIES = 3, 4


class Neighbours:
    """Words and their nearest words in an embedding table."""

    def __init__(self, pieces: Sequence[str], table: npt.NDArray[np.float32], words: Sequence[str]) -> None:
        """Take a vocabulary with its table [V,d]; only `words` of it are ever given as replacements."""
        place = {piece: number for number, piece in enumerate(pieces)}
        self._words = [word for word in words if word in place]
        rows = table[[place[word] for word in self._words]]
        self._rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        self._index = {word: number for number, word in enumerate(self._words)}
        self._found: dict[str, list[str]] = {}

    @property
    def words(self) -> Sequence[str]:
        """The words that may be given."""
        return self._words

    def of(self, word: str) -> list[str]:
        """The nearest words, the word itself left out; none for an unknown word."""
        if word not in self._index:
            return []
        found = self._found.get(word)
        if found is None:
            number = self._index[word]
            near = np.argsort(-(self._rows @ self._rows[number]), kind="stable")[: NEIGHBOURS + 1]
            found = self._found[word] = [self._words[n] for n in near if n != number]
        return found


def augment(texts: Sequence[str], neighbours: Neighbours, each: int, seed: int) -> list[str]:
    """About `each` new texts per text, without repeats and without any of the given texts."""
    random = Random(f"augment {seed}")  # noqa: S311 - reproducible draws, no secret
    split = [text.split()[:MAX_WORDS] for text in texts]
    seen, out = {text.lower() for text in texts}, []
    for _ in range(each):
        for words in split:
            text = _change(words, split, neighbours, random)
            if text and text.lower() not in seen:
                seen.add(text.lower())
                out.append(text)
    return out


def cross(texts: Sequence[str], others: Sequence[str], each: int, seed: int) -> list[str]:
    """About `each` crossings of every text with one of `others`, without repeats and without any of the given texts.

    A place where both have the same word, or the same two, is drawn; one text ends there, the other goes on. Which begins is drawn, too.
    A text of two words crosses nowhere: what is left of it would be a word.
    """
    random = Random(f"cross {seed}")  # noqa: S311 - reproducible draws, no secret
    mates = [text.split()[:MAX_WORDS] for text in others]
    places = _places(mates)
    new = _New([*texts, *others])
    for _ in range(each):
        for words in (text.split()[:MAX_WORDS] for text in texts):
            for _ in range(TRIES):
                if new.take(_cross(words, mates, places, random)):
                    break
    return new.taken


def cover(texts: Sequence[str], words: Sequence[str], each: int, seed: int) -> list[str]:
    """About `each` texts per text in which one or two words give way to `words` that no text has, all of those equally often.

    Of two places that are drawn the one whose word is rarer in the texts gets the other word: "turn" and "on" mostly stay.
    """
    random = Random(f"cover {seed}")  # noqa: S311 - reproducible draws, no secret
    split = [text.split()[:MAX_WORDS] for text in texts]
    known = Counter(word.lower() for one in split for word in one)
    strange = [word for word in words if word not in known]
    endless, new = _endless(strange, random), _New(texts)
    for one in [*split] * each if strange else ():
        if len(one) < 2:
            continue
        made, free = list(one), list(range(len(one)))
        for _ in range(1 if len(one) < 5 or random.random() < 0.6 else 2):
            place = min(random.choice(free), random.choice(free), key=lambda at: known[one[at].lower()])
            made[place] = next(endless)
            free.remove(place)
        new.take(" ".join(made))
    return new.taken


class _New:
    """Texts that were made: none is a given one and none comes twice, whatever its case and spaces."""

    def __init__(self, given: Sequence[str]) -> None:
        self._seen = {plain(text) for text in given} | {""}
        self.taken: list[str] = []

    def take(self, text: str) -> bool:
        """Keep it if it is new."""
        if (key := plain(text)) in self._seen:
            return False
        self._seen.add(key)
        self.taken.append(text)
        return True


def plain(text: str) -> str:
    """A text without case, its words one space apart."""
    return " ".join(text.lower().split())


def _endless(words: list[str], random: Random) -> Iterator[str]:
    """All of them in an order drawn anew each round."""
    while True:
        random.shuffle(words)
        yield from words


def _places(texts: Sequence[Sequence[str]]) -> dict[tuple[str, ...], list[tuple[int, int]]]:
    """Behind which word, and which two, a text goes on: (its number, how many words come before)."""
    places: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for number, words in enumerate(texts):
        low = [word.lower() for word in words]
        for before in range(1, len(low)):
            for size in (1, 2)[:before]:
                places.setdefault(tuple(low[before - size : before]), []).append((number, before))
    return places


def _cross(
    words: list[str],
    mates: Sequence[list[str]],
    places: dict[tuple[str, ...], list[tuple[int, int]]],
    random: Random,
) -> str:
    if len(words) < 3:
        return ""
    at = random.randint(1, len(words) - 1)
    low = tuple(word.lower() for word in words[:at])
    found = places.get(low[-2:], []) if random.random() < PAIRED else []
    if len(found) < KNOWN:
        found = places.get(low[-1:], [])
    if not found:
        return ""
    number, before = random.choice(found)
    mate = mates[number]
    made = words[:at] + mate[before:] if random.random() < 0.5 else mate[:before] + words[at:]
    return " ".join(made[:MAX_WORDS])


def _change(words: list[str], every: list[list[str]], neighbours: Neighbours, random: Random) -> str:
    if len(words) > 2 and random.random() < SPLICED:
        other = random.choice(every)
        words = (
            words[: random.randint(1, len(words) - 1)] + other[random.randint(0, max(0, len(other) - 1)) :]
        )
    out = []
    for word in words:
        chance = random.random()
        if chance < LOST and len(words) > 3:
            continue
        near = neighbours.of(word.lower()) if chance < LOST + REPLACED else []
        out.append(random.choice(near) if near else word)
    return " ".join(out[:MAX_WORDS])
