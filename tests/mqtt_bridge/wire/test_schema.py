"""Schema and parser say the same, and what the node sends fits its schema."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_py.contracts.errors import CiuicError, QueueFullError
from firmware_py.contracts.node_state import (
    Birth,
    CostLine,
    EnergyReport,
    Heartbeat,
    Reconciled,
    ServedTask,
    State,
)
from firmware_py.contracts.reply import error_reply, parse_reply
from firmware_py.contracts.request import parse_request
from mqtt_bridge.wire.schema import SCHEMAS

GOOD_REQUEST: dict[str, Any] = {
    "v": 1,
    "id": "r1",
    "task": "home",
    "input": {"text": "x", "lang": "en"},
    "qos": {"deadline_s": 0.05, "priority": 5, "energy_j": 0.003, "accuracy": "balanced"},
    "sent_at": "2026-01-01T00:00:00Z",
    "session": {"id": "s", "seq": 1, "final": False},
    "reply_to": "a/b",
}
GOOD_REPLY: dict[str, Any] = {
    "v": 1,
    "id": "r1",
    "status": "ok",
    "result": {"label": "x"},
    "model": {"name": "m", "version": "1", "sha256": "0"},
    "route": {"node": "n", "exit": 1, "exits": 3, "widths": [4], "delegate": None, "simulated": False},
    "time": {"queue_s": 0.5, "run_s": None},
    "energy": {"energy_j": 0.5, "u95_j": 0.25, "method": "predicted", "samples": 3, "rate_hz": 0.5},
    "error": {"code": "x", "message": "m", "hint": "h", "retry_after_s": 0.5},
}
# An integral float is left out: JSON Schema calls 1.0 an integer, our wire does not.
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.integers(2**53 - 2, 2**53 + 2),
    st.sampled_from([-0.5, 0.5, 3600.5]),
    st.sampled_from(
        ["", "x", "x" * 33, "x" * 65, "x" * 129, "x" * 257, "x" * 1025, "x" * 4097, "ok", "none"]
    ),
    st.just([]),
    st.just([1]),
    st.just(["x"]),
    st.just([True]),
    st.just([0] * 65),
    st.just({}),
    st.just({"text": "x"}),
    st.just({"text": 1}),
)


def _paths(data: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path] if path else []
    if isinstance(data, dict):
        for key, value in data.items():
            found += _paths(value, (*path, key))
    return found


def _changed(data: Any, path: tuple[str, ...], value: Any, *, drop: bool) -> Any:
    copy = json.loads(json.dumps(data))
    inner = copy
    for key in path[:-1]:
        inner = inner.get(key)
        if not isinstance(inner, dict):
            return copy
    if drop:
        inner.pop(path[-1], None)
    else:
        inner[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("name", "good", "parser"), [("request", GOOD_REQUEST, parse_request), ("reply", GOOD_REPLY, parse_reply)]
)
@settings(max_examples=400)
@given(data=st.data())
def test_schema_and_parser_agree(name: str, good: dict[str, Any], parser: Any, data: st.DataObject) -> None:
    value = good
    for _ in range(data.draw(st.integers(0, 3))):
        path = data.draw(st.sampled_from(_paths(good)))
        value = _changed(value, path, data.draw(VALUES), drop=data.draw(st.booleans()))
    fits = jsonschema.Draft202012Validator(SCHEMAS[name]).is_valid(value)
    try:
        parser(value)
        parsed = True
    except CiuicError:
        parsed = False
    assert parsed is fits, value


def test_the_good_ones_are_good() -> None:
    for name, good in (("request", GOOD_REQUEST), ("reply", GOOD_REPLY)):
        jsonschema.Draft202012Validator(SCHEMAS[name]).validate(good)


def test_what_a_node_says_fits() -> None:
    birth = Birth(
        "n",
        1,
        "simulated",
        True,
        (ServedTask("home", "intent", ("en",), "m", "1", "0"),),
        "2026-01-01T00:00:00Z",
    )
    beat = Heartbeat(
        "n",
        1,
        0,
        1,
        2,
        3,
        None,
        "none",
        True,
        costs=(
            CostLine("16/w4/balanced/dyn8", 0.1, 0.01),
            CostLine("16/w4/balanced/dyn8", 0.1, 0.01, 0.2, 0.02, "0" * 64),
        ),
    )
    sums = Reconciled(
        1, 1.0, 2.5, -0.001, 0.002, 0.0005, -0.001, 0.0005
    )  # a quiet window may meter below zero
    reply = error_reply(None, QueueFullError("full", retry_after_s=0.5), node="n")
    for name, value in (
        ("birth", birth.to_dict()),
        ("state", State("n", 1, "lost").to_dict()),
        ("heartbeat", beat.to_dict()),
        ("energy", EnergyReport("n", 1, sums, "ina219", "predicted", False).to_dict()),
        ("reply", reply.to_dict()),
    ):
        jsonschema.Draft202012Validator(SCHEMAS[name]).validate(json.loads(json.dumps(value)))


def test_every_schema_is_a_schema() -> None:
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
