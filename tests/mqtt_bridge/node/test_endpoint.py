"""What a node answers on the wire, to good and to bad requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack
import pytest

from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.reply import Energy, Reply, Route
from mqtt_bridge.node.endpoint import Endpoint, NodeIdentity
from mqtt_bridge.testing.scripted_agent import ScriptedAgent
from mqtt_bridge.testing.transport_contract import WAIT_S, until
from mqtt_bridge.transport.base import LinkOptions, Message
from mqtt_bridge.transport.memory import MemoryBroker, MemoryTransport

Make = Callable[..., dict[str, Any]]
REPLY = "ciuic/v1/home/reply/dev/a"
ERROR = "ciuic/v1/home/reply/dev/error"


def test_a_request_is_answered_on_its_topic_with_its_correlation(desk: Any, request_data: Make) -> None:
    data, message = desk.ask(request_data())
    assert (data["status"], data["id"], data["result"]["length"]) == ("ok", "r1", 17)
    assert (message.topic, message.correlation) == (REPLY, b"c1")
    assert message.expiry_s is not None
    assert not message.retain


def test_reply_to_in_the_payload_stands_in_for_the_response_topic(desk: Any, request_data: Make) -> None:
    _data, message = desk.ask(request_data(reply_to="ciuic/v1/home/reply/dev/b"), response=None)
    assert message.topic == "ciuic/v1/home/reply/dev/b"


def test_msgpack_is_answered_in_msgpack(desk: Any, request_data: Make) -> None:
    desk.send(msgpack.packb(request_data()), content_type="application/msgpack")
    message = desk.replies.get(timeout=10)
    assert message.content_type == "application/msgpack"
    assert msgpack.unpackb(message.payload)["status"] == "ok"


BAD: list[tuple[str, Any, str]] = [
    ("not JSON", b"turn on the light", "malformed"),
    ("not an object", b"[1, 2]", "schema_invalid"),
    ("no input", {"v": 1, "id": "r1", "task": "home"}, "schema_invalid"),
    ("text is a number", {"v": 1, "id": "r1", "task": "home", "input": {"text": 5}}, "schema_invalid"),
    ("no version", {"id": "r1", "task": "home", "input": {"text": "x"}}, "schema_invalid"),
    ("wrong version", {"v": 2, "id": "r1", "task": "home", "input": {"text": "x"}}, "version_unsupported"),
    ("unknown task", {"v": 1, "id": "r1", "task": "chess", "input": {"text": "x"}}, "unknown_task"),
    ("empty text", {"v": 1, "id": "r1", "task": "home", "input": {"text": " "}}, "input_empty"),
    (
        "10 000 tokens",
        {"v": 1, "id": "r1", "task": "home", "input": {"text": "a " * 10_000}},
        "input_too_long",
    ),
    ("64 KiB + 1", b'{"v":1,"id":"' + b"x" * (64 * 1024 + 1 - 13), "too_large"),
    ("invalid UTF-8", b'{"v":1,"id":"\xff\xfe"}', "invalid_utf8"),
    ("half a surrogate pair", b'{"v":1,"id":"\\ud800","task":"home","input":{"text":"x"}}', "invalid_utf8"),
    ("65 536 openings", b"[" * 65_536, "malformed"),
    ("NaN", b'{"v":NaN}', "malformed"),
    (
        "deadline past",
        {"v": 1, "id": "r1", "task": "home", "input": {"text": "x"}, "qos": {"deadline_s": 0}},
        "deadline_passed",
    ),
    (
        "stale",
        {"v": 1, "id": "r1", "task": "home", "input": {"text": "x"}, "sent_at": "2026-01-01T00:00:00Z"},
        "deadline_passed",
    ),
]


@pytest.mark.parametrize(("name", "payload", "code"), BAD, ids=[row[0] for row in BAD])
def test_bad_input_gets_a_code_and_a_hint_and_the_node_lives_on(
    desk: Any, request_data: Make, name: str, payload: Any, code: str
) -> None:
    data, message = desk.ask(payload)
    assert data["status"] == "refused"
    assert data["error"]["code"] == code
    assert data["error"]["hint"]
    assert data["result"] is None
    assert message.topic == REPLY
    assert message.correlation == b"c1"
    good, _message = desk.ask(request_data(id="after"))
    assert good["status"] == "ok"


def test_exactly_64_kib_is_read(desk: Any, request_data: Make) -> None:
    data = request_data()
    payload = json.dumps(data).encode()
    data["note"] = "x" * (64 * 1024 - len(payload) - len(', "note": ""'))
    payload = json.dumps(data).encode()
    assert len(payload) == 64 * 1024
    assert desk.ask(payload)[0]["status"] == "ok"


def test_an_unknown_content_type_is_refused_in_json(desk: Any) -> None:
    data, _message = desk.ask(b"\x00\x01", content_type="application/cbor")
    assert data["error"]["code"] == "malformed"


def test_no_reply_topic_is_told_on_the_error_topic(desk: Any, request_data: Make) -> None:
    data, message = desk.ask(request_data(), response=None)
    assert (data["error"]["code"], data["id"], message.topic) == ("reply_topic_missing", "r1", ERROR)


def test_an_unreadable_payload_without_response_topic_is_told_on_the_error_topic(desk: Any) -> None:
    data, message = desk.ask(b"not json", response=None)
    assert (data["error"]["code"], message.topic) == ("malformed", ERROR)


@pytest.mark.parametrize(
    "topic",
    [
        "ciuic/v1/home/reply/other/a",
        "ciuic/v1/home/reply/dev",
        "ciuic/v1/home/reply/dev/",
        "ciuic/v1/home/reply/dev2/a",
        "ciuic/v1/home/reply/dev/#",
        "ciuic/v1/home/reply/+/a",
        "ciuic/v1/other/reply/dev/a",
        "somewhere/else",
        "$SYS/broker",
        "",
        "ciuic/v1/home/reply/dev/" + "x" * 1100,
        "ciuic/v1/home/reply/dev/a" + "/a" * 16,
        "ciuic/v1/home/reply/dev/a\x01",
        "ciuic/v1/home/reply/dev/a\n",
        "ciuic/v1/home/reply/dev/\x85",
        "ciuic/v1/home/reply/dev/\ufffe",
        "ciuic/v1/home/reply/dev/a b",
        "ciuic/v1/home/reply/dev/ä",
    ],
)
@pytest.mark.parametrize("way", ["property", "payload"])
def test_a_reply_topic_that_is_not_the_askers_own_is_refused(
    desk: Any, request_data: Make, topic: str, way: str
) -> None:
    if way == "payload":
        data, message = desk.ask(request_data(reply_to=topic), response=None)
    else:
        data, message = desk.ask(request_data(), response=topic)
    wanted = {"reply_topic_refused"} | ({"reply_topic_missing"} if not topic else set())
    if len(topic) > 1024 and way == "payload":
        wanted = {"schema_invalid", "reply_topic_refused"}
    assert data["error"]["code"] in wanted
    assert message.topic == ERROR
    assert desk.silent()


def test_without_a_client_level_nobody_is_told(desk: Any, request_data: Make) -> None:
    desk.send(json.dumps(request_data()).encode(), topic="ciuic/v1/home/svc/home/infer/")
    desk.send(json.dumps(request_data()).encode(), topic="ciuic/v1/home/node/n1/cmd/infer", response=None)
    desk.send(
        json.dumps(request_data()).encode(), topic="ciuic/v1/home/node/n1/cmd/infer", response="else/where"
    )
    assert desk.silent()
    assert desk.endpoint.counts.dropped == 3


@pytest.mark.parametrize("client", ["my client", "ä", "x" * 65, "x" * 5000, "$share", "a\x01", " "])
def test_a_client_level_that_is_no_name_is_told_below_that_level(
    desk: Any, request_data: Make, client: str
) -> None:
    """Nothing runs, whatever reply topic it names."""
    topic = f"ciuic/v1/home/svc/home/infer/{client}"
    for response in (REPLY, f"ciuic/v1/home/reply/{client}/a", "else/where", None):
        data, message = desk.ask(request_data(), topic=topic, response=response)
        assert (data["status"], data["error"]["code"], data["id"]) == ("refused", "reply_topic_refused", "r1")
        assert message.topic == f"ciuic/v1/home/reply/{client}/error"
        assert message.correlation == b"c1"
        assert len(message.topic) <= len(topic)
    assert desk.ask(b"\xff", topic=topic)[0]["id"] is None
    assert desk.agent.answered == []
    assert desk.ask(request_data(id="after"))[0]["status"] == "ok"


@pytest.mark.parametrize("client", ["a+", "#", "a\0b"])
def test_a_client_level_that_mqtt_forbids_is_dropped(desk: Any, request_data: Make, client: str) -> None:
    """Whoever let it by: to publish on it would end the node's connection."""
    desk.send(json.dumps(request_data()).encode(), topic=f"ciuic/v1/home/svc/home/infer/{client}")
    assert desk.silent()
    assert desk.endpoint.counts.dropped == 1


