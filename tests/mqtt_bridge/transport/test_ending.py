"""When a link may go: nothing more comes for filters that were left."""

from __future__ import annotations

from mqtt_bridge.transport.ending import SILENCE_S, Ending


def test_it_is_over_when_nothing_came_since_the_filter_was_ended_once_more() -> None:
    ending = Ending()
    ending.sent(1)
    ending.heard(0.0, silent=True)
    assert ending.waits()
    ending.confirmed(1)
    ending.heard(0.0, silent=True)
    assert not ending.waits()
    assert not ending.over  # nobody asked yet
    ending.ask_again(2, 0.1)
    ending.heard(0.1, silent=True)
    assert ending.waits()
    ending.confirmed(2)
    assert ending.over


def test_a_message_meanwhile_asks_for_another_round() -> None:
    ending = Ending()
    ending.ask_again(1, 0.0)
    ending.came()
    ending.confirmed(1)
    assert not ending.over
    ending.ask_again(2, 0.1)
    ending.confirmed(2)
    assert ending.over


def test_silence_confirms_what_had_ended_before_and_nothing_else() -> None:
    ending = Ending()
    ending.sent(1)
    ending.ask_again(2, 0.0)
    later_s = SILENCE_S + 0.01
    ending.heard(SILENCE_S, silent=True)
    assert ending.waits()
    ending.heard(later_s, silent=False)
    assert ending.waits()  # something lies unread: it may be what was left
    ending.confirmed(1)
    ending.heard(later_s, silent=False)
    assert ending.waits()
    ending.heard(later_s, silent=True)
    assert not ending.waits()
    ending.sent(3)
    ending.heard(later_s, silent=True)
    assert ending.waits()


def test_a_new_round_knows_nothing_of_what_was_asked_before() -> None:
    ending = Ending()
    ending.ask_again(1, 0.0)
    ending.confirmed(1)
    ending.begin()
    assert not ending.over
    ending.sent(1)
    ending.heard(9.0, silent=True)
    assert ending.waits()


def test_a_link_that_ended_confirms_nothing() -> None:
    ending = Ending()
    ending.sent(1)
    ending.link_ended()
    ending.heard(0.0, silent=False)
    assert not ending.waits()
    ending.confirmed(1)  # of nobody: no error
