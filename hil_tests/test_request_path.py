"""The request path as a device sees it: a topic in, a topic out, and an error where one is due."""

from __future__ import annotations

import json
import queue
from typing import Any

import pytest

from firmware_py.contracts.request import MAX_PAYLOAD_BYTES, Qos, Request
from hil_tests.conftest import MESH, Node
from mqtt_bridge.transport.base import Message, Transport
from mqtt_bridge.transport.rpc import Client, new_id
from mqtt_bridge.wire import topics

pytestmark = pytest.mark.hil

DEADLINE_S = 5.0
WAIT_S = 10.0


def _request(text: str) -> Request:
    return Request(new_id(), "home", {"text": text, "lang": "en"}, Qos(deadline_s=DEADLINE_S))


def test_a_command_is_understood_and_the_answer_says_how(client: Client, node: Node) -> None:
    reply = client.ask(_request("turn on the kitchen lights"))
    assert reply.status == "ok"
    assert reply.result is not None
    assert reply.result["label"]
    assert reply.model is not None
    assert len(reply.model.sha256) == 64
    assert reply.route.exit is not None
    assert reply.time.run_s is not None
    if node.simulated:
        assert reply.route.node == node.name
        assert reply.route.simulated


def test_joules_are_given_with_a_bound_or_not_at_all(client: Client) -> None:
    for _ in range(5):
        reply = client.ask(_request(f"turn off lamp number {new_id()[:4]}"))
        energy = reply.energy
        if energy.method == "none":
            assert energy.energy_j is None
        else:
            assert energy.energy_j is not None
            assert energy.u95_j is not None
            # An estimate rests on no sensor of this board; everything else names one.
            assert (energy.source == "none") == (energy.method == "estimated")


def test_the_same_id_gets_one_answer(client: Client) -> None:
    """The kept reply itself: a second run, or an answer from the node's cache, has seconds of its own.

    Asked again is the node that answered: a mesh may have several, and each keeps its own replies.
    """
    request = _request("what is the temperature in the bedroom")
    first = client.ask(request)
    assert first.status == "ok"
    again = client.submit(request, node=first.route.node).result(WAIT_S)
    assert again == first


def test_an_unknown_task_on_a_served_topic_is_refused(raw: Transport) -> None:
    body = {"v": 1, "id": new_id(), "task": "no-such-task", "input": {"text": "hello"}}
    reply = _ask_raw(raw, json.dumps(body).encode())
    assert reply["error"]["code"] == "unknown_task"
    assert reply["error"]["hint"]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"{not json", "malformed"),
        (b"\xff\xfe{}", "invalid_utf8"),
        (b'{"v":2,"id":"1","task":"home","input":{"text":"hi"}}', "version_unsupported"),
        (b'{"v":1,"id":"1","task":"home","input":{}}', "schema_invalid"),
        (b'{"v":1,"id":"1","task":"home","input":{"text":"  "}}', "input_empty"),
        (b" " * (MAX_PAYLOAD_BYTES + 1), "too_large"),
    ],
)
def test_bad_input_gets_a_stable_code(raw: Transport, node: Node, payload: bytes, code: str) -> None:
    reply = _ask_raw(raw, payload)
    assert reply["status"] == "refused"
    assert reply["error"]["code"] == code
    assert reply["error"]["hint"]
    if node.simulated is not None:
        assert reply["route"]["simulated"] is node.simulated


def test_another_clients_reply_topic_is_refused_on_ones_own(raw: Transport) -> None:
    stolen = topics.build("reply", MESH, client="somebody-else", rest="rpc")
    body = {"v": 1, "id": new_id(), "task": "home", "input": {"text": "turn on the light"}}
    reply = _ask_raw(raw, json.dumps(body).encode(), reply_topic=stolen)
    assert reply["error"]["code"] == "reply_topic_refused"


def test_the_node_lives_on_after_all_that(client: Client) -> None:
    assert client.ask(_request("turn on the hallway light")).status == "ok"


def _ask_raw(link: Transport, payload: bytes, reply_topic: str | None = None) -> dict[str, Any]:
    """Publish bytes as they are and read whatever comes back to this client."""
    me = link.options.client_id
    answers: queue.Queue[bytes] = queue.Queue()
    link.subscribe(
        topics.build_filter("reply", MESH, client=me), lambda message: answers.put(message.payload)
    )
    asked = topics.build("request", MESH, task="home", client=me)
    own = topics.build("reply", MESH, client=me, rest="raw")
    link.publish(
        Message(asked, payload, qos=1, response_topic=reply_topic or own, correlation=new_id().encode())
    )
    reply: dict[str, Any] = json.loads(answers.get(timeout=WAIT_S))
    return reply
