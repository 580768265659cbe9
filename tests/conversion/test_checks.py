"""The gate refuses what is wrong; figures weigh templates, not rows; calibration finds what was put in."""

from __future__ import annotations

import numpy as np
import pytest

from conversion.check.calibrate import Strangeness, calibration_error, fit_temperature, scope_of, softmax
from conversion.check.cascade import Scope, Truth, judge_rows
from conversion.check.figures import Guesses, auroc, measure, measured_slots
from conversion.check.rows import truth_of
from conversion.data.sentence import Sentence


def truth(*rows: Sentence) -> Truth:
    """Targets of labels x, y and oos."""
    return truth_of(rows, ("x", "y", "oos"))


def test_every_template_weighs_the_same() -> None:
    rows = [Sentence("a", "x", template=1)] * 9 + [Sentence("b", "y", template=2)]
    assert measure(truth(*rows), Guesses(np.zeros(10, int), np.zeros(10)))["accuracy"] == pytest.approx(0.5)


def test_a_rejected_row_is_wrong_and_foreign_rows_stand_beside() -> None:
    rows = [
        Sentence("go home", "x"),
        Sentence("go far", "x"),
        Sentence("sing", "oos"),
        Sentence("dance", "oos"),
    ]
    figures = measure(truth(*rows), Guesses(np.array([-1, 0, -1, 0]), np.array([0.9, 0.1, 0.8, 0.2])))
    assert figures["n"] == 2
    assert figures["accuracy"] == pytest.approx(0.5)
    assert figures["rejected"] == pytest.approx(0.5)
    assert figures["out_of_scope"]["recall"] == pytest.approx(0.5)


def test_a_side_without_in_scope_rows_has_the_recall_alone() -> None:
    rows = [Sentence("sing", "oos"), Sentence("dance", "oos")]
    figures = measure(truth(*rows), Guesses(np.array([-1, 0]), np.array([0.8, 0.2])))
    assert figures == {"n": 0, "out_of_scope": {"n": 2, "recall": 0.5}}


def test_recall_is_also_given_where_the_accuracy_in_scope_is_still_94_percent() -> None:
    rows = [Sentence("a", "x")] * 100 + [Sentence("b", "oos")] * 10
    score = np.concatenate([np.linspace(0.0, 0.5, 100), np.full(5, 0.48), np.full(5, 0.3)])
    figures = measure(truth(*rows), Guesses(np.zeros(110, int), score))
    assert figures["out_of_scope"]["recall_at_94"] == pytest.approx(0.5)


def test_slots_of_rows_that_nobody_marked_have_no_score() -> None:
    assert measured_slots(np.array([[0, 2, 0], [0, 0, 0]]), np.ones(2)) is None
    assert measured_slots(np.array([[0, 2, 1], [0, 0, 0]]), np.ones(2)) == 0.0
    assert measured_slots(np.array([[1, 1, 0], [1, 0, 1]]), np.ones(2)) == pytest.approx(2 / 3, abs=1e-5)


def test_auroc_counts_ties_half() -> None:
    assert auroc(np.array([0.1, 0.2]), np.array([0.3, 0.4])) == 1.0
    assert auroc(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0.5
    assert auroc(np.array([0.9]), np.array([0.1])) == 0.0


def test_a_hidden_temperature_is_found_and_lowers_the_error() -> None:
    random = np.random.default_rng(4)
    true = random.normal(size=(4000, 6)) * 2
    targets = np.array([random.choice(6, p=row) for row in softmax(true)])
    found = fit_temperature(true * 2.5, targets)
    assert found == pytest.approx(2.5, rel=0.1)
    assert calibration_error(true * 2.5, targets, found) < calibration_error(true * 2.5, targets, 1.0)


@pytest.mark.parametrize("by_label", [True, False])
def test_the_scope_threshold_turns_away_few_of_ours(by_label: bool) -> None:
    random = np.random.default_rng(5)
    ours = np.concatenate([random.normal(0, 1, (1000, 2)), random.normal(-6, 1.5, (1000, 1))], axis=1)
    ours[np.arange(1000), random.integers(0, 2, 1000)] += 12
    strange = np.concatenate([random.normal(0, 1, (300, 2)), random.normal(6, 1, (300, 1))], axis=1)
    logits = np.concatenate([ours, strange])
    foreign = np.arange(1300) >= 1000
    scope = scope_of(logits, 1.0, foreign, 2, Strangeness(by_label, 0.005))
    score = judge_rows(logits, 1.0, scope).score
    assert (score[:1000] >= scope.threshold).mean() <= 0.005
    assert (score[1000:] >= scope.threshold).mean() > 0.9


def test_a_threshold_is_not_rounded_below_the_rows_that_it_spares() -> None:
    logits = np.tile([0.0, 0.0, -0.0431], (40, 1))  # all of one score: 0.323825
    scope = scope_of(logits, 1.0, np.zeros(40, bool), 2, Strangeness())
    assert not judge_rows(logits, 1.0, scope).outside.any()


def test_what_the_model_itself_holds_for_foreign_is_turned_away() -> None:
    """However many commands of the split look foreign to it: acting on them is worse than asking again."""
    logits = np.array([[6.0, 0.0, 0.0]] * 90 + [[0.0, 0.0, 5.0]] * 10)  # a tenth of the in-scope rows
    scope = scope_of(logits, 1.0, np.zeros(100, bool), 2, Strangeness())
    assert scope.threshold == 0.5
    assert judge_rows(logits, 1.0, scope).outside.sum() == 10


def test_a_task_without_foreign_rows_turns_nothing_away() -> None:
    assert scope_of(np.zeros((3, 2)), 1.0, np.zeros(3, bool), None, Strangeness()) == Scope()