@pytest.mark.parametrize(("desk", "simulated"), [(True, True), (False, False)], indirect=["desk"])
def test_what_the_endpoint_refuses_says_whether_the_board_is_simulated(
    desk: Any, request_data: Make, simulated: bool
) -> None:
    desk.agent.answer = lambda request: Reply("r1", "ok", Route("n1"), energy=Energy(float("nan")))
    said: dict[str, bool] = {}
    asked: list[tuple[Any, dict[str, Any]]] = [
        (b"not json", {}),
        (request_data(input=...), {}),
        (request_data(v=2), {}),
        (b" " * (64 * 1024 + 1), {}),
        (b"\xff", {}),
        (request_data(task="chess"), {}),
        (request_data(), {"response": None}),
        (request_data(), {"response": "else/where"}),
        (request_data(), {}),
    ]
    for payload, how in asked:
        data, _message = desk.ask(payload, **how)
        said[data["error"]["code"]] = data["route"]["simulated"]
    assert said == dict.fromkeys(
        (
            "malformed",
            "schema_invalid",
            "version_unsupported",
            "too_large",
            "invalid_utf8",
            "unknown_task",
            "reply_topic_missing",
            "reply_topic_refused",
            "internal",
        ),
        simulated,
    )


def test_a_command_to_the_node_is_answered_to_the_client_of_its_reply_topic(
    desk: Any, request_data: Make
) -> None:
    data, message = desk.ask(request_data(), topic="ciuic/v1/home/node/n1/cmd/infer")
    assert (data["status"], message.topic) == ("ok", REPLY)


