"""Vocabularies: one cut from MiniLM's WordPieces, one of our own for eight languages.

Cut, so that MiniLM's embeddings can start the student's: every single character and continuation character
(any word can be spelled), every piece of the training texts, and of the rest those nearest to the names that a
house is known to have, else the most frequent ones: BERT's own order is by frequency.

Of our own: every character of the training texts, the words that occur often in them, and pieces merged by
byte-pair counts over the distinct words (Sennrich et al. 2016), each word counted by the logarithm of its
frequency. Rare words are left to pieces on purpose: a name never seen is spelled with pieces that training has
met. What is left of the table are English words near to the names that a house is known to have, as above. Ideographs are pieces of one character, as the tokenizer cuts them: those of GB 2312's first level, from which
training's invented names are made too; any other is [UNK].
"""

from __future__ import annotations

import heapq
import itertools
import math
import string
from collections import Counter
from collections.abc import Iterable

from conversion.data.names import common_characters
from conversion.data.task import TaskData
from firmware_py.tasks.text import PADDING, UNKNOWN, WordPiece, folded_words

SIZE = 16384
MERGES = 6000  # pieces of two or more characters for spelling words
LEAST_WORD = 4  # letters of a word from another vocabulary: shorter ones begin words of every language
OFTEN = 25  # times in the training texts: from here a word is a piece of its own
_LEAST, _NEAR = 1.0, 1e-6  # a pair's weight from where it is merged, and where two weights are one
_FIRST_WORD = 1996  # BERT's uncased vocabulary: "the" is 1996, single characters stand before


def cut(
    vocabulary: list[str], texts: Iterable[str], size: int = SIZE, order: Iterable[int] | None = None
) -> list[str]:
    """The pieces to keep, `[PAD]` and `[UNK]` first, the others in the source's order.

    Args:
        vocabulary: of the source, in id order.
        texts: of training, whose pieces are all kept.
        size: pieces in the result, when the source has so many ASCII ones.
        order: ids of the source in which the rest is taken; None for its own.
    """
    tokenizer = WordPiece(vocabulary)
    used = {piece for text in texts for piece in tokenizer.encode(text).ids}
    keep = {
        number
        for number, piece in enumerate(vocabulary)
        if _plain(piece) and len(piece.removeprefix("##")) == 1
    }
    keep |= used - {vocabulary.index(UNKNOWN)}
    for number in range(_FIRST_WORD, len(vocabulary)) if order is None else order:
        if len(keep) >= size - 2:
            break
        piece = vocabulary[number]
        if number >= _FIRST_WORD and _plain(piece) and piece.removeprefix("##").isalpha():
            keep.add(number)
    return [PADDING, UNKNOWN, *(vocabulary[number] for number in sorted(keep))]


def common_words(vocabulary: list[str]) -> tuple[str, ...]:
    """Frequent whole words for invented names: letters only, 4 to 9 of them."""
    words = vocabulary[3000:9000]
    return tuple(word for word in words if word.isascii() and word.isalpha() and 4 <= len(word) <= 9)


def _plain(piece: str) -> bool:
    return piece.isascii() and not piece.startswith("[unused") and piece not in {PADDING, UNKNOWN}


def multi_vocabulary(data: TaskData, others: Iterable[str] = (), size: int = SIZE) -> list[str]:
    """The pieces for a task of several languages, `[PAD]` and `[UNK]` first, then in sorted order.

    Args:
        data: whose training texts are spelled.
        others: pieces of another vocabulary, the best first: its whole words fill what is left of `size`. Its inner pieces
            would cut words of other languages where training never saw them cut.
        size: pieces in the result, more where spelling alone needs more.
    """
    counts = Counter(word for row in data.train for word in folded_words(row.text))
    heads = {char for word in counts for char in word} | set(
        string.ascii_lowercase + string.digits + "'%°.,?!-"
    )
    if "zh" in data.languages:
        heads |= set(common_characters())
    inner = {f"##{char}" for word in counts if len(word) > 1 for char in word[1:]}
    inner |= {f"##{char}" for char in string.ascii_lowercase + string.digits}
    often = {word for word, count in counts.items() if count >= OFTEN}
    pieces = heads | inner | often | set(merged(counts, MERGES))
    for piece in others:
        if len(pieces) >= size - 2:
            break
        if piece.isascii() and piece.isalpha() and len(piece) >= LEAST_WORD:
            pieces.add(piece)
    return [PADDING, UNKNOWN, *sorted(pieces)]


def merged(counts: Counter[str], merges: int) -> list[str]:
    """Byte-pair merges over the distinct words; ties go to the pair that sorts first, so the result is fixed.

    Args:
        counts: of folded words; a word weighs 1 + log2 of its count.
        merges: pieces wanted, fewer when every word is one piece.
    """
    words = [[word[0], *(f"##{char}" for char in word[1:])] for word in sorted(counts) if len(word) > 1]
    weights = [1.0 + math.log2(counts[word]) for word in sorted(counts) if len(word) > 1]
    pairs: dict[tuple[str, str], float] = {}
    where: dict[tuple[str, str], set[int]] = {}

    def note(number: int, sign: float) -> None:
        symbols = words[number]
        for pair in itertools.pairwise(symbols):
            pairs[pair] = pairs.get(pair, 0.0) + sign * weights[number]
            where.setdefault(pair, set()).add(number)

    for number in range(len(words)):
        note(number, 1.0)
    heap = [(-weight, pair) for pair, weight in pairs.items()]
    heapq.heapify(heap)
    out: list[str] = []
    while len(out) < merges and heap:
        weight, best = heapq.heappop(heap)
        if pairs.get(best, 0.0) < _LEAST:
            continue
        if abs(weight + pairs[best]) > _NEAR:  # counted anew since it was pushed
            heapq.heappush(heap, (-pairs[best], best))
            continue
        piece = best[0] + best[1].removeprefix("##")
        out.append(piece)
        touched: set[tuple[str, str]] = set()
        for number in sorted(where.pop(best)):
            note(number, -1.0)
            words[number] = _joined(words[number], best, piece)
            note(number, 1.0)
            touched.update(itertools.pairwise(words[number]))
        pairs.pop(best, None)
        for pair in sorted(touched):
            heapq.heappush(heap, (-pairs[pair], pair))
    return out


def _joined(symbols: list[str], pair: tuple[str, str], piece: str) -> list[str]:
    out: list[str] = []
    for symbol in symbols:
        if out and (out[-1], symbol) == pair:
            out[-1] = piece
        else:
            out.append(symbol)
    return out
