"""More texts for the teacher to speak about: near neighbours of the training texts, without labels.

Three changes, mixed (TinyBERT, Jiao et al. 2019, section 3.3 replaces words by neighbours of their embedding;
the others are word dropout and splicing): a word becomes one of its nearest neighbours in the teacher's
embedding table; a word is lost; the head of one text meets the tail of another. Only the teacher says what
such a text means.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import numpy.typing as npt

NEIGHBOURS = 8
REPLACED, LOST, SPLICED = 0.25, 0.1, 0.2  # shares of words, of words, of texts
MAX_WORDS = 40


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
