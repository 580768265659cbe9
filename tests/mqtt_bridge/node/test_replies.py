"""The reply book forgets in time, and keeps no more than its bound."""

from __future__ import annotations

from firmware_py.contracts.reply import Reply, Route
from firmware_py.contracts.request import Qos, Request
from mqtt_bridge.node.asker import Asker
from mqtt_bridge.node.replies import ReplyBook, key_of

ASKER = Asker("dev", "re/1", None, None, 1, five=False)


def _request(request_id: str, arrived_s: float = 0.0) -> Request:
    return Request(request_id, "home", {"text": "x"}, Qos(1.0), client="dev", arrived_s=arrived_s)


def _reply(request_id: str) -> Reply:
    return Reply(request_id, "ok", Route("n"))


def test_a_kept_reply_ends_two_seconds_after_the_deadline() -> None:
    book = ReplyBook()
    first = _request("a")
    assert book.enter(key_of(first), first, ASKER) == "new"
    assert book.answer(key_of(first), _reply("a")) == [ASKER]
    again = _request("a", 2.9)
    assert book.enter(key_of(again), again, ASKER) == _reply("a")
    late = _request("a", 3.1)
    assert book.enter(key_of(late), late, ASKER) == "new"


def test_the_oldest_go_first_and_the_expired_all() -> None:
    book = ReplyBook(most=2)
    for number in range(3):
        request = _request(str(number))
        book.enter(key_of(request), request, ASKER)
        book.answer(key_of(request), _reply(str(number)))
    assert book.enter(key_of(_request("0")), _request("0"), ASKER) == "new"
    assert book.enter(key_of(_request("2")), _request("2"), ASKER) == _reply("2")
    book.expire(10.0)
    assert book.enter(key_of(_request("2")), _request("2"), ASKER) == "new"


def test_a_request_that_was_never_answered_is_not_joined_for_ever() -> None:
    book = ReplyBook()
    request = _request("a")
    book.enter(key_of(request), request, ASKER)
    assert len(book) == 1
    book.expire(10.0)
    assert len(book) == 0
    assert book.answer(key_of(request), _reply("a")) == []
