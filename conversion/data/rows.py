"""Labelled rows as JSON lines, hostile until checked: `{"text", "intent", "slots"?: [[start, end, name]]}`.

What is read here can be written again as JSON in UTF-8, has an intent that nobody takes for "no label", and slots
that lie in the text beside each other.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from conversion.data.sentence import Sentence, Slot
from firmware_py.contracts.errors import DataInvalidError
from firmware_py.tasks.intent import MAX_CHARS

MAX_NAME_CHARS = 200  # of an intent or slot: a manifest takes 256
_UNSEEN = frozenset("CZ")  # categories of Unicode that show nothing: controls, formats, separators
_BREAKS = frozenset(("Cc", "Zl", "Zp"))  # what would break a line of a report
_NAME_HINT = f"A name has 1 to {MAX_NAME_CHARS} characters, one of them visible, no control character, no blank at its ends."


def read_rows(path: Path) -> list[Sentence]:
    """Rows of a JSON-lines file; empty lines are skipped.

    Raises:
        DataInvalidError: what `numbered_rows` finds.
    """
    return [row for _, row in numbered_rows(path)]


def numbered_rows(path: Path) -> Iterator[tuple[int, Sentence]]:
    """Each row with the number of its line.

    Raises:
        DataInvalidError: the file is not UTF-8, or a line is no row; the message names file and line, never the text.
    """
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{path.name} is not UTF-8"
        raise DataInvalidError(msg) from error
    # Not at all that Unicode calls a line's end: a JSON string may hold U+2028 or U+0085 as it is.
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            yield number, _row(line, f"{path.name}:{number}")


def shows(text: str) -> bool:
    """Whether the text has a visible character."""
    return any(unicodedata.category(char)[0] not in _UNSEEN for char in text)


def _row(line: str, where: str) -> Sentence:
    try:
        row = json.loads(line)
        text, intent, marked = row["text"], row["intent"], _marked(row)
        fits = isinstance(text, str) and isinstance(intent, str)
        slots = tuple(_slot(*one) for one in marked)
        # Half of a surrogate pair is no character and cannot be written.
        json.dumps([text, intent, slots], ensure_ascii=False).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        fits = False
    if not fits:
        msg = f"{where} is not a row of text, intent and slots"
        raise DataInvalidError(msg)
    _check_text(text, where)
    _check_name(intent, "intent", where)
    for slot in slots:
        _check_name(slot[2], "slot name", where)
    _check_places(slots, len(text), where)
    return Sentence(text, intent, slots, origin="public")


def _marked(row: dict[str, Any]) -> list[Any]:
    """The slots as they are written; SNIPS calls them spans."""
    either = [row.get(key) for key in ("slots", "spans")]
    if not all(one is None or isinstance(one, list) for one in either):
        raise TypeError
    return either[0] or either[1] or []


def _slot(start: Any, end: Any, name: Any) -> Slot:
    if type(start) is not int or type(end) is not int or not isinstance(name, str):
        raise TypeError
    return start, end, name


def _check_text(text: str, where: str) -> None:
    if len(text) > MAX_CHARS:
        msg = f"{where}: the text has {len(text)} characters, a model reads {MAX_CHARS}"
        raise DataInvalidError(msg, hint="Cut the text into sentences, or take the row out.")


def _check_name(name: str, kind: str, where: str) -> None:
    if not shows(name):
        why = "is blank"
    elif len(name) > MAX_NAME_CHARS:
        why = f"has {len(name)} characters"
    elif any(unicodedata.category(char) in _BREAKS for char in name):
        why = "has a control character"
    elif name != name.strip():
        why = "begins or ends with a blank"
    else:
        return
    msg = f"{where}: the {kind} {why}"
    raise DataInvalidError(msg, hint=_NAME_HINT)


def _check_places(slots: tuple[Slot, ...], length: int, where: str) -> None:
    if not all(0 <= start < end <= length for start, end, _ in slots):
        msg = f"{where}: a slot lies outside its text"
        raise DataInvalidError(msg, hint="Offsets count Unicode code points, the end is exclusive.")
    if any(after[0] < before[1] for before, after in pairwise(sorted(slots))):
        msg = f"{where}: two slots overlap"
        raise DataInvalidError(msg, hint="A word is in one slot at most: keep one of them.")
