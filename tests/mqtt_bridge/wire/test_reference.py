"""The pages about the wire say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema

from firmware_py.contracts.reply import parse_reply
from firmware_py.contracts.request import parse_request
from mqtt_bridge.wire.reference import topic_table
from mqtt_bridge.wire.schema import SCHEMAS

DOCS = Path(__file__).parents[3] / "docs"


def test_the_topic_table_is_the_generated_one() -> None:
    page = (DOCS / "ref-topics.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- topics -->\n(.*?)<!-- /topics -->", page, re.DOTALL)
    assert found is not None
    assert found[1] == topic_table()


def test_the_examples_of_the_wire_format_parse() -> None:
    page = (DOCS / "ref-wire-format.md").read_text(encoding="utf-8")
    request, reply = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    jsonschema.Draft202012Validator(SCHEMAS["request"]).validate(request)
    jsonschema.Draft202012Validator(SCHEMAS["reply"]).validate(reply)
    assert parse_request(request).to_dict() == request
    assert parse_reply(reply).to_dict() == reply


def test_the_examples_of_cost_lines_and_metered_joules_fit() -> None:
    page = (DOCS / "ref-topics.md").read_text(encoding="utf-8")
    line, report = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL))
    for example, schema in (
        (line, SCHEMAS["heartbeat"]["properties"]["costs"]["items"]),
        (report, SCHEMAS["energy"]),
    ):
        jsonschema.Draft202012Validator(schema).validate(example)
        assert set(example) == set(schema["properties"])
