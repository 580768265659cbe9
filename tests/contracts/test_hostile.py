"""Whatever arrives, a parser answers with a value or with one of our errors, and never quotes it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_py.contracts.configuration import parse_configuration
from firmware_py.contracts.errors import BundleFormatError, CiuicError, ConfigError, SchemaError, VersionError
from firmware_py.contracts.manifest import parse_manifest
from firmware_py.contracts.reply import parse_reply
from firmware_py.contracts.request import parse_request
from tests.documents import changed

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)

REQUEST: dict[str, Any] = {
    "v": 1,
    "id": "1",
    "task": "home",
    "input": {"text": "turn on the light"},
    "qos": {"deadline_s": 1.0, "priority": 5, "energy_j": 0.1, "accuracy": "balanced"},
    "session": {"id": "s", "seq": 0, "final": False},
    "reply_to": "ciuic/v1/home/reply/me/x",
    "sent_at": "2026-01-01T00:00:00Z",
}
REPLY: dict[str, Any] = {
    "v": 1,
    "id": "1",
    "status": "ok",
    "result": {"label": "HassTurnOn"},
    "model": {"name": "home-en", "version": "1", "sha256": "0" * 64},
    "route": {"node": "kitchen", "exit": 1, "widths": [4]},
    "time": {"queue_s": 0.0, "run_s": 0.001},
    "energy": {"energy_j": 0.001, "u95_j": 0.0001, "method": "predicted"},
    "error": {"code": "x", "message": "y", "hint": "z"},
}


def _paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(data, dict):
        for key, value in data.items():
            found += _paths(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data[:2]):
            found += _paths(value, (*path, index))
    return found


@pytest.mark.parametrize("path", [path for path in _paths(REQUEST) if "session" not in path])
@given(value=anything | st.sampled_from([0, 1, 2.0, 9, 10, True, 3600, 1e308, "", "x" * 129, {}, {"a": "b"}]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_short_way_through_a_request_says_what_the_long_one_says(
    path: tuple[Any, ...], value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = changed({**REQUEST, "session": None}, path, value)

    def said() -> Any:
        try:
            return parse_request(data, client="c", arrived_s=1.0)
        except CiuicError as error:
            return type(error), error.message

    short = said()
    with monkeypatch.context() as patch:
        patch.setattr("firmware_py.contracts.request._ordinary", lambda *_: None)
        assert said() == short


@given(anything)
@settings(max_examples=300)
def test_no_payload_breaks_a_parser(data: Any) -> None:
    for parse in (parse_request, parse_reply, parse_manifest):
        with pytest.raises(CiuicError):
            parse(data)


@pytest.mark.parametrize("path", _paths(REQUEST))
@given(value=anything)
@settings(max_examples=40)
def test_one_odd_field_of_a_request_is_a_value_or_our_error(path: tuple[Any, ...], value: Any) -> None:
    with contextlib.suppress(SchemaError, VersionError):
        parse_request(changed(REQUEST, path, value))


@pytest.mark.parametrize("path", _paths(REPLY))
@given(value=anything)
@settings(max_examples=40)
def test_one_odd_field_of_a_reply_is_a_value_or_our_error(path: tuple[Any, ...], value: Any) -> None:
    with contextlib.suppress(SchemaError, VersionError):
        parse_reply(changed(REPLY, path, value))


@given(data=st.data())
@settings(max_examples=300)
def test_one_odd_field_of_a_manifest_is_a_value_or_our_error(
    manifest_once: dict[str, Any], data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(_paths(manifest_once)))
    with contextlib.suppress(BundleFormatError):
        parse_manifest(changed(manifest_once, path, data.draw(anything)))


@given(st.text(max_size=60))
def test_no_text_breaks_the_configuration_key(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse_configuration(text)


def test_a_version_from_the_future_is_its_own_error() -> None:
    with pytest.raises(VersionError):
        parse_request({**REQUEST, "v": 2})


@pytest.mark.parametrize("path", [("id",), ("task",), ("input",), ("v",)])
def test_a_missing_field_is_named(path: tuple[str, ...]) -> None:
    data = {key: value for key, value in REQUEST.items() if key != path[0]}
    with pytest.raises(SchemaError, match=rf"request\.{path[0]} is missing"):
        parse_request(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("qos", "deadline_s"), -1.0),
        (("qos", "deadline_s"), float("nan")),
        (("qos", "deadline_s"), 1e9),
        (("qos", "energy_j"), 10**400),
        (("qos", "energy_j"), float("inf")),
        (("qos", "priority"), 10),
        (("qos", "priority"), True),
        (("qos", "energy_j"), "much"),
        (("input",), {"text": 5}),
        (("input",), {}),
        (("id",), "x" * 129),
        (("id",), ""),
    ],
)
def test_out_of_range_is_refused(path: tuple[str, ...], value: Any) -> None:
    with pytest.raises(SchemaError):
        parse_request(changed(REQUEST, path, value))


def test_a_message_never_quotes_the_text() -> None:
    secret = "my private words"
    for path in (("task",), ("id",), ("qos", "accuracy"), ("input", "text")):
        with pytest.raises(SchemaError) as caught:
            parse_request(changed(REQUEST, path, [secret]))
        assert secret not in str(caught.value) + caught.value.hint
