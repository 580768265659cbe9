"""The reply book forgets in time, and keeps no more than its bound."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest

from firmware_py.contracts.reply import Reply, Route
from firmware_py.contracts.request import Qos, Request
from mqtt_bridge.node.asker import Asker
from mqtt_bridge.node.replies import MOST_ASKERS, ReplyBook, key_of

ASKER = Asker("dev", "re/1", None, None, 1, five=False)


def _request(request_id: str, arrived_s: float = 0.0) -> Request:
    return Request(request_id, "home", {"text": "x"}, Qos(1.0), client="dev", arrived_s=arrived_s)


def _reply(request_id: str) -> Reply:
    return Reply(request_id, "ok", Route("n"))


def test_a_kept_reply_ends_two_seconds_after_the_deadline() -> None:
    book = ReplyBook()
    first = _request("a")
    assert book.enter(key_of(first), first, ASKER) == "new"
    assert book.answer(key_of(first), _reply("a"), 0.0) == [ASKER]
    again = _request("a", 2.9)
    assert book.enter(key_of(again), again, ASKER) == _reply("a")
    late = _request("a", 3.1)
    assert book.enter(key_of(late), late, ASKER) == "new"


def test_the_oldest_go_first_and_the_expired_all() -> None:
    book = ReplyBook(most=2)
    for number in range(3):
        request = _request(str(number))
        book.enter(key_of(request), request, ASKER)
        book.answer(key_of(request), _reply(str(number)), 0.0)
    assert book.enter(key_of(_request("0")), _request("0"), ASKER) == "new"
    assert book.enter(key_of(_request("2")), _request("2"), ASKER) == _reply("2")
    book.expire(10.0)
    assert book.enter(key_of(_request("2")), _request("2"), ASKER) == "new"


@pytest.mark.parametrize("qos", [Qos(1.0, accuracy="careful"), Qos(1.0, energy_j=0.001)])
def test_a_question_with_another_rule_or_budget_is_another_question(qos: Qos) -> None:
    book, first = ReplyBook(), _request("a")
    book.enter(key_of(first), first, ASKER)
    book.answer(key_of(first), _reply("a"), 0.0)
    other = replace(first, qos=qos)
    assert book.enter(key_of(other), other, ASKER) == "new"


def test_each_return_address_of_a_question_is_answered_up_to_a_bound() -> None:
    book, request = ReplyBook(), _request("a")
    askers = [replace(ASKER, correlation=bytes([number])) for number in range(100)]
    for asker in (askers[0], *askers):
        book.enter(key_of(request), request, asker)
    assert book.answer(key_of(request), _reply("a"), 0.0) == askers[:MOST_ASKERS]
    assert book.enter(key_of(request), request, askers[-1]) == _reply("a")


def test_a_reply_that_is_kept_long_does_not_keep_the_others() -> None:
    """Replies hold users' words, which are to be gone when their time is over."""
    book = ReplyBook()
    requests = [_request(str(number)) for number in range(4)]
    requests[0] = replace(requests[0], qos=Qos(3600.0))
    for request in requests:
        book.enter(key_of(request), request, ASKER)
        book.answer(key_of(request), _reply(request.id), 0.0)
    book.expire(10.0)
    assert list(book._entries) == [key_of(requests[0])]
    assert len(book) == 0


def test_a_request_that_was_never_answered_is_not_joined_for_ever() -> None:
    book = ReplyBook()
    request = _request("a")
    book.enter(key_of(request), request, ASKER)
    assert len(book) == 1
    book.expire(10.0)
    assert len(book) == 0
    assert book.answer(key_of(request), _reply("a"), 0.0) == []


def _long_reply(request_id: str) -> Reply:
    """To a long text of which a slot quotes nearly all; each string is its own."""
    words = [chr(0x1F600) * 3999 + mark for mark in "tv"]
    slot = {"name": "n", "text": words[0], "value": words[1], "start": 0, "end": 4000}
    return replace(_reply(request_id), result={"label": "x", "confidence": 1.0, "slots": [slot]})


def test_an_answered_request_is_not_kept_for_an_hour() -> None:
    """A repeat comes within 5 s of the answer where the asker missed it."""
    book = ReplyBook()
    first = replace(_request("a"), qos=Qos(3600.0))
    book.enter(key_of(first), first, ASKER)
    book.answer(key_of(first), _reply("a"), 100.0)
    again = replace(first, arrived_s=129.0)
    assert book.enter(key_of(again), again, ASKER) == _reply("a")
    book.expire(131.0)
    late = replace(first, arrived_s=131.0)
    assert book.enter(key_of(late), late, ASKER) == "new"


def test_kept_replies_are_bounded_by_bytes_and_open_requests_stay() -> None:
    book, held_bytes = ReplyBook(most_bytes=1_000_000), 0
    waiting = replace(_request("open"), qos=Qos(3600.0))
    book.enter(key_of(waiting), waiting, ASKER)
    for reply_of in (_long_reply, _reply):
        tracemalloc.start()
        for number in range(500):
            request = replace(_request(f"{reply_of.__name__}{number}"), qos=Qos(3600.0))
            book.enter(key_of(request), request, replace(ASKER))
            book.answer(key_of(request), reply_of(request.id), 0.0)
        held_bytes = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert 0 < held_bytes < 1_100_000
        assert book.enter(key_of(request), request, ASKER) == reply_of(request.id), "the last one is there"
    assert len(book) == 1
    assert book.answer(key_of(waiting), _reply("open"), 0.0) == [ASKER]
