"""JSON Schemas (2020-12) of everything on the wire; readers ignore fields that are not listed.

`contracts/` parses; a test holds schema and parser against each other. An integer is one without
a fraction part in its spelling: `1`, not `1.0`.
"""

from __future__ import annotations

from firmware_py.contracts.json_schema import FLAG, Schema, choice, integer, nullable, number, object_of, text
from firmware_py.contracts.reply import METHODS, STATUSES
from firmware_py.contracts.request import (
    DEFAULT_DEADLINE_S,
    MAX_DEADLINE_S,
    MAX_ID_CHARS,
    MAX_PRIORITY,
    WIRE_VERSION,
)

_VERSION: Schema = {"type": "integer", "const": WIRE_VERSION}

REQUEST: Schema = object_of(
    ("v", "id", "task", "input"),
    v=_VERSION,
    id=text(MAX_ID_CHARS, least=1, say="Chosen by the asker; a repeat within the deadline is answered once."),
    task=text(64, say="A task of a node's birth, such as home."),
    input={
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"type": "string"},
        "description": "Modality to value: text, and optionally lang.",
    },
    qos=nullable(
        object_of(
            (),
            deadline_s=nullable(
                number(0, MAX_DEADLINE_S, say=f"Seconds from arrival; {DEFAULT_DEADLINE_S:g} if absent.")
            ),
            priority=nullable(integer(0, MAX_PRIORITY)),
            energy_j=nullable(number(0, say="Bound on the predicted mean, joules.")),
            accuracy=nullable(text(32, say="An exit rule of the manifest.")),
        )
    ),
    sent_at=nullable(text(64, say="RFC 3339; lets a stale message be refused where clocks agree.")),
    session=nullable(object_of(("id", "seq"), id=text(MAX_ID_CHARS), seq=integer(), final=FLAG)),
    reply_to=nullable(text(1024, say="The reply topic, for MQTT 3.1.1.")),
)

REPLY: Schema = object_of(
    ("v", "status", "route"),
    v=_VERSION,
    id=nullable(text(MAX_ID_CHARS)),
    status=choice(STATUSES),
    result=nullable(
        {
            "type": "object",
            "description": "Null unless the status is ok. Kind intent: label, confidence, slots of name, value, text, start, end; id and kind, or candidates, with a names file.",
        }
    ),
    model=nullable(object_of(("name", "version", "sha256"), name=text(), version=text(), sha256=text())),
    route=object_of(
        ("node",),
        node=text(),
        exit=nullable(integer()),
        exits=nullable(integer()),
        widths={"type": "array", "items": {"type": "integer"}, "maxItems": 64},
        delegate=nullable(text()),
        cache=nullable(text()),
        fallback=nullable(text(1024)),
        configuration=nullable(text()),
        truncated_tokens=integer(),
        over_budget=FLAG,
        simulated=FLAG,
    ),
    time=nullable(object_of((), queue_s=nullable(number(0)), run_s=nullable(number(0)))),
    energy=nullable(
        object_of(
            (),
            energy_j=nullable(number(say="Joules above idle; null where unknown.")),
            u95_j=nullable(number(0, say="Half-width of the 95 % interval, joules.")),
            basis=text(),
            method=choice(METHODS),
            source=text(),
            simulated=FLAG,
            rate_hz=nullable(number(0)),
            samples=nullable(integer()),
        )
    ),
    error=nullable(
        object_of(
            ("code", "message"),
            code=text(),
            message=text(4096),
            hint=text(4096),
            retry_after_s=nullable(number(0)),
        )
    ),
)

_NODE_FIELDS: Schema = {"v": _VERSION, "node": text(64, least=1), "epoch": integer()}

BIRTH: Schema = object_of(
    ("v", "node", "epoch", "profile", "simulated", "tasks", "started_at", "versions", "content_types"),
    **_NODE_FIELDS,
    profile=text(),
    simulated=FLAG,
    tasks={
        "type": "array",
        "items": object_of(
            ("name", "kind", "languages", "model", "version", "sha256"),
            name=text(64),
            kind=text(64),
            languages={"type": "array", "items": {"type": "string"}},
            model=text(),
            version=text(),
            sha256=text(),
        ),
    },
    started_at=text(64),
    versions={"type": "array", "items": {"type": "integer"}},
    content_types={"type": "array", "items": {"type": "string"}},
    max_payload_bytes=integer(),
)

STATE: Schema = object_of(
    ("v", "node", "epoch", "state"),
    **_NODE_FIELDS,
    state=choice(("init", "ready", "disconnected", "lost")),
)

HEARTBEAT: Schema = object_of(
    ("v", "node", "epoch", "queue", "answered", "refused", "failed", "power_w", "power_source", "simulated"),
    **_NODE_FIELDS,
    queue=integer(),
    answered=integer(),
    refused=integer(),
    failed=integer(),
    dropped=integer(),
    power_w=nullable(number()),
    power_source=text(),
    simulated=FLAG,
    energy_method=choice(METHODS),
    costs={
        "type": "array",
        "items": object_of(
            ("configuration", "run_s", "run_sd_s"),
            configuration=text(),
            run_s=number(0),
            run_sd_s=number(0),
            energy_j=nullable(number()),
            energy_sd_j=nullable(number(0)),
            bundle_sha256=nullable(text(64, say="Whose cost it is: `sha256` of a task in the birth.")),
        ),
    },
)

ENERGY: Schema = object_of(
    (
        "v", "node", "epoch", "windows", "window_s", "runs", "metered_j", "u95_j", "charged_j",
        "total_metered_j", "total_charged_j", "source", "method", "simulated",
    ),
    **_NODE_FIELDS,
    windows=integer(),
    window_s=number(0, say="Seconds of the busy windows reconciled since the last message."),
    runs=number(0, say="Runs in them, calibration included; one in two windows has a part in each."),
    metered_j=number(say="Joules above idle in them, by the meter."),
    u95_j=number(0, say="Half-width of the 95 % interval of metered_j, joules."),
    charged_j=number(0, say="Joules that these runs were charged."),
    total_metered_j=number(say="As metered_j, of all busy windows since the epoch began."),
    total_charged_j=number(0, say="As charged_j, of all busy windows since the epoch began."),
    source=text(say="The meter."),
    method=choice(METHODS),
    simulated=FLAG,
)  # fmt: skip

SCHEMAS: dict[str, Schema] = {
    "request": REQUEST,
    "reply": REPLY,
    "birth": BIRTH,
    "state": STATE,
    "heartbeat": HEARTBEAT,
    "energy": ENERGY,
}
