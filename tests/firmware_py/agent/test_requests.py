"""One request, one reply: what it says, and what is refused."""

from __future__ import annotations

import pytest

from firmware_py.contracts.errors import named
from firmware_py.contracts.reply import Energy
from firmware_py.contracts.request import Request
from tests.firmware_py.agent.rig import CLOCK, Inbox, Make, ask, code


def test_an_answer_says_where_it_comes_from(make: Make) -> None:
    node = make(charge=lambda record: Energy(energy_j=0.001, u95_j=0.0001, method="estimated"))
    reply = node.answer(ask("please turn off the garden lights", number="abc"))
    assert (reply.id, reply.status) == ("abc", "ok")
    assert reply.result is not None
    assert reply.result["label"] == "turn_off"
    assert reply.result["slots"][0] == {
        "name": "area",
        "value": "garden",
        "text": "garden",
        "start": 20,
        "end": 26,
    }
    assert (reply.route.node, reply.route.exits, reply.route.cache) == ("n1", 3, "off")
    assert reply.route.delegate == "scripted"
    assert reply.energy.energy_j == 0.001
    assert reply.time.run_s is not None
    assert reply.time.run_s > 0.0


def test_out_of_scope_is_an_answer_without_a_result(make: Make) -> None:
    reply = make().answer(ask("sing"))
    assert (reply.status, reply.result, reply.error) == ("out_of_scope", None, None)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (ask("light", task="clinc150"), "unknown_task"),
        (ask("light", accuracy="fastest"), "unknown_accuracy"),
        (ask(""), "input_empty"),
        (ask(" \t …!"), "input_empty"),
        (ask("on " * 513), "input_too_long"),
        (ask("on " * 10_000), "input_too_long"),
        (ask("light", deadline_s=0.0), "deadline_passed"),
        (Request("1", "home", {"audio": "x"}, arrived_s=1e12), "schema_invalid"),
    ],
)
def test_bad_requests_are_refused_with_a_code_and_a_hint(
    make: Make, request_: Request, expected: str
) -> None:
    """The same reply inline and from the queue."""
    node, inbox = make(), Inbox()
    if expected != "deadline_passed":
        request_ = Request(request_.id, request_.task, request_.input, request_.qos, arrived_s=CLOCK.now_s())
    node.submit(request_, inbox)
    for reply in (node.answer(request_), inbox.wait(1)[0]):
        assert (reply.status, code(reply)) == ("refused", expected)
        assert reply.error is not None
        assert reply.error.hint
        assert reply.id == "1"


def test_who_asks_for_what_there_is_not_hears_what_there_is(make: Make) -> None:
    node = make()
    for request, known in (
        (ask("light", task="clinc150"), "It serves: home."),
        (ask("light", accuracy="fastest"), "The model's rules: balanced, careful, thrifty."),
    ):
        error = node.answer(request).error
        assert error is not None
        assert error.hint == known
    assert named(f"{n}" * 99 for n in range(9)).count(",") == 8
    assert named(map(str, range(10**6))) == ", ".join(map(str, range(16))) + ", …"
    assert len(named("x" * 10**6 for _ in range(99))) < 1000


def test_a_long_text_keeps_its_first_tokens(make: Make) -> None:
    reply = make().answer(ask("turn on " + "please " * 30))
    assert (reply.status, reply.route.truncated_tokens) == ("ok", 16)


def test_512_tokens_are_the_most(make: Make) -> None:
    assert make().answer(ask("on " * 512)).route.truncated_tokens == 496
