"""Rows as arrays keep what was said of each, and come back as they went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conversion.check.rows import (
    RowFile,
    SystemRows,
    lengths_of,
    load_rows,
    save_rows,
    slot_table,
    truth_of,
)
from conversion.data.sentence import Sentence
from firmware_py.contracts.errors import DataInvalidError
from firmware_py.tasks.intent import tags_of
from firmware_py.tasks.text import WordPiece

LABELS = ("off", "on", "oos")
TOKENIZER = WordPiece(["[PAD]", "[UNK]", "turn", "on", "off", "the", "lamp", "kitchen"])
ROWS = [
    Sentence("turn on the lamp", "on", ((12, 16, "name"),), template=7),
    Sentence("turn on the kitchen", "on", ((12, 19, "area"),), template=7),
    Sentence("off", "off", template=3),
    Sentence("what", "oos"),
    Sentence("who", "oos"),
]


def test_rows_of_a_template_weigh_one_together_and_foreign_rows_have_no_target() -> None:
    truth = truth_of(ROWS, LABELS)
    assert truth.target.tolist() == [1, 1, 0, -1, -1]
    assert truth.weight.tolist() == [0.5, 0.5, 1.0, 1.0, 1.0]
    assert truth.group[0] == truth.group[1]
    assert len(set(truth.group.tolist())) == 4
    assert truth.inside.tolist() == [True, True, True, False, False]


def test_a_label_list_without_oos_has_no_foreign_label() -> None:
    assert truth_of(ROWS, ("off", "on")).target.tolist() == [1, 1, 0, -1, -1]


def test_slots_are_counted_as_exact_spans_with_their_names() -> None:
    slots = ("area", "name")
    tags = np.full((5, 8), -1, np.int16)
    for number, (row, told) in enumerate(
        zip(ROWS, [[(1, 12, 16)], [(1, 12, 19)], [(0, 0, 3)], [], []], strict=True)
    ):
        pieces = TOKENIZER.encode(row.text)
        tags[number, : len(pieces.ids)] = tags_of(told, pieces.spans)
    table = slot_table(ROWS, {(4,): tags, (2,): np.full_like(tags, -1)}, slots, TOKENIZER)
    assert table[2,][:2].tolist() == [[0, 0, 1], [0, 0, 1]]
    assert table[4,].tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_lengths_are_the_tokenizer_s() -> None:
    assert lengths_of(ROWS, TOKENIZER, (2, 4)).buckets.tolist() == [4, 4, 2, 2, 2]


def test_a_file_comes_back_as_it_went(tmp_path: Path) -> None:
    truth = truth_of(ROWS, LABELS)
    systems = {
        "dyn8 balanced": SystemRows(
            np.array([True, False, True, True, False]),
            np.array([10**10, 2, 3, 4, 5]),
            np.array([0, 1, 2, 3, 3]),
            np.arange(15).reshape(5, 3),
        ),
        "linear svm": SystemRows(np.array([True, True, True, False, False])),
    }
    for name in ("a.npz", "b.npz"):
        save_rows(tmp_path / name, RowFile("ab" * 32, truth, systems))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = load_rows(tmp_path / "a.npz")
    assert back.sha256 == "ab" * 32
    assert list(back.systems) == list(systems)
    for name, system in systems.items():
        assert (back.systems[name].right == system.right).all()
    ours, svm = back.systems.values()
    assert ours.macs is not None
    assert ours.macs[0] == 10**10
    assert ours.slots is not None
    assert ours.slots.shape == (5, 3)
    assert svm.macs is None
    assert (back.truth.weight == truth.weight).all()


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"no")
    for path in (tmp_path / "x.npz", tmp_path / "absent.npz"):
        with pytest.raises(DataInvalidError, match="not a file of rows"):
            load_rows(path)
