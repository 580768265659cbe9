"""WordPiece tokens whose spans point into the text exactly as the user sent it.

A text is folded character by character - compatibility decomposition (NFKD), lower case, combining
marks dropped - and each folded character remembers the code point it came from, so that spans stay
right where folding changes the length (`İ`, `ﬁ`, `é` as one or two code points). Words are runs of
letters or of digits (`20c` is a number and its unit, but `3rd` one word); punctuation, symbols and CJK ideographs stand
alone. Words are then cut greedily,
longest piece first, as in BERT (Devlin et al. 2018, WordPiece). ASCII texts take a shorter way to
the same result. A tokenizer that skips punctuation leaves out what a writer, or a program that turns speech into
text, puts between words ("Turn it off, please."); marks between two digits stay: "21.5", "7:30".

Training and device use this one file.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from typing import Protocol

from firmware_py.contracts.errors import BundleFormatError
from firmware_py.contracts.records import record

UNKNOWN = "[UNK]"
PADDING = "[PAD]"
ALONE = "alone"  # the kind of a character that is a word by itself
MAX_WORD_CHARS = 100  # BERT's own bound; a longer word is one unknown token
_CACHE_WORDS = 4096  # about 1 MB; the cache is dropped whole when it is full
_ASCII_WORD = re.compile(r"[a-z]+|[0-9]+(?:st|nd|rd|th)(?![a-z0-9])|[0-9]+|[^\sa-z0-9\x00-\x1f\x7f]")

# As the expression above, without marks but for those between digits.
_ASCII_SPOKEN = re.compile(
    r"[a-z]+|[0-9]+(?:st|nd|rd|th)(?![a-z0-9])|[0-9]+|(?<=[0-9])[.,:](?=[0-9])|[^\sa-z0-9\x00-\x1f\x7f.,:;?!\"()]"
)
_IN_NUMBERS = frozenset(".,:")
_MARKS = _IN_NUMBERS | frozenset(';?!"()¿¡。、“”„‟«»‹›《》〈〉「」『』【】〔〕')

# The CJK blocks that BERT sets apart: unified ideographs, extension A, compatibility, the other planes.
_IDEOGRAPHS = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))

_ORDINAL_ENDS = frozenset({"st", "nd", "rd", "th"})

_Word = tuple[str, list[tuple[int, int]]]  # folded letters, and for each its span in the text
_Piece = tuple[int, int, int]  # id, start and end within the folded word


@record(frozen=True, slots=True)
class Tokens:
    """Token ids and, for each, its span [start, end) in code points of the original text."""

    ids: list[int]
    spans: list[tuple[int, int]]


class Pieces(Protocol):
    """Piece ids with their spans: `Tokens` or `Encoded`."""

    @property
    def ids(self) -> Sequence[int]:
        """Ids in the vocabulary."""

    @property
    def spans(self) -> Sequence[tuple[int, int]]:
        """[start, end) in code points of the text."""


class WordPiece:
    """A vocabulary and its cutter; the only state is a bounded cache of cut words.

    `continues` holds the ids that carry on the word of the piece before them, `unknown` is the id of `[UNK]`.
    """

    __slots__ = (
        "_ascii_word",
        "_cache",
        "_index",
        "_longest",
        "_spoken",
        "_wordless",
        "continues",
        "unknown",
    )

    def __init__(self, vocabulary: list[str], *, skips_punctuation: bool = False) -> None:
        """Take the pieces in id order; continuation pieces begin with `##`.

        Raises:
            BundleFormatError: a piece occurs twice, or `[PAD]` is not first, or `[UNK]` is missing.
        """
        self._spoken = skips_punctuation
        self._ascii_word = _ASCII_SPOKEN if skips_punctuation else _ASCII_WORD
        self._index = {piece: number for number, piece in enumerate(vocabulary)}
        if len(self._index) != len(vocabulary) or self._index.get(PADDING) != 0 or UNKNOWN not in self._index:
            msg = "the vocabulary repeats a piece, does not begin with [PAD], or lacks [UNK]"
            raise BundleFormatError(msg)
        self.unknown = self._index[UNKNOWN]
        self.continues = frozenset(
            number for piece, number in self._index.items() if piece.startswith("##") and len(piece) > 2
        )
        self._wordless = frozenset(
            number
            for piece, number in self._index.items()
            if not piece.isalpha()
            and not any(map(str.isalpha, piece))  # most are letters alone, which is told faster
        ) | {self.unknown}
        self._longest = max(len(piece) for piece in vocabulary)
        self._cache: dict[str, tuple[_Piece, ...]] = {}

    @classmethod
    def from_bytes(cls, data: bytes, *, skips_punctuation: bool = False) -> WordPiece:
        """Read a vocabulary file: UTF-8, one piece a line, in id order.

        Raises:
            BundleFormatError: not UTF-8, or not a vocabulary.
        """
        try:
            lines = data.decode("utf-8").split("\n")
        except UnicodeDecodeError as error:
            msg = "the vocabulary is not UTF-8"
            raise BundleFormatError(msg) from error
        return cls(lines[:-1] if lines[-1] == "" else lines, skips_punctuation=skips_punctuation)

    def __len__(self) -> int:
        """Pieces in the vocabulary."""
        return len(self._index)

    def mostly_knows(self, ids: Sequence[int]) -> bool:
        """Whether there are more known pieces with a letter than unknown words, where there are any of those."""
        strange = ids.count(self.unknown)
        return not strange or sum(number not in self._wordless for number in ids) > strange

    def encode(self, text: str) -> Tokens:
        """Cut a text. Any string is accepted; what has no piece becomes `[UNK]`."""
        if not text.isascii():
            return self._encode_unicode(text)
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        cache, lowered = self._cache, text.lower()
        for found in self._ascii_word.finditer(lowered):
            word, start = found[0], found.start()
            for piece, begin, end in cache.get(word) or self._cut(word):
                ids.append(piece)
                spans.append((start + begin, start + end))
        return Tokens(ids, spans)

    def _encode_unicode(self, text: str) -> Tokens:
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        words = _words(text)
        for word, sources in _unmarked(words) if self._spoken else words:
            for piece, begin, end in self._cache.get(word) or self._cut(word):
                ids.append(piece)
                spans.append((sources[begin][0], sources[end - 1][1]))
        return Tokens(ids, spans)

    def _cut(self, word: str) -> tuple[_Piece, ...]:
        """Greedy longest match; one unknown token for a word that cannot be covered."""
        pieces: list[_Piece] = []
        size, begin = len(word), 0
        while begin < size <= MAX_WORD_CHARS:
            prefix = "##" if begin else ""
            for end in range(min(size, begin + self._longest), begin, -1):
                number = self._index.get(prefix + word[begin:end])
                if number is not None:
                    pieces.append((number, begin, end))
                    begin = end
                    break
            else:
                break
        if begin < size:
            pieces = [(self.unknown, 0, size)]
        if size <= MAX_WORD_CHARS:
            if len(self._cache) >= _CACHE_WORDS:
                self._cache.clear()
            self._cache[word] = tuple(pieces)
        return tuple(pieces)


def count_pieces(data: bytes) -> int:
    """How many pieces a vocabulary file has, without reading them."""
    return data.count(b"\n") + bool(data and not data.endswith(b"\n"))


def continuing_pieces(data: bytes) -> frozenset[int]:
    """The ids of a vocabulary file that carry on a word: `WordPiece.continues` without making one."""
    return frozenset(
        number for number, piece in enumerate(data.split(b"\n")) if piece.startswith(b"##") and len(piece) > 2
    )


def folded_words(text: str) -> list[str]:
    """The words of a text as they are looked up: lower case, without marks, before they are cut into pieces."""
    return [word for word, _ in _words(text)]


def _words(text: str) -> list[_Word]:
    """Folded words, each with the source span of each of its characters."""
    words: list[_Word] = []
    letters: list[str] = []
    sources: list[tuple[int, int]] = []
    open_kind = ""

    def close() -> None:
        if letters:
            words.append(("".join(letters), list(sources)))
            letters.clear()
            sources.clear()

    for position, char in enumerate(text):
        folded = _fold(char)
        if not folded:  # a combining mark belongs to the character before it
            if _is_mark(char) and sources and sources[-1][1] == position:
                sources[-1] = (sources[-1][0], position + 1)
            elif not _is_mark(char):
                close()
            continue
        for kind, letter in folded:
            if kind != open_kind or kind == ALONE:
                close()
            open_kind = kind
            letters.append(letter)
            sources.append((position, position + 1))
    close()
    return _join_ordinals(words)


def _unmarked(words: list[_Word]) -> list[_Word]:
    """The words without punctuation but for marks between two digits."""
    out = []
    for number, (word, sources) in enumerate(words):
        if word in _MARKS:
            around = words[number - 1 : number] + words[number + 1 : number + 2]
            digits = len(around) == 2 and around[0][0][-1].isdecimal() and around[1][0][0].isdecimal()
            touching = (
                digits and around[0][1][-1][1] == sources[0][0] and sources[-1][1] == around[1][1][0][0]
            )
            if word not in _IN_NUMBERS or not touching:
                continue
        out.append((word, sources))
    return out


def _join_ordinals(words: list[_Word]) -> list[_Word]:
    """Make `3` `rd` one word again, as the short way's expression does."""
    out: list[_Word] = []
    for number, (word, sources) in enumerate(words):
        if word in _ORDINAL_ENDS and out and out[-1][0].isascii() and out[-1][0].isdigit():
            follows = words[number + 1] if number + 1 < len(words) else None
            free = follows is None or follows[1][0][0] >= sources[-1][1] + 1 or not follows[0][0].isnumeric()
            if out[-1][1][-1][1] == sources[0][0] and free:
                out[-1] = (out[-1][0] + word, out[-1][1] + sources)
                continue
        out.append((word, sources))
    return out


def _is_mark(char: str) -> bool:
    return unicodedata.category(char).startswith("M")


@functools.lru_cache(maxsize=8192)
def _fold(char: str) -> tuple[tuple[str, str], ...]:
    """Fold one code point to (kind, character) pairs; characters of one kind make a word.

    Spaces, controls, format characters and combining marks fold to nothing.
    """
    lowered = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).lower())
    out: list[tuple[str, str]] = []
    for letter in lowered:
        category = unicodedata.category(letter)
        if category[0] in "MZC":  # marks, separators; controls, format, unassigned, surrogates
            continue
        joins = category[0] in "LN" and not is_ideograph(letter)
        out.append((category[0] if joins else ALONE, letter))
    return tuple(out)


def is_ideograph(char: str) -> bool:
    """Whether a character is a word by itself in Chinese writing."""
    return any(first <= ord(char) <= last for first, last in _IDEOGRAPHS)
