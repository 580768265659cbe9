"""Public sets as tasks: what is in the report is nowhere else, and nothing else moves for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conversion.data.public import SHARES, cut_splits, read_task, report_texts
from conversion.data.rows import read_rows
from conversion.data.task import SPLITS

CHOSEN = SPLITS[:-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small sets; of 200 training texts of snips7 the report asks three, one in capitals, one drawn twice."""
    texts = [f"play song {n}" if n % 2 else f"rate book {n}" for n in range(200)]
    rows = [{"text": text, "intent": text.split()[0]} for text in [*texts, texts[3]]]
    asked = [*texts[1:3], texts[3].upper(), "play nothing known"]
    report = [{"text": text, "intent": text.split()[0].lower()} for text in asked]
    for name in ("snips7", "clinc150"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
        (tmp_path / name / "val.jsonl").write_text("\n".join(map(json.dumps, report)), "utf-8")
    return tmp_path


def test_a_text_of_the_report_is_in_no_other_split(folder: Path) -> None:
    data = read_task("snips7", folder)
    asked = {row.text.lower() for row in data.report}
    assert not asked & {row.text.lower() for split in CHOSEN for row in data.split(split)}
    assert data.notes["removed_from_training_because_in_report"] == 4
    assert sum(len(data.split(split)) for split in CHOSEN) == 197


def test_what_is_taken_out_moves_no_other_row(folder: Path) -> None:
    data = read_task("snips7", folder)
    asked = {row.text.lower() for row in data.report}
    whole = cut_splits(read_rows(folder / "snips7" / "train.jsonl"), 0, SHARES)
    for split in CHOSEN:
        assert list(data.split(split)) == [row for row in whole[split] if row.text.lower() not in asked]


def test_the_report_texts_of_every_set_in_the_folder_are_known(folder: Path) -> None:
    (folder / "snips7" / "val.jsonl").write_text('{"text": "Hum a Song", "intent": "play"}', "utf-8")
    texts = report_texts(folder)
    assert {"hum a song", "play nothing known"} <= texts
    assert "play song 1" in texts  # of the other set


def test_marked_slots_are_read_under_either_name(tmp_path: Path) -> None:
    rows = [{"text": "play jazz", "intent": "play", name: [[5, 9, "genre"]]} for name in ("slots", "spans")]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert [row.slots for row in read_rows(tmp_path / "rows.jsonl")] == [((5, 9, "genre"),)] * 2
