"""The committed AsyncAPI document is the generated one, whole, and valid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mqtt_bridge.wire import topics
from mqtt_bridge.wire.asyncapi import document, rendered

ROOT = Path(__file__).parents[3]
SPECS = ROOT / ".venvs/npm/node_modules/@asyncapi/specs/schemas/3.0.0.json"


def test_the_committed_file_is_up_to_date() -> None:
    committed = (ROOT / "docs/asyncapi.json").read_text(encoding="utf-8")
    assert committed == rendered(), "run: python -m mqtt_bridge.wire.asyncapi > docs/asyncapi.json"


def test_every_reference_leads_somewhere() -> None:
    whole = document()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                found: Any = whole
                for key in value["$ref"].removeprefix("#/").split("/"):
                    found = found[key]
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(whole)


def test_every_served_topic_has_a_channel_and_an_operation() -> None:
    whole = document()
    served = {row.kind for row in topics.TABLE if row.payload is not None}
    assert set(whole["channels"]) == served
    assert {operation["channel"]["$ref"] for operation in whole["operations"].values()} == {
        f"#/channels/{kind}" for kind in served
    }
    for channel in whole["channels"].values():
        named = {level[1:-1] for level in channel["address"].split("/") if level.startswith("{")}
        assert named == set(channel["parameters"])


def test_it_fits_the_published_schema_of_asyncapi_3() -> None:
    if not SPECS.exists():
        pytest.skip("npm package @asyncapi/specs is not in .venvs/npm")
    schema = json.loads(SPECS.read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(json.loads(rendered()))
