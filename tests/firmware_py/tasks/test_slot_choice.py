"""Slots of a sentence are chosen together: the tag sequence that scores and training speak for, and no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_py.contracts.slot_sets import SlotSets
from firmware_py.tasks.intent import spans_of
from firmware_py.tasks.slot_choice import N_BEST, SlotChoice, n_best, slots_of

AREA, NAME = 0, 1  # slots; tags are one more
ON, OFF = 0, 1  # labels
SETS = SlotSets(1.0, {ON: {(NAME,): 200, (AREA, NAME): 100, (AREA,): 10}})
FOLLOWS = 9  # the id of a piece that goes on a word


@dataclass
class Cut:
    """A text of one-letter pieces."""

    ids: Sequence[int]
    spans: Sequence[tuple[int, int]]


def words(count: int) -> Cut:
    return Cut([1] * count, [(2 * n, 2 * n + 1) for n in range(count)])


def scores(*rows: Sequence[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def choice(sets: SlotSets | None = SETS) -> SlotChoice:
    return SlotChoice(sets, frozenset({FOLLOWS}))


def read(chooser: SlotChoice, said: np.ndarray, cut: Cut, label: int) -> list[int]:
    return chooser.tags(chooser.words(said, cut), label)


UNSURE = scores([0, 0, 9], [9, 0, 0], [0, 3.0, 2.8])  # name, outside, and an area by a hair


@pytest.mark.parametrize("wanted", [(ON, [2, 0, 1]), (OFF, [2, 0, 1])])
def test_what_training_had_stays(wanted: tuple[int, list[int]]) -> None:
    """Area and name stand together; of a label without sets nothing is known."""
    label, tags = wanted
    assert read(choice(), UNSURE, words(3), label) == tags


def test_two_names_become_name_and_area() -> None:
    close = scores([0, 0, 9], [9, 0, 0], [0, 2.8, 3.0])
    assert read(choice(), close, words(3), ON) == [2, 0, 1]
    assert read(choice(), close, words(3), OFF) == [2, 0, 2]
    assert read(choice(SlotSets(0.0, SETS.rows)), close, words(3), ON) == [2, 0, 2]
    assert read(choice(None), close, words(3), ON) == [2, 0, 2]


def test_a_word_that_is_sure_keeps_its_tag_against_all_training() -> None:
    sure = scores([0, 0, 9], [9, 0, 0], [0, 0.0, 9.0])
    assert read(choice(), sure, words(3), ON) == [2, 0, 2]


def test_only_a_word_s_last_piece_is_chosen_and_a_frame_is_no_word() -> None:
    cut = Cut([1, 1, FOLLOWS, 1, FOLLOWS, 1], [(0, 0), (0, 1), (1, 2), (3, 4), (4, 5), (5, 5)])
    close = scores([0, 9, 0], [0, 9, 0], [0, 0, 9], [9, 0, 0], [0, 2.8, 3.0], [0, 9, 0])
    # Words are pieces 2 and 4, side by side: of one slot they would be one span.
    assert read(choice(), close, cut, ON) == [1, 1, 2, 0, 2, 1]
    apart = SlotSets(5.0, {ON: {(AREA, NAME): 1000}})
    assert read(choice(apart), close, cut, ON) == [1, 1, 2, 0, 1, 1]


def test_neighbours_of_one_slot_are_one_span() -> None:
    assert slots_of([2, 2, 0, 1, 2, 1]) == (AREA, AREA, NAME, NAME)
    assert slots_of([0, 0]) == slots_of([]) == ()


@pytest.mark.parametrize("value", [np.nan, inf])
@pytest.mark.parametrize(("place", "tags"), [(0, [0, 0, 2]), (1, [2, 0, 1]), (2, [2, 0, 0])])
def test_a_word_whose_best_score_is_no_number_keeps_its_tag(
    value: float, place: int, tags: list[int]
) -> None:
    broken = scores([0, 0, 9], [9, 0, 0], [0, 2.8, 3.0])  # would become name and area
    broken[place, 0] = value
    assert read(choice(), broken, words(3), ON) == tags


def test_what_cannot_be_is_not_chosen() -> None:
    """The room cannot: the other name has nothing else to be that training had."""
    apart = SlotSets(1.0, {ON: {(AREA, NAME): 100}})
    assert read(choice(apart), scores([0, 0, 9], [9, 0, 0], [0, 2.8, 3.0]), words(3), ON) == [2, 0, 1]
    assert read(choice(apart), scores([0, 0, 9], [9, 0, 0], [0, -inf, 3.0]), words(3), ON) == [2, 0, 2]


def test_a_tie_is_left_as_the_scores_have_it() -> None:
    """The other sequence is worth as much: it loses what its slots gain."""
    even = SlotSets(1.0, {ON: {(AREA,): 1, (NAME,): 3}})
    gain = log(3.5) - log(1.5)
    assert read(choice(even), scores([0, 1.0 + gain, 1.0]), words(1), ON) == [1]
    assert read(choice(even), scores([0, 0.99 + gain, 1.0]), words(1), ON) == [2]


def test_a_text_cut_within_a_word_is_chosen_where_the_text_ends() -> None:
    """Scores are of the kept pieces; the pieces of the text go on."""
    cut = Cut([1, 1, FOLLOWS, FOLLOWS], [(0, 1), (2, 3), (3, 4), (4, 5)])
    close = scores([0, 0, 9], [0, 9, 0], [0, 2.8, 3.0])
    apart = SlotSets(5.0, {ON: {(AREA, NAME): 1000}})
    assert read(choice(apart), close, cut, ON) == [2, 1, 1]
    assert spans_of([2, 1, 1], cut, frozenset({FOLLOWS})) == [(NAME, 0, 1), (AREA, 2, 4)]


@pytest.mark.parametrize("tags", [2, 3, 40])
def test_of_many_sequences_those_that_lose_least_are_compared(tags: int) -> None:
    """Against all sequences of up to twelve places: thousands."""
    random = np.random.default_rng(tags)
    places = {2: 12, 3: 8, 40: 2}[tags]
    losses = [
        sorted((float(loss), tag) for tag, loss in enumerate(row))
        for row in random.exponential(size=(places, tags))
    ]
    for row in losses:
        row[0] = (0.0, row[0][1])
    every = sorted((sum(loss for loss, _ in one), tuple(tag for _, tag in one)) for one in product(*losses))
    best = list(n_best(losses))
    said = [tuple(losses[place][pick][1] for place, pick in enumerate(picks)) for _, picks in best]
    assert len(best) == N_BEST
    assert [loss for loss, _ in best] == pytest.approx([loss for loss, _ in every[:N_BEST]])
    assert set(said) == {one for _, one in every[:N_BEST]}


def test_few_sequences_are_all_there_are() -> None:
    assert [picks for _, picks in n_best([[(0.0, 4), (0.5, 2)], [(0.0, 1)]])] == [(0, 0), (1, 0)]


def test_a_long_text_of_which_nothing_is_sure_is_tagged() -> None:
    """Sixty-four words, each of which may be any of eighty slots: what would be written out has no end."""
    sets = SlotSets(100.0, {ON: {(7,): 10**6}})
    tags = read(choice(sets), np.zeros((64, 81), np.float32), words(64), ON)
    assert len(tags) == 64
    assert all(0 <= tag < 81 for tag in tags)


@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.25, 0.75, 1.5, 4.0]), min_size=3, max_size=3), min_size=1, max_size=3),
    st.dictionaries(
        st.lists(st.integers(0, 1), max_size=3).map(lambda slots: tuple(sorted(slots))), st.integers(1, 500), max_size=4
    ),
    st.sampled_from([0.3, 1.0, 3.0]),
)  # fmt: skip
def test_no_tag_sequence_has_more(
    rows: list[list[float]], sets: Mapping[tuple[int, ...], int], weight: float
) -> None:
    """Against all tag sequences: three words have 27, fewer than are compared."""
    given_scores = scores(*rows)

    def worth(tags: Sequence[int]) -> float:
        said = float(sum(given_scores[place, tag] for place, tag in enumerate(tags)))
        return said + weight * log(sets.get(slots_of(tags), 0) + 0.5)

    chosen = read(choice(SlotSets(weight, {ON: sets} if sets else {})), given_scores, words(len(rows)), ON)
    if sets:
        best = max(worth(tags) for tags in product(range(3), repeat=len(rows)))
        assert worth(chosen) == pytest.approx(best, abs=1e-5)
        if worth(given_scores.argmax(1).tolist()) > best - 1e-9:
            assert chosen == given_scores.argmax(1).tolist()
    else:
        assert chosen == given_scores.argmax(1).tolist()


@given(
    rows=st.lists(st.lists(st.floats(-20.0, 20.0, width=32), min_size=3, max_size=3), min_size=1, max_size=6)
)
def test_how_sure_the_slots_are_is_the_least_sure_word_s_best_tag_against_its_next(
    rows: list[list[float]],
) -> None:
    two = [sorted(row)[1:] for row in rows]
    exact = [np.exp(best) / (np.exp(best) + np.exp(after)) for after, best in two]
    assert choice().words(scores(*rows), words(len(rows))).sure() == pytest.approx(min(exact), rel=1e-5)


def test_pieces_inside_of_a_word_and_a_frame_are_not_asked_how_sure_they_are() -> None:
    cut = Cut([1, 1, FOLLOWS, 1], [(0, 0), (0, 1), (1, 2), (2, 2)])
    said = scores([0, 0, 0], [0, 0, 0], [0, 3, 0], [0, 0, 0])
    assert choice().words(said, cut).sure() == pytest.approx(1 / (1 + np.exp(-3)), rel=1e-5)
    assert choice().words(said[:1], Cut([1], [(0, 0)])).sure() == 1.0  # no word


@pytest.mark.parametrize("strange", [np.nan, inf])
def test_scores_that_are_no_numbers_are_never_sure(strange: float) -> None:
    row, other = [9, 0, 0], [0, strange, 1]
    for said in (scores(row, other), scores(other, row)):
        assert choice().words(said, words(2)).sure() == -1.0
