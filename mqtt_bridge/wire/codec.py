"""Payloads: bytes to values and back, hostile until parsed.

Size, UTF-8 and nesting depth are checked before or while parsing, and nothing of the caller's
content stands in an error message. JSON unless the content type says msgpack; no content type
(MQTT 3.1.1) means JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import msgpack

from firmware_py.contracts.errors import (
    EncodingError,
    MalformedError,
    RequestError,
    TooLargeError,
)
from firmware_py.contracts.reply import Reply, parse_reply
from firmware_py.contracts.request import MAX_ID_CHARS, MAX_PAYLOAD_BYTES, Request
from mqtt_bridge.wire.reply_json import encode as _encode_json
from mqtt_bridge.wire.reply_json import reply_json

JSON = "application/json"
MSGPACK = "application/msgpack"
MAX_DEPTH = 16
MAX_REPLY_BYTES = (
    4 * MAX_PAYLOAD_BYTES
)  # a reply repeats the words of its request, in a slot's value and text
_MSGPACK_NAMES = (MSGPACK, "application/x-msgpack", "application/vnd.msgpack")
_SCAN = re.compile(rb'"(?:[^"\\]|\\.?)*(?:"|\Z)|[\[\]{}]', re.DOTALL)  # linear: a string always ends


def _no_constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


_JSON = json.JSONDecoder(parse_constant=_no_constant)


def media_type(content_type: str | None) -> str:
    """`application/json` or `application/msgpack`; absent means JSON.

    Raises:
        MalformedError: another content type.
    """
    if content_type is None or content_type == JSON:
        return JSON
    name = content_type.partition(";")[0].strip().lower()
    if name in _MSGPACK_NAMES:
        return MSGPACK
    if not name or name.endswith("json") or name.startswith("text/"):
        return JSON
    msg = "the content type is neither JSON nor msgpack"
    raise MalformedError(msg)


def decode_payload(
    payload: bytes, content_type: str | None = None, most_bytes: int = MAX_PAYLOAD_BYTES
) -> Any:
    """Plain values out of a payload.

    Raises:
        TooLargeError: over `most_bytes`, 64 KiB for a request.
        EncodingError: not UTF-8, or a string with half a surrogate pair.
        MalformedError: not the JSON or msgpack that it claims to be, or nested over 16 levels.
    """
    if len(payload) > most_bytes:
        msg = f"the payload is {len(payload)} bytes"
        raise TooLargeError(msg)
    if content_type is None or media_type(content_type) == JSON:
        return _from_json(payload)
    return _from_msgpack(payload)


def encode_payload(data: Mapping[str, Any], content_type: str | None = None) -> bytes:
    """A payload of plain values, JSON or msgpack by content type."""
    if media_type(content_type) == MSGPACK:
        packed: bytes = msgpack.packb(data, use_bin_type=True)
        return packed
    return _encode_json(data).encode("utf-8")


def encode_request(request: Request, content_type: str | None = None) -> bytes:
    """A request as it goes on the wire."""
    return encode_payload(request.to_dict(), content_type)


def decode_reply(payload: bytes, content_type: str | None = None) -> Reply:
    """A reply out of a payload.

    Raises:
        RequestError: the payload is no reply.
    """
    return parse_reply(decode_payload(payload, content_type, MAX_REPLY_BYTES))


def encode_reply(reply: Reply, content_type: str | None = None) -> bytes:
    """A reply as it goes on the wire; an unknown content type is answered in JSON."""
    if content_type is None or reply_content_type(content_type) == JSON:
        return reply_json(reply).encode("utf-8")
    return encode_payload(reply.to_dict(), content_type)


def reply_content_type(content_type: str | None) -> str:
    """The content type that answers a request of this content type."""
    try:
        return media_type(content_type)
    except RequestError:
        return JSON


def salvage(data: Any) -> tuple[str | None, str | None]:
    """Id and `reply_to` of a payload that decoded but broke the schema, where they are usable."""
    if not isinstance(data, Mapping):
        return None, None
    found_id, reply_to = data.get("id"), data.get("reply_to")
    good_id = isinstance(found_id, str) and 0 < len(found_id) <= MAX_ID_CHARS
    return (found_id if good_id else None), (reply_to if isinstance(reply_to, str) else None)


def _from_json(payload: bytes) -> Any:
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        msg = "the payload is not UTF-8"
        raise EncodingError(msg) from None
    # The number of openings bounds the depth, so ordinary payloads pay two counts and no scan.
    if payload.count(b"{") + payload.count(b"[") > MAX_DEPTH and _json_depth(payload) > MAX_DEPTH:
        msg = f"the payload is nested over {MAX_DEPTH} levels"
        raise MalformedError(msg)
    try:
        data = _decode_json(text)
    except (ValueError, RecursionError):  # the parser's own text would quote the payload
        msg = "the payload is not JSON"
        raise MalformedError(msg) from None
    if b"\\u" in payload:
        _check_surrogates(data)
    return data


def _decode_json(text: str) -> Any:
    """As `decode`, which looks for blanks before and behind first; few senders leave any."""
    if text.startswith("{"):
        data, end = _JSON.raw_decode(text)
        if end == len(text):
            return data
    return _JSON.decode(text)


def _json_depth(payload: bytes) -> int:
    """Deepest nesting, brackets inside strings not counted; enough for text that may not be JSON."""
    depth = deepest = 0
    for match in _SCAN.finditer(payload):
        mark = payload[match.start()]
        if mark in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in b"]}":
            depth -= 1
    return deepest


def _check_surrogates(data: Any) -> None:
    """JSON may spell half a surrogate pair; such a string has no UTF-8 form."""
    try:
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        msg = "a string holds half a surrogate pair"
        raise EncodingError(msg) from None


def _from_msgpack(payload: bytes) -> Any:
    try:
        data = msgpack.unpackb(payload, raw=False, strict_map_key=True)
    except UnicodeDecodeError:
        msg = "a msgpack string is not UTF-8"
        raise EncodingError(msg) from None
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        msg = "the payload is not msgpack"
        raise MalformedError(msg) from None
    if _value_depth(data) > MAX_DEPTH:
        msg = f"the payload is nested over {MAX_DEPTH} levels"
        raise MalformedError(msg)
    return data


def _value_depth(data: Any) -> int:
    """Deepest nesting of plain values, level by level so that depth costs no recursion."""
    depth, level = 0, [data]
    while level and depth <= MAX_DEPTH:
        inner: list[Any] = []
        for value in level:
            if isinstance(value, Mapping):
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
        level = [value for value in inner if isinstance(value, Mapping | list)]
        depth += 1
    return depth
