"""A user's rows become five splits, or an error that says which row or intent is at fault."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from conversion.checkpoint.data import read_files
from conversion.data.task import SPLITS
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
    ("content", "code", "words"),
    [
        ('{"text": "a"}\n', "data_invalid", "a.jsonl:1"),
        ("nonsense\n", "data_invalid", "a.jsonl:1"),
        ('{"text": "a", "intent": "b", "slots": [[0, 9, "x"]]}\n', "data_invalid", "a.jsonl:1"),
        ("".join(json.dumps({"text": f"a {n}", "intent": "b"}) + "\n" for n in range(9)), "data_invalid", "two intents"),
        ("".join(json.dumps(row) + "\n" for row in [*some(90), {"text": "z", "intent": "rare"}]), "data_invalid", "rare"),
        ("", "data_invalid", "two intents"),
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
