"""Rows are read as they were written, or refused by file and line: never in part, never with a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conversion.checkpoint.data import read_files
from conversion.data.rows import MAX_NAME_CHARS, numbered_rows, read_rows
from conversion.data.task import load, save
from firmware_py.contracts.errors import DataInvalidError
from firmware_py.tasks.intent import MAX_CHARS

GOOD = '{"text": "lamp on", "intent": "on", "slots": [[0, 4, "thing"]]}\n'


def row(**changes: Any) -> str:
    return json.dumps({"text": "turn the lamp on", "intent": "on"} | changes) + "\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (row(intent=""), "the intent is blank"),
        (row(intent=" "), "the intent is blank"),
        (row(intent="\u200b"), "the intent is blank"),
        (row(intent="a\nb"), "the intent has a control character"),
        (row(intent="a\u2028b"), "the intent has a control character"),
        (row(intent="on "), "the intent begins or ends with a blank"),
        (row(intent="x" * (MAX_NAME_CHARS + 1)), f"the intent has {MAX_NAME_CHARS + 1} characters"),
        (row(intent="x" * 100_000), "the intent has 100000 characters"),
        (row(slots=[[0, 4, ""]]), "the slot name is blank"),
        (row(slots=[[0, 4, "a\x00"]]), "the slot name has a control character"),
        (row(slots=[[0, 4, "x" * 300]]), "the slot name has 300 characters"),
        (row(slots=[[9, 13, "a"], [0, 10, "b"]]), "two slots overlap"),
        (row(slots=[[9, 13, "a"], [9, 13, "a"]]), "two slots overlap"),
        (row(slots=[[0, 99, "a"]]), "a slot lies outside its text"),
        (row(slots=[[-1, 3, "a"]]), "a slot lies outside its text"),
        (row(slots=[[4, 4, "a"]]), "a slot lies outside its text"),
        (row(text="x" * (MAX_CHARS + 1)), f"the text has {MAX_CHARS + 1} characters"),
    ],
)
def test_what_no_model_could_use_is_refused_by_its_line(line: str, words: str, tmp_path: Path) -> None:
    refused(tmp_path, line, words)


@pytest.mark.parametrize(
    "line",
    [
        row(text="turn \ud83d on"),
        row(intent="\ud83d"),
        row(slots=[[0, 4, "\ud83d"]]),
        row(slots=[[4.9, 11.2, "a"]]),
        row(slots=[[False, True, "a"]]),
        row(slots=[[0, float("inf"), "a"]]),
        '{"text": "turn the lamp on", "intent": "on", "slots": [[0, 1e400, "x"]]}\n',
        '{"text": "turn the lamp on", "intent": "on", "slots": [[0, ' + "9" * 5000 + ', "x"]]}\n',
        '{"text": "a", "intent": "b", "slots": ' + "[" * 100_000 + "]" * 100_000 + "}\n",
        "[" * 100_000 + "\n",
        row(slots=[[0, 4]]),
        row(slots=[[0, 4, None]]),
        row(slots=["abc"]),
        row(slots={"a": 1}),
        row(slots=0),
        row(spans="abc"),
        row(text=None),
        row(intent=1),
        "[]\n",
        "7\n",
        '"text"\n',
    ],
)
def test_what_is_no_row_is_refused_by_its_line(line: str, tmp_path: Path) -> None:
    refused(tmp_path, line, "is not a row of text, intent and slots")


def refused(folder: Path, line: str, words: str) -> None:
    path = folder / "rows.jsonl"
    path.write_text(GOOD + "\n" + line, "utf-8")
    with pytest.raises(DataInvalidError) as caught:
        read_rows(path)
    assert caught.value.message.startswith("rows.jsonl:3")
    assert words in caught.value.message
    assert caught.value.hint


def test_what_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b"\xff\xfe{")
    with pytest.raises(DataInvalidError, match="UTF-8"):
        read_rows(tmp_path / "rows.jsonl")


def test_a_row_may_hold_what_json_allows(tmp_path: Path) -> None:
    """A mark of the byte order, Windows' line ends, and in a string what Unicode calls a line's end."""
    texts = ["lamp\u2028on", "lamp\u0085on", "lamp\x0con", "lamp\u2029on", "\U0001f4a1 on"]
    lines = [json.dumps({"text": text, "intent": "on"}, ensure_ascii=False) for text in texts]
    lines.append('{"text": "\\ud83d\\udca1 off", "intent": "on"}')  # a whole pair is a character
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert [(number, one.text) for number, one in numbered_rows(path)] == [
        *enumerate(texts, 1),
        (6, "\U0001f4a1 off"),
    ]


def test_slots_side_by_side_are_no_overlap(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(row(slots=[[9, 13, "b"], [5, 9, "a"]]), "utf-8")
    assert read_rows(tmp_path / "rows.jsonl")[0].slots == ((9, 13, "b"), (5, 9, "a"))


def test_what_was_read_can_be_kept(tmp_path: Path) -> None:
    """A file of strange but legal rows comes back as it was from the file that a build keeps."""
    rows = [
        row(text=f"{word} {n}\u2028", intent=word, slots=[[0, 2, "größe"]])
        for word in ("ein", "aus")
        for n in range(20)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(rows), "utf-8")
    data = read_files("t", [path])
    save(data, tmp_path / "data.json")
    assert load(tmp_path / "data.json") == data
