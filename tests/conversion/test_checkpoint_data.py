"""A user's rows become five splits, or an error that says which row or intent is at fault."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conversion.checkpoint.data import (
    CHOOSING,
    MIN_TEXTS,
    REPORT,
    check_name,
    read_files,
    texts_of,
    unsayable,
)
from conversion.data.public import cut_splits
from conversion.data.rows import read_rows
from conversion.data.task import SPLITS, inside
from firmware_py.contracts.errors import CiuicError


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def some(
    count: int, intents: tuple[str, ...] = ("on", "off", "oos"), word: str = "text"
) -> list[dict[str, object]]:
    return [
        {"text": f"{word} {n} {intents[n % len(intents)]}", "intent": intents[n % len(intents)]}
        for n in range(count)
    ]


def test_one_file_is_cut_into_five_disjoint_splits(tmp_path: Path) -> None:
    data = read_files("my-task", [write(tmp_path / "all.jsonl", some(600))])
    texts = [row.text for split in SPLITS for row in data.split(split)]
    assert sorted(texts) == sorted(str(row["text"]) for row in some(600))
    assert len(set(texts)) == 600
    assert data.labels == ("off", "on", "oos")
    for split in SPLITS:  # every intent has its share everywhere
        found = Counter(row.intent for row in data.split(split))
        assert min(found.values()) > 0.7 * max(found.values())
        assert len(found) == 3
    assert 0.12 < len(data.report) / 600 < 0.18
    assert data.notes["sources"][0]["rows"] == 600


def few(each: int, intents: tuple[str, ...] = ("on", "off")) -> list[dict[str, object]]:
    """So many different texts of each intent."""
    return [{"text": f"{intent} {n}", "intent": intent} for intent in intents for n in range(each)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("each", "intents"),
    [(5, ("on", "off")), (10, ("on", "off")), (6, ("on", "off", "oos")), (5, ("a", "b", "c", "d", "oos"))],
)
def test_the_smallest_sets_fill_every_split(
    each: int, intents: tuple[str, ...], seed: int, tmp_path: Path
) -> None:
    """Five texts count as they were given; no split is without rows to judge by, no intent without rows to learn."""
    file = write(tmp_path / "a", few(each, intents))
    data = read_files("t", [file], seed=seed)
    for split in SPLITS:
        assert inside(data.split(split)), split
    assert {row.intent for row in data.train} == set(intents) == set(data.labels)
    texts = [row.text for split in SPLITS for row in data.split(split)]
    assert sorted(texts) == sorted(str(row["text"]) for row in few(each, intents))
    assert data == read_files("t", [file], seed=seed)
    two = read_files("t", [file, write(tmp_path / "b", some(9, intents, word="other"))], seed=seed)
    assert all(inside(two.split(split)) for split in SPLITS)


def test_four_texts_are_too_few(tmp_path: Path) -> None:
    rows = few(9) + [{"text": f"rare {n % (MIN_TEXTS - 1)}", "intent": "rare"} for n in range(20)]
    with pytest.raises(CiuicError, match="different texts: rare") as caught:
        read_files("t", [write(tmp_path / "a", rows)])
    assert caught.value.code == "data_invalid"


def test_where_rows_are_many_the_cut_is_that_of_the_public_sets(tmp_path: Path) -> None:
    file = write(tmp_path / "a", some(600))
    data = read_files("t", [file])
    parts = cut_splits(read_rows(file), 0, {"report": REPORT})
    assert data.report == tuple(parts["report"])
    for split, rows in cut_splits(parts["train"], 0, CHOOSING).items():
        assert data.split(split) == tuple(rows)


def test_a_text_with_two_labels_moves_whole(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"text": f"text {n}", "intent": intent} for n in range(6) for intent in ("on", "off")
    ]
    data = read_files("t", [write(tmp_path / "a", rows)])
    where = [{row.text for row in data.split(split)} for split in SPLITS]
    assert sum(map(len, where)) == len(set.union(*where)) == 6
    assert all(where)


def test_texts_of_the_report_file_do_not_count(tmp_path: Path) -> None:
    """What is asked is not trained: an intent whose texts are all in the report file has none left."""
    whole = write(tmp_path / "a", few(6))
    report = write(tmp_path / "b", few(6)[:3])
    with pytest.raises(CiuicError, match="besides those of the report file: on"):
        read_files("t", [whole, report])
    with pytest.raises(CiuicError, match="fewer than two intents besides"):
        read_files("t", [whole, whole])


def test_a_report_file_may_have_foreign_rows_that_training_has_not(tmp_path: Path) -> None:
    report = write(tmp_path / "b", some(9, ("on", "oos"), word="other"))
    data = read_files("t", [write(tmp_path / "a", few(9)), report])
    assert data.labels == ("off", "on")
    assert {row.intent for row in data.report} == {"on", "oos"}
    with pytest.raises(CiuicError, match="no row in scope"):
        read_files("t", [tmp_path / "a", write(tmp_path / "b", some(9, ("oos",), word="other"))])


def test_a_name_of_ours_is_taken() -> None:
    check_name("my-home", taken=("home-en",))
    with pytest.raises(CiuicError, match="one of our models") as caught:
        check_name("home-en", taken=("home-en",))
    assert caught.value.code == "config_invalid"
    assert "my-home-en" in caught.value.hint


def test_the_texts_of_all_files_are_read_as_they_are(tmp_path: Path) -> None:
    assert texts_of([write(tmp_path / "a", few(1)), write(tmp_path / "b", few(1))]) == ["on 0", "off 0"] * 2


def test_two_files_are_training_and_report(tmp_path: Path) -> None:
    train: list[dict[str, object]] = [*some(300), {"text": "TEXT 1 OFF", "intent": "off"}]
    report: list[dict[str, object]] = [*some(40, word="other"), {"text": "text 1 off", "intent": "off"}]
    data = read_files("my-task", [write(tmp_path / "a", train), write(tmp_path / "b", report)], ("de",))
    assert [row.text for row in data.report] == [row["text"] for row in report]
    assert data.languages == ("de",)
    assert data.notes["removed_from_training_because_in_report"] == 2
    asked = {row.text.lower() for row in data.report}
    assert not any(row.text.lower() in asked for split in SPLITS[:-1] for row in data.split(split))


def test_equal_texts_stay_in_one_split(tmp_path: Path) -> None:
    data = read_files("t", [write(tmp_path / "a", some(60) * 5)])
    where = {
        row.text: {split for split in SPLITS for one in data.split(split) if one.text == row.text}
        for row in data.train
    }
    assert all(len(found) == 1 for found in where.values())


def test_slots_are_kept(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"text": f"light {n} on", "intent": "on", "slots": [[0, 5, "thing"]]} for n in range(30)
    ]
    data = read_files("t", [write(tmp_path / "a", rows + some(30))])
    assert data.slots == ("thing",)
    assert any(row.slots == ((0, 5, "thing"),) for row in data.train)


@pytest.mark.parametrize(
    ("slots", "lost"),
    [
        ([[5, 12, "area"], [13, 18, "thing"]], 0),
        ([[5, 12, "area"], [13, 18, "area"]], 2),  # would be read back as one
        ([[5, 9, "area"]], 1),  # ends inside a word
        ([[8, 12, "area"]], 1),  # begins in one
        ([[5, 9, "a"], [9, 12, "b"]], 2),  # half a word each
        ([[4, 12, "area"]], 1),  # begins at a blank
        ([[4, 5, "area"]], 1),  # is a blank
        ([[19, 21, "value"], [21, 22, "unit"]], 0),  # a number and its unit are two words
        ([[24, 29, "place"]], 0),  # letters with marks of their own
    ],
)
def test_slots_that_no_tags_can_say_are_counted_and_told(slots: list[Any], lost: int, tmp_path: Path) -> None:
    row: dict[str, object] = {"text": "turn kitchen light 20c, Ko\u0308ln", "intent": "on", "slots": slots}
    file = write(tmp_path / "a", [*few(9), row])
    assert unsayable(read_rows(file)) == lost
    assert read_files("t", [file]).notes["slots_that_no_tags_can_say"] == lost
    said: list[str] = []
    assert len(texts_of([file], said.append)) == 19
    assert [line.partition(" slots ")[0] for line in said] == ([f"{lost} of {len(slots)}"] if lost else [])


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ('{"text": "a"}\n', "data_invalid", "a.jsonl:1"),
        ("nonsense\n", "data_invalid", "a.jsonl:1"),
        ('{"text": "a", "intent": "b", "slots": [[0, 9, "x"]]}\n', "data_invalid", "a.jsonl:1"),
        ("".join(json.dumps({"text": f"a {n}", "intent": "b"}) + "\n" for n in range(9)), "data_invalid", "two intents"),
        ("".join(json.dumps(row) + "\n" for row in [*some(90), {"text": "z", "intent": "rare"}]), "data_invalid", "rare"),
        ("", "data_invalid", "two intents"),
        ('{"text": " ", "intent": "b"}\n', "data_invalid", "a.jsonl has 1 rows without a text"),
        ('{"text": "a", "intent": "b"}\n{"text": "\\u200b", "intent": "b"}\n', "data_invalid", "1 rows without a text; the first is a.jsonl:2"),
        ('\n{"text": "\\u0001", "intent": "b"}\n{"text": "", "intent": "b"}\n', "data_invalid", "2 rows without a text; the first is a.jsonl:2"),
        ('{"text": "\\u0301\\uff9e", "intent": "b"}\n', "data_invalid", "a.jsonl has 1 rows without a text"),
    ],
)  # fmt: skip
def test_a_fault_in_the_rows_is_named(content: str, code: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(content, "utf-8")
    with pytest.raises(CiuicError) as caught:
        read_files("t", [tmp_path / "a.jsonl"])
    assert caught.value.code == code
    assert words in caught.value.message


def test_other_faults(tmp_path: Path) -> None:
    whole, strange = write(tmp_path / "a", some(90)), write(tmp_path / "b", some(9, ("on", "new")))
    cases = [
        ("data_missing", "t", [tmp_path / "none"]),
        ("data_invalid", "t", [whole, strange]),
        ("config_invalid", "t", [whole, whole, whole]),
        ("config_invalid", "t", []),
        ("config_invalid", "../t", [whole]),
        ("config_invalid", "", [whole]),
    ]
    for code, name, files in cases:
        with pytest.raises(CiuicError) as caught:
            read_files(name, files)
        assert caught.value.code == code
    (tmp_path / "c").write_bytes(b"\xff\xfe{")
    with pytest.raises(CiuicError, match="UTF-8"):
        read_files("t", [tmp_path / "c"])
