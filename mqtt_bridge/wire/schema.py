"""JSON Schemas (2020-12) of everything on the wire; readers ignore fields that are not listed.

`contracts/` parses; a test holds schema and parser against each other. An integer is one without
a fraction part in its spelling: `1`, not `1.0`.
"""

from __future__ import annotations

from typing import Any

from firmware_py.contracts.reply import METHODS, STATUSES
from firmware_py.contracts.request import (
    DEFAULT_DEADLINE_S,
    MAX_DEADLINE_S,
    MAX_ID_CHARS,
    MAX_PRIORITY,
    WIRE_VERSION,
)

Schema = dict[str, Any]
_BIG = 2**53


def _object(required: tuple[str, ...], **properties: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": properties}


def _text(limit: int = 256, *, least: int = 0, say: str | None = None) -> Schema:
    out: Schema = {"type": "string", "maxLength": limit}
    if least:
        out["minLength"] = least
    if say:
        out["description"] = say
    return out


def _integer(low: int = 0, high: int = _BIG) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def _number(low: float | None = None, high: float | None = None, *, say: str | None = None) -> Schema:
    out: Schema = {"type": "number"}
    if low is not None:
        out["minimum"] = low
    if high is not None:
        out["maximum"] = high
    if say:
        out["description"] = say
    return out


def _nullable(schema: Schema) -> Schema:
    if "enum" in schema:
        return schema | {"enum": [*schema["enum"], None], "type": ["string", "null"]}
    return schema | {"type": [schema["type"], "null"]}


def _choice(values: tuple[str, ...]) -> Schema:
    return {"type": "string", "enum": list(values)}


_VERSION: Schema = {"type": "integer", "const": WIRE_VERSION}
_FLAG: Schema = {"type": "boolean"}

REQUEST: Schema = _object(
    ("v", "id", "task", "input"),
    v=_VERSION,
    id=_text(
        MAX_ID_CHARS, least=1, say="Chosen by the asker; a repeat within the deadline is answered once."
    ),
    task=_text(64, say="A task of a node's birth, such as home."),
    input={
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"type": "string"},
        "description": "Modality to value: text, and optionally lang.",
    },
    qos=_nullable(
        _object(
            (),
            deadline_s=_nullable(
                _number(0, MAX_DEADLINE_S, say=f"Seconds from arrival; {DEFAULT_DEADLINE_S:g} if absent.")
            ),
            priority=_nullable(_integer(0, MAX_PRIORITY)),
            energy_j=_nullable(_number(0, say="Bound on the predicted mean, joules.")),
            accuracy=_nullable(_text(32, say="An exit rule of the manifest.")),
        )
    ),
    sent_at=_nullable(_text(64, say="RFC 3339; lets a stale message be refused where clocks agree.")),
    session=_nullable(_object(("id", "seq"), id=_text(MAX_ID_CHARS), seq=_integer(), final=_FLAG)),
    reply_to=_nullable(_text(1024, say="The reply topic, for MQTT 3.1.1.")),
)

REPLY: Schema = _object(
    ("v", "status", "route"),
    v=_VERSION,
    id=_nullable(_text(MAX_ID_CHARS)),
    status=_choice(STATUSES),
    result=_nullable(
        {
            "type": "object",
            "description": "Null unless the status is ok. Kind intent: label, confidence, slots of name, value, text, start, end; id and kind, or candidates, with a names file.",
        }
    ),
    model=_nullable(_object(("name", "version", "sha256"), name=_text(), version=_text(), sha256=_text())),
    route=_object(
        ("node",),
        node=_text(),
        exit=_nullable(_integer()),
        exits=_nullable(_integer()),
        widths={"type": "array", "items": {"type": "integer"}, "maxItems": 64},
        delegate=_nullable(_text()),
        cache=_nullable(_text()),
        fallback=_nullable(_text(1024)),
        configuration=_nullable(_text()),
        truncated_tokens=_integer(),
        over_budget=_FLAG,
        simulated=_FLAG,
    ),
    time=_nullable(_object((), queue_s=_nullable(_number(0)), run_s=_nullable(_number(0)))),
    energy=_nullable(
        _object(
            (),
            energy_j=_nullable(_number(say="Joules above idle; null where unknown.")),
            u95_j=_nullable(_number(0, say="Half-width of the 95 % interval, joules.")),
            basis=_text(),
            method=_choice(METHODS),
            source=_text(),
            simulated=_FLAG,
            rate_hz=_nullable(_number(0)),
            samples=_nullable(_integer()),
        )
    ),
    error=_nullable(
        _object(
            ("code", "message"),
            code=_text(),
            message=_text(4096),
            hint=_text(4096),
            retry_after_s=_nullable(_number(0)),
        )
    ),
)

