"""The demo's verdict: what counts as right, lost, late, and what the summary says of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ciuic.demo.screen import WIDE, answer_line, fold, header, joules, summary_lines
from ciuic.demo.sentences import Question, Sentence
from ciuic.demo.summary import Answered, checks, percentile, summarise
from firmware_py.contracts.reply import Energy, Reply, Route

ENERGY = Energy(0.0021, 0.0003, method="predicted", source="ina219", simulated=True)


def answered(
    index: int, intent: str = "HassTurnOn", *, label: str | None = None, origin: str = "template"
) -> Answered:
    """One answer; without a label of its own it is the right one."""
    sentence = Sentence(f"sentence {index}", intent, origin)
    outside = intent == "oos"
    result = None if outside else {"label": label or intent, "confidence": 0.9, "slots": []}
    reply = Reply(
        id=str(index),
        status="out_of_scope" if outside else "ok",
        route=Route(node="pi5", exit=1, exits=3, simulated=True),
        result=result,
        energy=ENERGY,
    )
    return Answered(Question(index, sentence, 5), reply, 0.004, late=False)


def names_of_missed(answers: list[Answered]) -> list[str]:
    """The checks that do not hold."""
    return [check.name for check in checks(summarise(answers)) if not check.ok]


GOOD = [answered(i) for i in range(80)] + [answered(i, origin="hand") for i in range(80, 100)]


def test_all_right_passes_and_the_summary_says_so() -> None:
    """Right answers pass every check; the lines give joules with their method and 'simulated'."""
    assert names_of_missed(GOOD) == []
    text = "\n".join(summary_lines(summarise(GOOD), checks(summarise(GOOD))))
    assert "2.10 ± 0.30 mJ an answer above idle (100 predicted; source ina219, simulated board)" in text
    assert "MISS" not in text


def test_one_lost_request_fails() -> None:
    """A request without an answer fails the run, whatever the accuracy."""
    lost = [*GOOD[:-1], replace(GOOD[-1], reply=None)]
    assert "every request answered exactly once: lost" in names_of_missed(lost)


def test_late_and_wrong_answers_fail() -> None:
    """Two late of a hundred are too many; wrong labels count per origin; a rejected one is wrong."""
    late = [replace(a, late=True) for a in GOOD[:2]] + GOOD[2:]
    assert names_of_missed(late) == ["late answers"]
    wrong = [answered(i, label="HassTurnOff") for i in range(5)] + GOOD[5:]
    assert names_of_missed(wrong) == ["intent accuracy, templates"]
    rejected = Answered(Question(0, GOOD[0].question.sentence, 5), answered(0, "oos").reply, 0.1, late=False)
    assert not rejected.right


def test_out_of_scope_is_its_own_row() -> None:
    """A refused out-of-scope sentence is right, and is not part of intent accuracy."""
    figures = summarise([*GOOD, answered(100, "oos")])
    assert figures["n_template"] + figures["n_hand"] == 100
    assert figures["out_of_scope_recall"] == 1.0


def test_unknown_joules_are_said() -> None:
    """Unknown energy prints as unknown, never as 0."""
    assert joules(Energy()) == "unknown"
    assert "0 J" not in answer_line(
        replace(GOOD[0], reply=replace(GOOD[0].reply or Reply("1", "ok", Route("n")), energy=Energy()))
    )


def test_percentiles_are_nearest_ranks() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(number) for number in range(200)], 0.99) == 197.0
    assert percentile([], 0.5) is None


@pytest.mark.parametrize("width", [80, 100, 120, 139])
def test_the_table_fits_its_terminal(width: int) -> None:
    """A narrow table clips words and never wraps; heads stand over their columns."""
    long = replace(GOOD[0], question=Question(199, Sentence("a word " * 9, "HassTurnOn", "hand"), 4))
    lines = [header(width), answer_line(long, width)]
    assert max(map(len, lines)) <= width
    assert lines[0].index("exit") == lines[1].index("1/3")
    assert "2.10 ± 0.30 mJ pred. sim" in lines[1]
    assert "(MQTT 3.1.1)" in answer_line(long, WIDE)
    assert max(map(len, fold("joules       " + "word " * 60, width).splitlines())) <= width
