"""When a link goes back to an earlier broker, without a socket or a second of waiting."""

from __future__ import annotations

from mqtt_bridge.transport.way_back import HELD_S, WayBack


def test_the_first_broker_of_the_list_looks_for_nothing_better_and_nor_does_who_shall_not() -> None:
    assert WayBack(20.0).settled(0, 5.0) is None
    assert WayBack(0.0).settled(1, 5.0) is None
    assert WayBack(20.0).settled(1, 5.0) == 20.0


def test_an_earlier_broker_must_answer_twice_in_a_row() -> None:
    found = WayBack(20.0)
    found.settled(2, 0.0)
    seen = [found.seen(place) for place in (0, None, 0, 1, 1)]
    assert seen == [False, False, False, False, True]


def test_what_was_seen_from_another_link_does_not_count() -> None:
    found = WayBack(20.0)
    found.settled(1, 0.0)
    found.seen(0)
    found.settled(1, 5.0)
    assert not found.seen(0)


def test_each_move_that_fails_doubles_the_wait_up_to_a_bound() -> None:
    found = WayBack(20.0)
    waits = [found.settled(1, 0.0)]
    for _ in range(7):
        found.moving(0)
        waits.append(found.settled(1, 0.0))
    assert waits == [20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 640.0, 640.0]
    assert WayBack(20.0).stayed() == 40.0


def test_a_link_that_does_not_hold_after_a_move_counts_as_failed_and_one_that_holds_forgives() -> None:
    found = WayBack(20.0)
    at_s = 0.0
    for held_s, wait_s in ((1.0, 40.0), (HELD_S - 1, 80.0), (HELD_S, 20.0), (2.0, 40.0)):
        found.moving(0)
        assert found.settled(0, at_s) is None
        at_s += held_s
        found.ended(at_s)
        assert found.settled(1, at_s) == wait_s


def test_a_loss_without_a_move_before_is_no_failure() -> None:
    found = WayBack(20.0)
    found.settled(0, 0.0)
    found.ended(1.0)
    assert found.settled(1, 1.0) == 20.0
    found.ended(2.0)
    assert found.settled(1, 2.0) == 20.0
