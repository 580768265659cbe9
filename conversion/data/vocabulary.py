"""A vocabulary cut from MiniLM's WordPieces, so that its embeddings can start the student's.

Kept: every single character and continuation character (any word can be spelled), every piece of the
training texts, and the most frequent of the rest: BERT's own order is by frequency.
"""

from __future__ import annotations

from collections.abc import Iterable

from firmware_py.tasks.text import PADDING, UNKNOWN, WordPiece

SIZE = 16384
_FIRST_WORD = 1996  # BERT's uncased vocabulary: "the" is 1996, single characters stand before


def cut(vocabulary: list[str], texts: Iterable[str], size: int = SIZE) -> list[str]:
    """The pieces to keep, `[PAD]` and `[UNK]` first, the others in the source's order.

    Args:
        vocabulary: of the source, in id order.
        texts: of training, whose pieces are all kept.
        size: pieces in the result, when the source has so many ASCII ones.
    """
    tokenizer = WordPiece(vocabulary)
    used = {piece for text in texts for piece in tokenizer.encode(text).ids}
    keep = {
        number
        for number, piece in enumerate(vocabulary)
        if _plain(piece) and len(piece.removeprefix("##")) == 1
    }
    keep |= used - {vocabulary.index(UNKNOWN)}
    for number in range(_FIRST_WORD, len(vocabulary)):
        if len(keep) >= size - 2:
            break
        piece = vocabulary[number]
        if _plain(piece) and piece.removeprefix("##").isalpha():
            keep.add(number)
    return [PADDING, UNKNOWN, *(vocabulary[number] for number in sorted(keep))]


def common_words(vocabulary: list[str]) -> tuple[str, ...]:
    """Frequent whole words for invented names: letters only, 4 to 9 of them."""
    words = vocabulary[3000:9000]
    return tuple(word for word in words if word.isascii() and word.isalpha() and 4 <= len(word) <= 9)


def _plain(piece: str) -> bool:
    return piece.isascii() and not piece.startswith("[unused") and piece not in {PADDING, UNKNOWN}
