"""Texts that are made of others: what a crossing is, and that there is always an end."""

from __future__ import annotations

import pytest

from conversion.data.augment import cross

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
