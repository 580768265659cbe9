"""Payloads: hostile bytes become one of our errors, nothing else, and values come back unchanged."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_py.contracts.errors import MalformedError, RequestError, TooLargeError
from firmware_py.contracts.reply import Energy, ErrorInfo, ModelRef, Reply, Route, Timing
from firmware_py.contracts.request import Qos, Request, Session, parse_request
from mqtt_bridge.wire import codec

CONTENT_TYPES = [None, "application/json", "application/msgpack", "text/plain; charset=utf-8"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=300), st.sampled_from([*CONTENT_TYPES, "application/cbor"]))
def test_any_bytes_are_read_or_refused_with_our_error(payload: bytes, content_type: str | None) -> None:
    with contextlib.suppress(RequestError):
        parse_request(codec.decode_payload(payload, content_type))


@given(PLAIN, st.sampled_from(CONTENT_TYPES))
def test_values_come_back(value: Any, content_type: str | None) -> None:
    data = {"x": value}
    assert codec.decode_payload(codec.encode_payload(data, content_type), content_type) == data


@given(TEXT, TEXT, st.sampled_from(CONTENT_TYPES))
def test_a_request_comes_back(text: str, task: str, content_type: str | None) -> None:
    request = Request(
        "id-1",
        task,
        {"text": text},
        Qos(1.5, 7, 0.25, "balanced"),
        "2026-01-01T00:00:00Z",
        Session("s", 3, final=True),
        "re/ply",
        client="dev",
        arrived_s=5.0,
    )
    payload = codec.encode_request(request, content_type)
    data = codec.decode_payload(payload, content_type)
    assert parse_request(data, client="dev", arrived_s=5.0) == request


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_a_reply_comes_back(content_type: str | None) -> None:
    reply = Reply(
        "r",
        "ok",
        Route("n", 1, 3, (4,), "xnnpack", "miss", configuration="16/w4-4-4/balanced/dyn8"),
        {"label": "HassTurnOn", "confidence": 0.9, "slots": []},
        ModelRef("home-en", "1", "0" * 64),
        Timing(0.001, 0.002),
        Energy(0.001, 0.0001, method="predicted", source="ina219", simulated=True, rate_hz=500.0, samples=9),
    )
    assert codec.decode_reply(codec.encode_reply(reply, content_type), content_type) == reply


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_a_reply_may_be_longer_than_its_request(content_type: str | None) -> None:
    """The longest text may come back as a slot's value and text; a client must not take that for garbage."""
    words = "x" * 60_000
    slot = {"name": "name", "value": words, "text": words, "start": 0, "end": 60_000}
    reply = Reply("r", "ok", Route("n"), {"label": "HassTurnOn", "confidence": 0.9, "slots": [slot]})
    assert codec.decode_reply(codec.encode_reply(reply, content_type), content_type) == reply
    endless = Reply("r", "ok", Route("n"), {"label": "x" * codec.MAX_REPLY_BYTES})
    with pytest.raises(TooLargeError):
        codec.decode_reply(codec.encode_reply(endless, content_type), content_type)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_depth_is_bounded(opening: bytes) -> None:
    with pytest.raises(MalformedError):
        codec.decode_payload(opening * 400)


def test_brackets_in_a_text_are_no_depth() -> None:
    data = {"text": '[{"' * 5000 + "\\" * 20}
    assert codec.decode_payload(json.dumps(data).encode()) == data


def test_unclosed_strings_cost_linear_time() -> None:
    """Quadratic scanning of these 64 KiB would take minutes and so hang this test."""
    with pytest.raises(RequestError):
        codec.decode_payload(b'"\\' * 32_000 + b"[" * 100)


def test_msgpack_depth_and_size_are_bounded() -> None:
    with pytest.raises(MalformedError):
        codec.decode_payload(b"\x91" * 60_000, "application/msgpack")
    with pytest.raises(MalformedError):
        codec.decode_payload(b"\x91" * 20 + b"\x90", "application/msgpack")
    with pytest.raises(MalformedError):
        codec.decode_payload(b"\xdd\xff\xff\xff\xff", "application/msgpack")
    with pytest.raises(TooLargeError):
        codec.decode_payload(msgpack.packb(b"x" * 70_000), "application/msgpack")


def test_errors_do_not_quote_the_payload() -> None:
    for payload in (b"secret words", b'{"v":"secret"}', b'{"v":1,"id":"secret","task":5}'):
        with pytest.raises(RequestError) as caught:
            parse_request(codec.decode_payload(payload))
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


SLOTS = st.fixed_dictionaries(
    {"name": TEXT, "value": TEXT | st.integers() | st.floats(-1e9, 1e9) | st.booleans(), "text": TEXT, "start": st.just(3), "end": st.just(5)},
    optional={"id": TEXT},
)  # fmt: skip
ANSWERS = st.fixed_dictionaries(
    {"label": TEXT, "confidence": st.floats(0, 1), "slots": st.lists(SLOTS, max_size=3)}
)
NUMBERS = st.none() | st.floats(0, 1e9) | st.integers(0, 10**6)


@given(
    request_id=st.none() | TEXT,
    result=st.none() | st.dictionaries(TEXT, PLAIN, max_size=3) | ANSWERS,
    texts=st.tuples(TEXT, TEXT, TEXT),
    numbers=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    failed=st.booleans(),
)
def test_the_lean_encoder_writes_what_the_plain_one_would(
    request_id: str | None, result: Any, texts: Any, numbers: Any, failed: bool
) -> None:
    route = Route(texts[0], 1, 3, (4, 2), texts[1], None, texts[2], over_budget=failed)
    reply = Reply(
        request_id,
        "failed" if failed else "ok",
        route,
        result,
        None if failed else ModelRef(*texts),
        Timing(numbers[0], numbers[1]),
        Energy(numbers[2], numbers[3], source=texts[0], simulated=failed, rate_hz=numbers[4], samples=7),
        ErrorInfo("internal", texts[0], texts[1], numbers[0]) if failed else None,
    )
    plain = json.dumps(reply.to_dict(), separators=(",", ":"), ensure_ascii=False).encode()
    assert codec.encode_reply(reply) == plain


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_is_never_sent(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        codec.encode_reply(Reply("r", "ok", Route("n"), energy=Energy(value)))
