"""Which broker is next and when, without a socket or a second of waiting."""

from __future__ import annotations

import random

import pytest

from mqtt_bridge.transport.address import parse_broker
from mqtt_bridge.transport.preference import FIRST_BACKOFF_S, MOST_BACKOFF_S, STABLE_S, Preference


def of(*names: str) -> Preference:
    return Preference(tuple(parse_broker(name) for name in names), random.Random(1))


def test_a_full_round_is_tried_at_once_and_then_comes_a_pause_that_grows_to_a_bound() -> None:
    found = of("a", "b")
    pauses = []
    for _ in range(12):
        assert found.broker.host == "a"
        assert not found.failed(0.0)
        assert found.broker.host == "b"
        assert found.failed(0.0)
        pauses.append(found.retry_s)
    assert pauses[0] <= FIRST_BACKOFF_S
    assert pauses[-1] <= MOST_BACKOFF_S
    assert all(pause >= 0.5 * MOST_BACKOFF_S for pause in pauses[8:])


@pytest.mark.parametrize("held_s", [STABLE_S, 100.0])
def test_a_link_that_held_is_followed_by_the_first_broker_at_once(held_s: float) -> None:
    found = of("a", "b")
    found.failed(0.0)
    found.up(5.0)
    assert found.lost(5.0 + held_s)
    assert (found.broker.host, found.retry_s) == ("a", 0.0)


def test_a_link_that_does_not_hold_is_followed_by_a_pause() -> None:
    found = of("a")
    found.up(5.0)
    assert not found.lost(5.1)
    assert found.retry_s > 5.1


def test_a_link_that_does_not_hold_is_followed_by_the_next_broker_and_a_round_of_them_by_a_pause() -> None:
    found = of("a", "b")
    found.up(5.0)
    assert not found.lost(5.1)
    assert (found.broker.host, found.retry_s) == ("b", 0.0)
    found.up(5.2)
    assert not found.lost(5.3)
    assert found.broker.host == "a"
    assert found.retry_s > 5.3


def test_who_lost_its_id_to_another_does_not_go_to_another_broker() -> None:
    found = of("a", "b")
    found.up(5.0)
    assert not found.lost(5.1, taken=True)
    assert found.broker.host == "a"
    assert found.retry_s > 5.1