def test_a_task_in_the_payload_other_than_in_the_topic_is_refused(desk: Any, request_data: Make) -> None:
    data, _message = desk.ask(request_data(task="clinc150"))
    assert data["error"]["code"] == "unknown_task"


def test_a_retained_request_is_dropped(desk: Any, request_data: Make) -> None:
    desk.endpoint._on_message(
        Message("ciuic/v1/home/svc/home/infer/dev", json.dumps(request_data()).encode(), 1, retain=True)
    )
    assert desk.silent()


def test_a_repeat_is_answered_from_the_kept_reply(desk: Any, request_data: Make) -> None:
    first, _message = desk.ask(request_data())
    second, _message = desk.ask(request_data())
    assert first == second
    assert desk.agent.answered == ["r1"]
    assert desk.endpoint.replies.duplicates == 1


def test_a_repeat_of_an_open_request_joins_it(desk: Any, request_data: Make) -> None:
    desk.agent.inline = False
    desk.agent.hold.clear()
    payload = json.dumps(request_data()).encode()
    desk.send(payload)
    desk.send(payload)
    desk.send(payload, response="ciuic/v1/home/reply/dev/b")
    desk.handled(3)
    assert desk.replies.empty()
    desk.agent.hold.set()
    assert {desk.take()[1].topic, desk.take()[1].topic} == {REPLY, "ciuic/v1/home/reply/dev/b"}
    assert desk.silent()
    assert desk.agent.answered == ["r1"]


def test_a_repeat_with_another_correlation_is_answered_too(desk: Any, request_data: Make) -> None:
    desk.agent.inline = False
    desk.agent.hold.clear()
    payload = json.dumps(request_data()).encode()
    for correlation in (b"A", b"B", b"A"):
        desk.send(payload, correlation=correlation)
    desk.handled(3)
    assert desk.replies.empty()
    desk.agent.hold.set()
    assert {desk.take()[1].correlation, desk.take()[1].correlation} == {b"A", b"B"}
    assert desk.silent()


def test_the_same_id_of_another_client_or_with_another_text_is_another_request(
    desk: Any, request_data: Make
) -> None:
    desk.ask(request_data())
    desk.ask(request_data(), topic="ciuic/v1/home/svc/home/infer/dev2", response="ciuic/v1/home/reply/dev2/a")
    data, _message = desk.ask(request_data(input={"text": "other"}))
    assert data["result"]["length"] == 5
    assert len(desk.agent.answered) == 3


