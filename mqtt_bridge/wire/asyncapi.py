"""The AsyncAPI 3.0 document of the mesh, generated from the topic table and the schemas.

`python -m mqtt_bridge.wire.asyncapi > docs/asyncapi.json` writes the committed file; a test holds
it against this module. Specification: https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

import json
import sys
from typing import Any

from firmware_py.contracts.errors import RequestError, all_codes
from mqtt_bridge.wire import topics
from mqtt_bridge.wire.codec import JSON, MSGPACK
from mqtt_bridge.wire.schema import SCHEMAS

_LEVELS = {
    "mesh": "The mesh; `home` unless configured otherwise.",
    "task": "A task that some node serves.",
    "client": "The asking client's own level, bound by the broker's access control where it has one.",
    "node": "A node's id.",
    "verb": "What the node is to do: `infer`.",
    "rest": "Up to 16 levels of the client's own below its level: letters, digits, `_ . : -`.",
}
_EXAMPLE = {"v": 1, "id": "1", "task": "home", "input": {"text": "turn on the kitchen lights"}}


def document() -> dict[str, Any]:
    """The whole document as plain values."""
    served = [row for row in topics.TABLE if row.payload is not None]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ciuic Edge mesh",
            "version": "1.0.0",
            "description": "Ask a mesh of boards what a sentence means; every answer says its joules.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": JSON,
        "servers": {
            "mesh": {
                "host": "localhost:1883",
                "protocol": "mqtt",
                "protocolVersion": "5.0",
                "description": "Any MQTT 5 broker; MQTT 3.1.1 with `id` and `reply_to` in the payload.",
            }
        },
        "channels": {row.kind: _channel(row) for row in served},
        "operations": {
            f"{'receive' if row.sender == 'client' else 'send'}_{row.kind}": _operation(row) for row in served
        },
        "components": {
            "schemas": SCHEMAS,
            "messages": {name: _message(name) for name in SCHEMAS},
        },
        "x-error-codes": sorted(all_codes()),
    }


def _channel(row: topics.TopicRow) -> dict[str, Any]:
    pattern = f"{topics.ROOT}/{topics.VERSION}/{{mesh}}/{row.pattern}"
    names = [level[1:-1] for level in pattern.split("/") if level.startswith("{")]
    return {
        "address": pattern,
        "description": row.summary,
        "messages": {row.payload: {"$ref": f"#/components/messages/{row.payload}"}},
        "parameters": {name: {"description": _LEVELS[name]} for name in names},
    }


def _operation(row: topics.TopicRow) -> dict[str, Any]:
    """As the node sees it: it receives what clients send."""
    out: dict[str, Any] = {
        "action": "receive" if row.sender == "client" else "send",
        "channel": {"$ref": f"#/channels/{row.kind}"},
        "summary": row.summary,
        "bindings": {"mqtt": {"qos": row.qos, "retain": row.retained, "bindingVersion": "0.2.0"}},
    }
    if row.kind in ("request", "command"):
        out["reply"] = {
            "address": {
                "location": "$message.header#/responseTopic",
                "description": "MQTT 5 response topic, or `reply_to` of the payload.",
            },
            "channel": {"$ref": "#/channels/reply"},
        }
    return out


def _message(name: str) -> dict[str, Any]:
    out: dict[str, Any] = {
        "name": name,
        "contentType": JSON,
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }
    if name == "request":
        out["description"] = f"Also accepted as {MSGPACK} by content type; at most 65536 bytes."
        out["examples"] = [{"name": "smallest", "payload": _EXAMPLE}]
        out["correlationId"] = {
            "location": "$message.header#/correlationData",
            "description": "MQTT 5 correlation data, echoed; `id` of the payload otherwise.",
        }
        out["headers"] = {
            "type": "object",
            "properties": {"responseTopic": {"type": "string"}, "correlationData": {"type": "string"}},
        }
    if name == "reply":
        codes = sorted(cls.code for cls in all_codes().values() if issubclass(cls, RequestError))
        out["description"] = f"`error.code` of a request at fault is one of {', '.join(codes)}."
    return out


def rendered() -> str:
    """The document as committed: indented, ending in a newline."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(rendered())
