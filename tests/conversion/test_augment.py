"""Texts that are made of others: what a crossing is, and that there is always an end."""

from __future__ import annotations

from collections import Counter

import pytest

from conversion.data import augment
from conversion.data.augment import cover, cross

TEXTS = ("turn on the lamp in the hall", "switch the fan off in the evening", "play The song", "stop")


def is_crossing(text: str) -> bool:
    """Whether it begins as one of the texts and goes on as another does behind the same word."""
    words = text.split()
    for at in range(1, len(words)):
        head, tail = words[:at], words[at:]
        begun = any(one.split()[:at] == head for one in TEXTS)
        behind = [head[-1].lower(), *tail]
        if begun and any([one.split()[-len(tail) - 1].lower(), *one.split()[-len(tail) :]] == behind
                         for one in TEXTS if len(one.split()) > len(tail)):  # fmt: skip
            return True
    return False


def test_a_crossing_goes_on_as_another_text_does_behind_the_same_word() -> None:
    made = cross(TEXTS, TEXTS, 20, 0)
    assert {"turn on the song", "play The evening"} <= set(made)
    assert all(map(is_crossing, made))


def test_no_crossing_is_a_given_text_and_none_comes_twice() -> None:
    made = [text.lower() for text in cross(TEXTS, TEXTS, 20, 0)]
    assert len(set(made)) == len(made)
    assert not set(made) & {text.lower() for text in TEXTS}


def test_equal_seeds_make_equal_crossings() -> None:
    assert cross(TEXTS, TEXTS, 5, 1) == cross(TEXTS, TEXTS, 5, 1) != cross(TEXTS, TEXTS, 5, 2)


@pytest.mark.parametrize("texts", [(), ("",), ("on",), ("one two three",), ("turn on now", "go off today")])
def test_texts_that_share_nothing_make_nothing(texts: tuple[str, ...]) -> None:
    assert cross(texts, texts, 3, 0) == []


def test_a_crossing_is_no_longer_than_texts_may_be() -> None:
    long = [" ".join(f"w{number}" for number in range(start, start + 60)) for start in range(30)]
    assert max(len(text.split()) for text in cross(long, long, 2, 0)) <= 40


def test_with_other_texts_either_may_begin_and_none_is_crossed_with_itself() -> None:
    made = cross(["turn on the lamp"], ["put on the kettle", "sing a song"], 30, 0)
    assert set(made) == {"turn on the kettle", "put on the lamp"}


def test_strange_words_come_equally_often_and_known_ones_never() -> None:
    words = [f"w{number}" for number in range(250)]
    texts = ["play the song of the year", "play the game", "play the song"]
    made = cover(texts, [*words, "song", "play"], 100, 0)
    came = Counter(word for text in made for word in text.split() if word in words)
    assert len(came) > 240  # texts that come twice are left out
    assert set(came.values()) <= {1, 2}  # 340 draws of 250
    for text in made:
        same = [one for one in texts if len(one.split()) == len(text.split())]
        changed = min(sum(a != b for a, b in zip(one.split(), text.split(), strict=True)) for one in same)
        assert changed in (1, 2)


def test_rare_words_give_way_more_often_than_frequent_ones() -> None:
    """Of two places of three, drawn with repeats, the rarest word is among them in 5 of 9 draws, the most frequent one alone in 1 of 9."""
    texts = ["play the game", "the the the", "play"]
    made = [text.split() for text in cover(texts, [f"w{number}" for number in range(900)], 300, 0)]
    ours = [one for one in made if set(one) & {"play", "game"}]
    gave_way = [len(ours) - sum(word in one for one in ours) for word in ("the", "play", "game")]
    assert gave_way[0] < gave_way[1] < gave_way[2]
    assert gave_way[2] > 3 * gave_way[0]


def test_a_crossing_behind_two_words_goes_on_as_texts_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "PAIRED", 1.0)
    others = ["x b c e", "y b c f", "z b c g", "q c h"]
    made = cross(["a b c d"], others, 60, 0)
    assert {"a b c e", "a b c f", "a b c g"} <= set(made)
    assert not [text for text in made if {"h", "q"} & set(text.split())]
    monkeypatch.setattr(augment, "PAIRED", 0.0)
    assert "a b c h" in cross(["a b c d"], others, 60, 0)
    monkeypatch.setattr(augment, "PAIRED", 1.0)
    assert "a b c h" in cross(["a b c d"], others[1:], 60, 0)  # two places are too few


def test_spaces_and_case_make_no_new_text() -> None:
    assert cross(["turn  on the lamp", "Turn on the lamp"], ["turn on  the lamp"], 5, 0) == []


def test_without_words_or_with_texts_of_one_word_nothing_is_covered() -> None:
    assert cover(["play the song"], [], 3, 0) == []
    assert cover(["stop", ""], ["w"], 3, 0) == []
    assert cover(["play it"], ["w"], 2, 1) == cover(["play it"], ["w"], 2, 1)
