"""The demo asks what it promises: a tenth out of scope, all hand-written ones, some over 3.1.1."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ciuic.demo.sentences import Sentence, load_sentences, plan_questions
from firmware_py.contracts.errors import DataInvalidError, DataMissingError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = (
    [Sentence(f"turn on light {i}", "HassTurnOn", "template") for i in range(150)]
    + [Sentence(f"could you light up {i}", "HassTurnOn", "hand") for i in range(50)]
    + [Sentence(f"sing {i}", "oos", "hand") for i in range(30)]
)


def test_plan_keeps_the_promised_shares() -> None:
    """200 questions: 20 out of scope, every hand-written sentence, 20 over MQTT 3.1.1, none twice."""
    plan = plan_questions(ROWS, 200, 20)
    assert len({q.sentence.text for q in plan}) == 200
    assert [q.index for q in plan] == list(range(200))
    assert sum(not q.sentence.in_scope for q in plan) == 20
    assert sum(q.sentence.in_scope and q.sentence.origin == "hand" for q in plan) == 50
    assert sum(q.protocol == 4 for q in plan) == 20


def test_plan_is_repeatable_and_refuses_too_little() -> None:
    """The same seed asks the same; a file that is too small is refused, not padded."""
    assert plan_questions(ROWS, 100, 5, seed=3) == plan_questions(ROWS, 100, 5, seed=3)
    assert plan_questions(ROWS, 100, 5, seed=3) != plan_questions(ROWS, 100, 5, seed=4)
    with pytest.raises(DataInvalidError):
        plan_questions(ROWS[:40], 200, 20)


def test_load_names_the_bad_line(tmp_path: Path) -> None:
    """A broken row is named by file and line; a missing file has its own code."""
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "a", "intent": "b"}) + "\n\n{}\n", encoding="utf-8")
    with pytest.raises(DataInvalidError, match=":3 "):
        load_sentences(path)
    with pytest.raises(DataMissingError):
        load_sentences(tmp_path / "absent.jsonl")