_NODE_FIELDS: Schema = {"v": _VERSION, "node": _text(64, least=1), "epoch": _integer()}

BIRTH: Schema = _object(
    ("v", "node", "epoch", "profile", "simulated", "tasks", "started_at", "versions", "content_types"),
    **_NODE_FIELDS,
    profile=_text(),
    simulated=_FLAG,
    tasks={
        "type": "array",
        "items": _object(
            ("name", "kind", "languages", "model", "version", "sha256"),
            name=_text(64),
            kind=_text(64),
            languages={"type": "array", "items": {"type": "string"}},
            model=_text(),
            version=_text(),
            sha256=_text(),
        ),
    },
    started_at=_text(64),
    versions={"type": "array", "items": {"type": "integer"}},
    content_types={"type": "array", "items": {"type": "string"}},
    max_payload_bytes=_integer(),
)

STATE: Schema = _object(
    ("v", "node", "epoch", "state"),
    **_NODE_FIELDS,
    state=_choice(("init", "ready", "disconnected", "lost")),
)

HEARTBEAT: Schema = _object(
    ("v", "node", "epoch", "queue", "answered", "refused", "failed", "power_w", "power_source", "simulated"),
    **_NODE_FIELDS,
    queue=_integer(),
    answered=_integer(),
    refused=_integer(),
    failed=_integer(),
    dropped=_integer(),
    power_w=_nullable(_number()),
    power_source=_text(),
    simulated=_FLAG,
    energy_method=_choice(METHODS),
    costs={
        "type": "array",
        "items": _object(
            ("configuration", "run_s", "run_sd_s"),
            configuration=_text(),
            run_s=_number(0),
            run_sd_s=_number(0),
            energy_j=_nullable(_number()),
            energy_sd_j=_nullable(_number(0)),
            bundle_sha256=_nullable(_text(64, say="Whose cost it is: `sha256` of a task in the birth.")),
        ),
    },
)

ENERGY: Schema = _object(
    (
        "v", "node", "epoch", "windows", "window_s", "runs", "metered_j", "u95_j", "charged_j",
        "total_metered_j", "total_charged_j", "source", "method", "simulated",
    ),
    **_NODE_FIELDS,
    windows=_integer(),
    window_s=_number(0, say="Seconds of the busy windows reconciled since the last message."),
    runs=_number(0, say="Runs in them, calibration included; one in two windows has a part in each."),
    metered_j=_number(say="Joules above idle in them, by the meter."),
    u95_j=_number(0, say="Half-width of the 95 % interval of metered_j, joules."),
    charged_j=_number(0, say="Joules that these runs were charged."),
    total_metered_j=_number(say="As metered_j, of all busy windows since the epoch began."),
    total_charged_j=_number(0, say="As charged_j, of all busy windows since the epoch began."),
    source=_text(say="The meter."),
    method=_choice(METHODS),
    simulated=_FLAG,
)  # fmt: skip

SCHEMAS: dict[str, Schema] = {
    "request": REQUEST,
    "reply": REPLY,
    "birth": BIRTH,
    "state": STATE,
    "heartbeat": HEARTBEAT,
    "energy": ENERGY,
}
