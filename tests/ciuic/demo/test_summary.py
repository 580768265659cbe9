"""The demo's verdict: what counts as right, lost, late, and what the summary says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ciuic.demo.screen import WIDE, answer_line, fold, header, joules, summary_lines
from ciuic.demo.sentences import Question, Sentence
from ciuic.demo.summary import Answered, Killed, Played, checks, percentile, summarise
from firmware_py.contracts.errors import CiuicError, DeadlinePassedError, GraphError, QueueFullError
from firmware_py.contracts.reply import Energy, Reply, Route, Status, error_reply

ANSWERED = "every request answered, again only where it was sent again: lost or answered twice"
AMISS = "late, refused or failed answers"
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


def unheard(index: int, error: CiuicError, status: Status = "refused") -> Answered:
    """A reply that says why nothing was understood."""
    reply = error_reply(str(index), error, node="pi5", status=status, simulated=True)
    return replace(answered(index), reply=reply)


def figures_of(answers: list[Answered]) -> dict[str, Any]:
    """The figures of a run in which each of these was asked for once."""
    return summarise(Played(len(answers), answers))


def names_of_missed(answers: list[Answered]) -> list[str]:
    """The checks that do not hold."""
    return [check.name for check in checks(figures_of(answers)) if not check.ok]


def said_of(answers: list[Answered]) -> str:
    """The closing summary."""
    figures = figures_of(answers)
    return "\n".join(summary_lines(figures, checks(figures)))


GOOD = [answered(i) for i in range(80)] + [answered(i, origin="hand") for i in range(80, 100)]


def test_all_right_passes_and_the_summary_says_so() -> None:
    """Right answers pass every check; the lines give joules with their method and 'simulated'."""
    assert names_of_missed(GOOD) == []
    text = said_of(GOOD)
    assert "2.10 ± 0.30 mJ an answer above idle (100 predicted from ina219; simulated board)" in text
    assert "MISS" not in text


def test_one_lost_request_fails() -> None:
    """A request without an answer fails the run, whatever the accuracy."""
    lost = [*GOOD[:-1], replace(GOOD[-1], reply=None)]
    assert ANSWERED in names_of_missed(lost)


def test_an_answer_that_is_missing_or_there_twice_fails() -> None:
    """The number of questions counts, not that of answers; a repeat is no harm where a retry explains it."""
    vanished = summarise(Played(100, GOOD[:-1]))
    assert (vanished["asked"], vanished["answered"], vanished["lost"]) == (100, 99, 1)
    twice = summarise(Played(100, GOOD, repeats=3, unexplained=1))
    assert (twice["answered"], twice["lost"], twice["answered_twice"]) == (100, 0, 1)
    for figures in (vanished, twice):
        assert [check.name for check in checks(figures) if not check.ok] == [ANSWERED]
    explained = summarise(Played(100, GOOD, repeats=3))
    assert (explained["answered_twice"], explained["repeats_dropped"]) == (0, 3)
    assert all(check.ok for check in checks(explained))


def test_refused_and_failed_answers_are_counted_and_shown() -> None:
    """They are answers, but none of them understood anything; more than 1 % with the late ones fails."""
    full, broken = QueueFullError("full"), GraphError("it broke")
    one = [*GOOD[:-1], unheard(99, full)]
    assert names_of_missed(one) == []
    assert "answered     100 of 100" in said_of(one)
    assert "late 0, refused 1, failed 0" in said_of(one)
    two = [*GOOD[:-2], unheard(98, full), unheard(99, broken, "failed")]
    assert names_of_missed(two) == [AMISS]
    assert "late 0, refused 1, failed 1" in said_of(two)
    mixed = [replace(GOOD[0], late=True), *GOOD[1:-1], unheard(99, full)]
    assert names_of_missed(mixed) == [AMISS]


def test_an_answer_both_late_and_refused_counts_once() -> None:
    late = replace(unheard(99, DeadlinePassedError("over")), late=True)
    figures = figures_of([*GOOD[:-1], late])
    assert (figures["late"], figures["refused"], figures["late_refused_failed"]) == (1, 1, 1)
    assert names_of_missed([*GOOD[:-1], late]) == []


def test_the_summary_names_who_answered_after_the_kill() -> None:
    """Questions asked up to the kill are not its share; a run without a kill has no such line."""
    others = [
        replace(a, reply=replace(a.reply, route=Route("orin"))) for a in GOOD[60:] if a.reply is not None
    ]
    figures = summarise(Played(100, GOOD[:60] + others, killed=Killed("pi5", "SIGKILL", 60)))
    assert figures["killed"] == {
        "node": "pi5", "signal": "SIGKILL", "at_request": 60, "asked_after": 40, "answered_after": {"orin": 40},
    }  # fmt: skip
    text = "\n".join(summary_lines(figures, checks(figures)))
    assert "pi5 by SIGKILL at request 60; the 40 asked after it were answered by: orin 40" in text
    assert "SIGKILL" not in said_of(GOOD)


def test_only_answers_count_as_answered_over_3_1_1() -> None:
    old = [replace(a, question=replace(a.question, protocol=4)) for a in GOOD[:10]]
    lost = replace(old[0], reply=None)
    assert figures_of(old + GOOD[10:])["mqtt_3_1_1"] == 10
    assert figures_of([lost, *old[1:], *GOOD[10:]])["mqtt_3_1_1"] == 9


def test_late_and_wrong_answers_fail() -> None:
    """Two late of a hundred are too many; wrong labels count per origin; a rejected one is wrong."""
    late = [replace(a, late=True) for a in GOOD[:2]] + GOOD[2:]
    assert names_of_missed(late) == [AMISS]
    wrong = [answered(i, label="HassTurnOff") for i in range(5)] + GOOD[5:]
    assert names_of_missed(wrong) == ["intent accuracy, templates"]
    rejected = Answered(Question(0, GOOD[0].question.sentence, 5), answered(0, "oos").reply, 0.1, late=False)
    assert not rejected.right


def test_out_of_scope_is_its_own_row() -> None:
    """A refused out-of-scope sentence is right, and is not part of intent accuracy."""
    figures = figures_of([*GOOD, answered(100, "oos")])
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


def test_each_method_is_told_with_the_sensors_that_stand_behind_it() -> None:
    """Nine answers came before the meter had taught the node: no sensor may be named for these."""
    guessed = [
        replace(row, reply=replace(row.reply, energy=replace(ENERGY, method="estimated", source="none")))
        for row in GOOD[:9]
        if row.reply is not None
    ]
    text = said_of([*guessed, *GOOD[9:]])
    assert "(9 estimated without a sensor; 91 predicted from ina219; simulated board)" in text
    unknown = unheard(100, QueueFullError("full"))
    assert "1 unknown; 99 predicted from ina219; simulated board)" in said_of([unknown, *GOOD[1:]])
