"""Our client: one answer per question, repeats until it comes, and a count of what came twice."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from firmware_py.contracts.errors import NoReplyError
from firmware_py.contracts.reply import Reply, Route
from firmware_py.contracts.request import Qos, Request
from mqtt_bridge.testing.transport_contract import WAIT_S, until
from mqtt_bridge.transport import rpc
from mqtt_bridge.transport.base import LinkOptions, Message, Protocol
from mqtt_bridge.transport.memory import MemoryBroker, MemoryTransport
from mqtt_bridge.transport.rpc import Client, ClientOptions, new_id
from mqtt_bridge.wire import codec

ASK = "ciuic/v1/home/svc/home/infer/dev"


class Oracle:
    """A responder whose behaviour a test chooses per message."""

    def __init__(self, broker: MemoryBroker, protocol: Protocol) -> None:
        self.link = MemoryTransport(broker, LinkOptions("oracle", (), protocol))
        self.seen: list[Message] = []
        self.behave: Callable[[Message], int] = lambda _message: 1
        self.link.subscribe("ciuic/v1/home/+/+/infer/+", self._on_message)
        self.link.subscribe("ciuic/v1/home/node/+/cmd/infer", self._on_message)

    def _on_message(self, message: Message) -> None:
        self.seen.append(message)
        data = json.loads(message.payload)
        topic = message.response_topic or data["reply_to"]
        reply = Reply(data["id"], "ok", Route("oracle"), {"label": data["input"]["text"]})
        for _ in range(self.behave(message)):
            payload = codec.encode_reply(reply)
            self.link.publish(Message(topic, payload, message.qos, correlation=message.correlation))


class Bench:
    def __init__(self, protocol: Protocol) -> None:
        self.broker = MemoryBroker()
        self.oracle = Oracle(self.broker, protocol)
        self.link = MemoryTransport(self.broker, LinkOptions("dev", (), protocol))
        self.client = Client(self.link, ClientOptions("dev"))

    def start(self) -> None:
        for link in (self.oracle.link, self.link):
            link.start()
            link.wait_up(WAIT_S)

    def close(self) -> None:
        self.link.close()
        self.oracle.link.close()


@pytest.fixture(params=["5", "3.1.1"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    found = Bench(request.param)
    yield found
    found.close()


def _request(text: str = "hello", deadline_s: float = 30.0) -> Request:
    return Request(new_id(), "home", {"text": text}, Qos(deadline_s))


def test_a_question_gets_its_answer(bench: Bench) -> None:
    bench.start()
    reply = bench.client.ask(_request("x"))
    assert (reply.status, reply.result) == ("ok", {"label": "x"})
    assert bench.oracle.seen[0].topic == ASK


def test_many_open_questions_each_get_their_own(bench: Bench) -> None:
    bench.start()
    futures = [bench.client.submit(_request(str(number))) for number in range(100)]
    labels = [future.result(WAIT_S).result for future in futures]
    assert labels == [{"label": str(number)} for number in range(100)]


def test_a_question_to_one_node_goes_to_its_command_topic(bench: Bench) -> None:
    bench.start()
    bench.client.submit(_request(), node="n7").result(WAIT_S)
    assert bench.oracle.seen[0].topic == "ciuic/v1/home/node/n7/cmd/infer"


def test_silence_is_asked_again_with_the_same_bytes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "_FIRST_RETRY_SHARE", 0.0)
    bench.oracle.behave = lambda _message: int(len(bench.oracle.seen) == 3)
    bench.start()
    assert bench.client.ask(_request()).status == "ok"
    assert len({message.payload for message in bench.oracle.seen}) == 1
    assert bench.client.counts.retries >= 2
    assert bench.client.counts.duplicates == 0


def test_replies_that_come_twice_are_dropped_and_counted(bench: Bench) -> None:
    bench.oracle.behave = lambda _message: 3
    bench.start()
    bench.client.ask(_request())
    until(lambda: bench.client.counts.duplicates == 2)
    assert bench.client.counts.answered == 1


def test_a_repeat_that_no_retry_explains_is_told_apart(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """One reply for each time that the question was sent is the node's right; another one is nobody's."""
    monkeypatch.setattr(rpc, "_FIRST_RETRY_SHARE", 0.0)
    monkeypatch.setattr(rpc, "_GROWTH", 1000.0)  # one retry soon, no other for seconds
    bench.oracle.behave = lambda _message: 3 * int(len(bench.oracle.seen) == 2)
    bench.start()
    bench.client.ask(_request())
    counts = bench.client.counts
    until(lambda: counts.duplicates == 2)
    assert (counts.retries, counts.unexplained) == (1, 1)


def test_a_lost_question_may_still_be_answered_as_often_as_it_was_sent(bench: Bench) -> None:
    bench.oracle.behave = lambda _message: 0
    bench.start()
    request = _request(deadline_s=0.01)
    with pytest.raises(NoReplyError):
        bench.client.ask(request)
    counts, late = bench.client.counts, codec.encode_reply(Reply(request.id, "ok", Route("oracle")))
    for _ in range(len(bench.oracle.seen) + 1):
        bench.oracle.link.publish(Message("ciuic/v1/home/reply/dev/rpc", late, 1))
    until(lambda: counts.duplicates == len(bench.oracle.seen) + 1)
    assert counts.unexplained == 1


def test_lost_is_no_reply_by_deadline_and_a_second(bench: Bench) -> None:
    bench.oracle.behave = lambda _message: 0
    bench.start()
    with pytest.raises(NoReplyError):
        bench.client.ask(_request(deadline_s=0.2))
    assert bench.client.counts.lost == 1


def test_an_id_that_is_asked_again_ends_the_first_question_and_not_the_second(bench: Bench) -> None:
    bench.oracle.behave = lambda message: int(b"two" in message.payload)
    bench.start()
    first = bench.client.submit(Request("same", "home", {"text": "one"}, Qos(30.0)))
    second = bench.client.submit(Request("same", "home", {"text": "two"}, Qos(30.0)))
    with pytest.raises(NoReplyError):
        first.result(WAIT_S)
    assert second.result(WAIT_S).result == {"label": "two"}
    counts = bench.client.counts
    assert (counts.asked, counts.answered, counts.lost) == (2, 1, 1)


def test_who_gives_up_on_a_question_does_not_give_up_the_next_of_its_id(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc, "_FIRST_RETRY_SHARE", 0.0)
    answers = queue.Queue[Reply | None]()
    bench.oracle.behave = lambda message: int(b"two" in message.payload and len(bench.oracle.seen) > 2)
    bench.start()
    first = bench.client.send(Request("same", "home", {"text": "one"}, Qos(30.0)), lambda _reply: None)
    bench.client.send(Request("same", "home", {"text": "two"}, Qos(30.0)), answers.put)
    bench.client.forget(first)
    found = answers.get(timeout=WAIT_S)
    assert found is not None
    assert found.result == {"label": "two"}


def test_a_future_that_was_cancelled_takes_no_reply_amiss(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    future = bench.client.submit(_request())
    assert future.cancel()
    bench.start()
    until(lambda: bench.client.counts.answered == 1)
    assert bench.client.ask(_request()).status == "ok"
    assert "a handler raised" not in caplog.text


def test_a_question_survives_an_outage_of_the_broker(bench: Bench) -> None:
    answers = queue.Queue[Reply | None]()
    bench.oracle.behave = lambda _message: int(len(bench.oracle.seen) > 1)
    bench.start()
    bench.client.send(_request(deadline_s=60.0), answers.put)
    until(lambda: len(bench.oracle.seen) == 1)
    bench.broker.stop()
    until(lambda: not bench.link.connected)
    bench.broker.restart()
    reply = answers.get(timeout=WAIT_S)
    assert reply is not None
    assert reply.status == "ok"


def test_a_question_asked_before_the_link_is_up_is_sent_once_it_is(bench: Bench) -> None:
    future = bench.client.submit(_request())
    bench.start()
    assert future.result(WAIT_S).status == "ok"


def test_garbage_on_the_reply_topic_is_a_stray(bench: Bench) -> None:
    bench.start()
    for payload in (b"no reply", b'{"v":1}'):
        bench.oracle.link.publish(Message("ciuic/v1/home/reply/dev/rpc", payload, 1))
    bench.oracle.link.publish(Message("ciuic/v1/home/reply/dev/rpc", _foreign(), 1))
    until(lambda: bench.client.counts.strays == 3)


def _foreign() -> bytes:
    return codec.encode_reply(Reply("unknown", "ok", Route("x")))


def test_the_payload_names_the_reply_topic_whatever_the_node_speaks(bench: Bench) -> None:
    bench.start()
    request = _request()
    bench.client.ask(request)
    data: dict[str, Any] = json.loads(bench.oracle.seen[0].payload)
    assert data == replace(request, reply_to="ciuic/v1/home/reply/dev/rpc").to_dict()
