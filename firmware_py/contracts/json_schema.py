"""Pieces of JSON Schemas (2020-12), in the words and with the limits of `check.Fields`.

Readers ignore fields that are not listed. An integer is one without a fraction part in its spelling, `1` and not
`1.0`, which a JSON Schema cannot say.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
FLAG: Schema = {"type": "boolean"}
_BIG = 2**53
_MOST_ITEMS = 100_000


def described(schema: Schema, say: str | None) -> Schema:
    """With a description, where there is one."""
    return schema | {"description": say} if say else schema


def object_of(required: tuple[str, ...], **properties: Schema) -> Schema:
    """An object that has at least the required fields."""
    return {"type": "object", "required": list(required), "properties": properties}


def table_of(values: Schema, *, say: str | None = None) -> Schema:
    """An object whose keys are names and whose values are all alike."""
    return described({"type": "object", "additionalProperties": values}, say)


def array_of(items: Schema, *, least: int = 0, most: int = _MOST_ITEMS, say: str | None = None) -> Schema:
    """An array of `least` to `most` alike."""
    out: Schema = {"type": "array", "items": items, "maxItems": most}
    if least:
        out["minItems"] = least
    return described(out, say)


def text(limit: int = 256, *, least: int = 0, say: str | None = None) -> Schema:
    """A string of `least` to `limit` code points."""
    out: Schema = {"type": "string", "maxLength": limit}
    if least:
        out["minLength"] = least
    return described(out, say)


def integer(low: int = 0, high: int = _BIG, *, say: str | None = None) -> Schema:
    """Within [low, high]."""
    return described({"type": "integer", "minimum": low, "maximum": high}, say)


def number(low: float | None = None, high: float | None = None, *, say: str | None = None) -> Schema:
    """Finite, within [low, high]."""
    out: Schema = {"type": "number"}
    if low is not None:
        out["minimum"] = low
    if high is not None:
        out["maximum"] = high
    return described(out, say)


def nullable(schema: Schema) -> Schema:
    """The same, or null where it is unknown."""
    if "enum" in schema:
        return schema | {"enum": [*schema["enum"], None], "type": ["string", "null"]}
    return schema | {"type": [schema["type"], "null"]}


def choice(values: tuple[str, ...], *, say: str | None = None) -> Schema:
    """One of these strings."""
    return described({"type": "string", "enum": list(values)}, say)