def test_a_flood_beyond_the_bound_is_refused_with_a_time_to_come_back(desk: Any, request_data: Make) -> None:
    desk.agent.inline = False
    desk.agent.hold.clear()
    for number in range(40):
        desk.send(json.dumps(request_data(id=f"f{number}")).encode())
    refusals = [desk.take()[0]["error"] for _ in range(30)]  # eight wait, one is worked on
    assert {error["code"] for error in refusals} == {"queue_full"}
    assert all(error["retry_after_s"] > 0 for error in refusals)
    desk.agent.hold.set()
    assert [desk.take()[0]["status"] for _ in range(10)].count("ok") >= 8
    assert desk.ask(request_data(id="after"))[0]["status"] == "ok"


def test_a_refusal_for_lack_of_room_is_not_kept(desk: Any, request_data: Make) -> None:
    desk.agent.inline = False
    desk.agent.hold.clear()
    for number in range(12):
        desk.send(json.dumps(request_data(id=f"f{number}")).encode())
    refused, _message = desk.take()
    assert refused["error"]["code"] == "queue_full"
    desk.agent.hold.set()
    for _ in range(11):
        desk.take()
    again, _message = desk.ask(request_data(id=refused["id"]))
    assert again["status"] == "ok"


def test_a_request_alone_is_not_queued(desk: Any, request_data: Make) -> None:
    queued: list[str] = []
    desk.agent.submit = lambda request, _: queued.append(request.id)
    assert desk.ask(request_data(id="alone"))[0]["status"] == "ok"
    assert queued == []


def test_a_fresh_stamp_and_a_stamp_from_the_future_are_served(desk: Any, request_data: Make) -> None:
    for number, shift_s in enumerate((0, 3600)):
        stamp = (datetime.now(UTC) + timedelta(seconds=shift_s)).isoformat()
        assert desk.ask(request_data(id=f"s{number}", sent_at=stamp))[0]["status"] == "ok"


def test_a_stopping_node_refuses_what_was_on_its_way(desk: Any, request_data: Make) -> None:
    """The broker has handed it over and counts it delivered: no other node will ever answer it."""
    begun, go = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go.wait(10)

    desk.node.call_soon(hold)
    assert begun.wait(10)
    for number in range(5):
        desk.send(json.dumps(request_data(id=f"s{number}")).encode())
    until(lambda: len(desk.node._inbox) == 5)
    desk.endpoint.stop()
    go.set()
    found = [desk.take()[0] for _ in range(5)]
    assert [(data["id"], data["error"]["code"]) for data in found] == [
        (f"s{number}", "shutting_down") for number in range(5)
    ]


def test_a_reply_that_cannot_be_encoded_is_still_one_answer(desk: Any, request_data: Make) -> None:
    honest = desk.agent.answer
    desk.agent.answer = lambda request: replace(honest(request), energy=Energy(float("nan")))
    data, _message = desk.ask(request_data())
    assert (data["status"], data["id"], data["error"]["code"]) == ("failed", "r1", "internal")
    desk.agent.answer = honest
    assert desk.ask(request_data(id="after"))[0]["status"] == "ok"


def test_request_filters_that_the_broker_refuses_are_named() -> None:
    """Those only: a node can be asked without what else it listens to."""
    wanted = {"$share/home/ciuic/v1/home/svc/home/infer/+", "mine"}
    broker = MemoryBroker(refuses=wanted.__contains__)
    link, agent = MemoryTransport(broker, LinkOptions("n1", ())), ScriptedAgent("n1")
    endpoint = Endpoint(link, agent, NodeIdentity("home", "n1", ("home",)), SystemClock())
    link.subscribe("mine", lambda _message: None)
    endpoint.start()
    with link:
        link.wait_up(WAIT_S)
        assert link.refused == wanted
        assert endpoint.refused() == ("$share/home/ciuic/v1/home/svc/home/infer/+",)
        link.unsubscribe("mine")
        assert link.refused == set(endpoint.refused())
        wanted.clear()
        broker.stop()
        broker.restart()
        until(lambda: not endpoint.refused())
    agent.close()
