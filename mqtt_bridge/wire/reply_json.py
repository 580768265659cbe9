"""A reply in JSON, with the parts that repeat kept as text.

A node's replies share their model and a few routes, which are encoded once; what changes stands in templates
(8.0 to 4.6 µs, warm, on a 2-core x86_64 machine). A test holds the bytes to `Reply.to_dict`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any

from firmware_py.contracts.reply import ModelRef, Reply, Route
from firmware_py.contracts.request import WIRE_VERSION

_RESULT = ("label", "confidence", "slots")
_SLOT = ("name", "value", "text", "start", "end")

encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def reply_json(reply: Reply) -> str:
    """The same text as `encode(reply.to_dict())`.

    Raises:
        ValueError: a figure is not finite.
    """
    if reply.error is not None:
        return encode(reply.to_dict())
    request_id = "null" if reply.id is None else encode_basestring(reply.id)
    route, model, time, energy = reply.route, reply.model, reply.time, reply.energy
    said = "null" if model is None else _model(model.name, model.version, model.sha256)
    went = _route(
        route.node, route.exit, route.exits, route.widths, route.delegate, route.cache, route.fallback,
        route.configuration, route.truncated_tokens, route.over_budget, route.simulated,
    )  # fmt: skip
    return (
        f'{{"v":{WIRE_VERSION},"id":{request_id},"status":"{reply.status}","result":{_result(reply.result)},'
        f'"model":{said},"route":{went},"time":{{"queue_s":{_number(time.queue_s)},'
        f'"run_s":{_number(time.run_s)}}},"energy":{{"energy_j":{_number(energy.energy_j)},'
        f'"u95_j":{_number(energy.u95_j)},{_labels(energy.basis, energy.method, energy.source, energy.simulated)}'
        f'"rate_hz":{_number(energy.rate_hz)},"samples":{_number(energy.samples)}}}}}'
    )


def _result(result: Mapping[str, Any] | None) -> str:
    """An answer of kind `intent` as a template; slots that name a thing of the house, and other kinds, encoded."""
    if result is None:
        return "null"
    if tuple(result) != _RESULT:
        return encode(result)
    slots = ",".join([_slot(slot) for slot in result["slots"]])
    return (
        f'{{"label":{encode_basestring(result["label"])},"confidence":{_number(result["confidence"])},'
        f'"slots":[{slots}]}}'
    )


def _slot(slot: Mapping[str, Any]) -> str:
    if tuple(slot) != _SLOT:
        return encode(slot)
    value = slot["value"]
    written = encode_basestring(value) if type(value) is str else _number(value)
    return (
        f'{{"name":{encode_basestring(slot["name"])},"value":{written},"text":{encode_basestring(slot["text"])},'
        f'"start":{slot["start"]},"end":{slot["end"]}}}'
    )


# The caches are asked with plain values: hash and comparison of a record are Python's, those of a tuple are C's.
@functools.lru_cache(maxsize=64)
def _model(name: str, version: str, sha256: str) -> str:
    return encode(Reply(None, "ok", Route(""), model=ModelRef(name, version, sha256)).to_dict()["model"])


@functools.lru_cache(maxsize=256)
def _route(*fields: Any) -> str:
    return encode(Reply(None, "ok", Route(*fields)).to_dict()["route"])


@functools.lru_cache(maxsize=64)
def _labels(basis: str, method: str, source: str, simulated: bool) -> str:
    values = {"basis": basis, "method": method, "source": source, "simulated": simulated}
    return encode(values)[1:-1] + ","


def _number(value: float | None) -> str:
    if type(value) is float:
        if value - value == 0.0:  # not so for infinities and what is no number
            return repr(value)
        msg = "a figure of the reply is not finite"
        raise ValueError(msg)
    return "null" if value is None else encode(value)
