"""Two clients of one id: who gives way, and for how long, without a socket or a second of waiting."""

from __future__ import annotations

import pytest

from mqtt_bridge.transport.rival import YOUNG_S, Rival


def test_who_was_there_first_comes_back_and_who_came_second_gives_way() -> None:
    first, second = Rival(), Rival()
    assert first.ended(1000.0, taken=True) is None
    assert second.ended(0.01, taken=True) is None
    assert first.ended(0.05, taken=True) is None
    assert second.ended(0.01, taken=True) == 5.0
    assert (first.fresh, second.fresh) == (False, True)


def test_the_pause_grows_to_a_minute_and_a_link_that_lasts_forgets_it() -> None:
    found = Rival()
    found.ended(0.1, taken=True)
    assert [found.ended(0.1, taken=True) for _ in range(6)] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert found.ended(YOUNG_S, taken=True) is None
    assert not found.fresh
    assert found.ended(0.1, taken=True) is None
    assert found.ended(0.1, taken=True) == 5.0


@pytest.mark.parametrize("held_s", [0.0, 0.1, 1.0, YOUNG_S, 1000.0])
def test_a_broker_that_says_nothing_names_no_rival(held_s: float) -> None:
    found = Rival()
    assert [found.ended(held_s, taken=False) for _ in range(20)] == [None] * 20
