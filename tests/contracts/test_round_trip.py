"""Every contract reads back what it writes, and keeps to it when a field from the future is added."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_py.contracts.configuration import RECIPES, Configuration, parse_configuration
from firmware_py.contracts.errors import QueueFullError
from firmware_py.contracts.manifest import parse_manifest
from firmware_py.contracts.reply import (
    METHODS,
    STATUSES,
    Energy,
    ErrorInfo,
    ModelRef,
    Reply,
    Route,
    Timing,
    error_reply,
    parse_reply,
)
from firmware_py.contracts.request import MAX_DEADLINE_S, MAX_PRIORITY, Qos, Request, Session, parse_request

SHORT = st.text(min_size=1, max_size=40)
SECONDS = st.floats(0.0, MAX_DEADLINE_S, allow_nan=False)
JOULES = st.floats(0.0, 1e3, allow_nan=False)

requests = st.builds(
    Request,
    id=SHORT,
    task=SHORT,
    input=st.dictionaries(SHORT, st.text(max_size=80), min_size=1, max_size=3),
    qos=st.builds(
        Qos,
        deadline_s=st.none() | SECONDS,
        priority=st.integers(0, MAX_PRIORITY),
        energy_j=st.none() | JOULES,
        accuracy=st.none() | st.text(max_size=32),
    ),
    sent_at=st.none() | SHORT,
    session=st.none() | st.builds(Session, id=SHORT, seq=st.integers(0, 99), final=st.booleans()),
    reply_to=st.none() | SHORT,
)
replies = st.builds(
    Reply,
    id=st.none() | SHORT,
    status=st.sampled_from(STATUSES),
    result=st.none() | st.dictionaries(SHORT, st.none() | JOULES | SHORT, max_size=3),
    model=st.none() | st.builds(ModelRef, SHORT, SHORT, SHORT),
    route=st.builds(
        Route,
        node=SHORT,
        exit=st.none() | st.integers(0, 9),
        exits=st.none() | st.integers(1, 9),
        widths=st.lists(st.integers(1, 4), max_size=3).map(tuple),
        delegate=st.none() | SHORT,
        fallback=st.none() | SHORT,
        truncated_tokens=st.integers(0, 512),
        over_budget=st.booleans(),
        simulated=st.booleans(),
    ),
    time=st.builds(Timing, st.none() | SECONDS, st.none() | SECONDS),
    energy=st.builds(
        Energy,
        energy_j=st.none() | JOULES,
        u95_j=st.none() | JOULES,
        method=st.sampled_from(METHODS),
        source=SHORT,
        simulated=st.booleans(),
        samples=st.none() | st.integers(0, 10_000),
    ),
    error=st.none() | st.builds(ErrorInfo, SHORT, SHORT, SHORT, st.none() | SECONDS),
)


@given(requests)
def test_a_request_reads_back_equal(request: Request) -> None:
    assert parse_request(request.to_dict()) == request


@given(replies)
def test_a_reply_reads_back_equal(reply: Reply) -> None:
    assert parse_reply(reply.to_dict()) == reply


@given(requests, replies)
def test_fields_from_the_future_are_ignored(request: Request, reply: Reply) -> None:
    assert parse_request({**request.to_dict(), "later": [1]}) == request
    assert parse_reply({**reply.to_dict(), "later": {"x": None}}) == reply


@given(
    st.builds(
        Configuration,
        bucket=st.integers(1, 9999),
        widths=st.lists(st.integers(1, 4), min_size=1, max_size=16).map(tuple),
        rule=st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True),
        recipe=st.sampled_from(RECIPES),
    )
)
def test_a_configuration_reads_back_equal(configuration: Configuration) -> None:
    assert parse_configuration(str(configuration)) == configuration


def test_the_written_form_is_the_one_in_the_design() -> None:
    assert str(Configuration(16, (4, 2, 2), "balanced", "dyn8")) == "16/w4-2-2/balanced/dyn8"


def test_a_manifest_reads_back_equal(manifest: dict[str, Any]) -> None:
    parsed = parse_manifest(manifest)
    assert parse_manifest(parsed.to_dict()) == parsed


@pytest.mark.parametrize("simulated", [True, False])
def test_an_error_reply_says_the_same_of_route_and_energy(simulated: bool) -> None:
    reply = error_reply("7", QueueFullError("64 wait"), node="kitchen", simulated=simulated)
    assert (reply.route.simulated, reply.energy.simulated) == (simulated, simulated)
    assert reply.energy.energy_j is None


def test_an_error_reply_carries_code_hint_and_when_to_ask_again() -> None:
    error = error_reply("7", QueueFullError("64 wait", retry_after_s=0.2), node="kitchen").to_dict()["error"]
    assert error["code"] == "queue_full"
    assert error["retry_after_s"] == 0.2
    assert error["hint"]
