"""JSON Schemas (2020-12) of the files that cross rooms: a bundle's `manifest.json` and a measurement.

`manifest.py` and `measurement.py` read; a test holds schema and reader against each other and against every such file of
this repository. A schema cannot say what two fields owe each other (a graph for each stage, `ok` of a check); the readers do.

`python -m firmware_py.contracts.file_schemas docs` writes the committed `manifest.schema.json` and `measurement.schema.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from firmware_py.contracts import manifest as m
from firmware_py.contracts.configuration import RECIPES
from firmware_py.contracts.json_schema import (
    FLAG,
    Schema,
    array_of,
    choice,
    integer,
    nullable,
    number,
    object_of,
    table_of,
    text,
)
from firmware_py.contracts.measurement import MEASUREMENT_VERSION, RELATIONS
from firmware_py.contracts.run import FULL_WIDTH
from firmware_py.contracts.slot_sets import MAX_SETS, MAX_SPANS, MAX_WEIGHT

_MEMBER_FIELDS: Schema = {
    "file": {"type": "string", "pattern": f"^{m.MEMBER_NAME}$"},
    "bytes": integer(0, m.MAX_MEMBER_BYTES, say="Unpacked."),
    "sha256": {"type": "string", "pattern": f"^{m.SHA256}$"},
}
_MEMBER: Schema = object_of(tuple(_MEMBER_FIELDS), **_MEMBER_FIELDS)
_PER_EXIT: Schema = array_of(number(), least=1, most=m.MAX_STAGES, say="One per exit from the first.")
_TENSORS: Schema = array_of(
    object_of(
        ("name", "dtype", "shape"), name=text(), dtype=text(16), shape=array_of(integer(0, 2**31), most=8)
    ),
    most=64,
)
_ZEROTH: Schema = table_of(number(), say="Rule to threshold of exit 0; others do not ask it.")

_GRAPH: Schema = object_of(
    ("role", "stage", "width", "length", "past", "inputs", "outputs", "ops", *_MEMBER_FIELDS),
    role=choice(("stage",)),
    stage=integer(1, m.MAX_STAGES),
    width=integer(1, FULL_WIDTH, say="Width groups that run."),
    length=integer(1, m.MAX_TOKENS, say="Tokens."),
    past=integer(),
    inputs=_TENSORS,
    outputs=_TENSORS,
    ops=table_of({"type": "integer"}),
    **_MEMBER_FIELDS,
)
_HEAD: Schema = object_of(
    ("task", "exit", "temperature", *_MEMBER_FIELDS),
    task=text(64),
    exit=integer(0, m.MAX_STAGES, say="0: before any stage."),
    temperature=number(1e-3, 1e3),
    **_MEMBER_FIELDS,
)
_VARIANT: Schema = object_of(
    ("widths", "temperatures", "exit_rules"),
    widths=array_of(integer(1, FULL_WIDTH), least=1, most=m.MAX_STAGES),
    temperatures=array_of(number(1e-3, 1e3), least=1, most=m.MAX_STAGES),
    exit_rules=table_of(_PER_EXIT),
    accuracy=nullable(number(0, 1)),
    macs=nullable(integer()),
    zeroth_rules=_ZEROTH,
)

_SLOT_SETS: Schema = object_of(
    ("weight", "sets"),
    weight=number(0, MAX_WEIGHT, say="Of the logarithm of a set's rows, beside the tag head's scores."),
    sets=array_of(
        array_of(integer(), least=2, most=2 + MAX_SPANS, say="Label, training rows, one slot a span."),
        most=MAX_SETS,
    ),
)

MANIFEST: Schema = object_of(
    (
        "format", "name", "version", "recipe", "task", "labels", "slots", "stages", "buckets", "dims", "runtimes", "graphs",
        "heads", "embedding", "tokenizer", "golden", "exit_rules", "default_rule", "accuracy_by_exit",
        "out_of_scope_threshold", "provenance",
    ),
    format={"type": "integer", "const": m.FORMAT},
    name=text(64),
    version=text(64),
    recipe=choice(RECIPES),
    task=object_of(
        ("name", "kind", "languages"), name=text(64), kind=text(64), languages=array_of({"type": "string"})
    ),
    labels=array_of({"type": "string"}, least=1, say="In the heads' order; oos, where present, is last."),
    slots=array_of({"type": "string"}),
    stages=integer(1, m.MAX_STAGES),
    buckets=array_of(integer(0, m.MAX_TOKENS), least=1, most=64, say="Token lengths that have graphs."),
    dims=table_of(number(), say="Sizes of the trunk."),
    runtimes=table_of({"type": "string"}, say="Package to least version."),
    graphs=array_of(_GRAPH, least=1),
    heads=array_of(_HEAD, least=1),
    embedding=_MEMBER,
    tokenizer=_MEMBER,
    golden=_MEMBER,
    exit_rules=table_of(_PER_EXIT, say="Rule to confidence thresholds."),
    default_rule=text(say="One of exit_rules."),
    accuracy_by_exit=_PER_EXIT,
    out_of_scope_threshold=number(),
    provenance={"type": "object", "description": "Free form."},
    zeroth_rules=_ZEROTH,
    variants=array_of(_VARIANT, most=256),
    out_of_scope_score=choice(m.SCORES),
    attention=choice(m.ATTENTION),
    punctuation=choice(m.PUNCTUATION),
    frame=array_of(integer(0, 2**31), most=2, say="Ids before and behind every text, or none."),
    slot_sets=nullable(_SLOT_SETS),
    exit_confidence=choice(m.EXIT_CONFIDENCES),
)  # fmt: skip

_ROW: Schema = object_of(
    ("config",),
    config=text(least=1, say="A way to run a model, such as 16/w4-4-4/balanced/dyn8, or a name."),
    delegate=nullable(text()),
    exit=nullable(integer()),
    n=integer(),
    accuracy=nullable(number(0, 1, say="Share.")),
    latency_s=nullable(table_of(number(0), say="Seconds by quantile.")),
    energy_j=nullable(
        object_of((), mean=nullable(number()), u95=nullable(number(0)), source=nullable(text()))
        | {"description": "Joules above idle, with the half-width of the 95 % interval."}
    ),
    memory_bytes=nullable(integer(say="Resident.")),
    extra={"type": "object"},
)
_CHECK: Schema = object_of(
    ("name", "bound", "unit", "ok"),
    name=text(),
    value=nullable(number(say="Null: unknown, which holds no bound.")),
    bound=number(),
    unit=text(),
    relation=choice(RELATIONS),
    ok=FLAG,
)

MEASUREMENT: Schema = object_of(
    ("v", "machine", "board", "date", "versions", "rows", "checks"),
    v={"type": "integer", "const": MEASUREMENT_VERSION},
    command=text(),
    machine={"type": "object"},
    board=text(),
    bundle_sha256=nullable(text(64)),
    date=text(64, say="ISO 8601, with its offset from UTC."),
    versions=table_of(text()),
    rows=array_of(_ROW),
    checks=array_of(_CHECK),
    notes=array_of({"type": "string"}),
    quiet=nullable(FLAG),
)

FILES = {
    "manifest": ("Ciuic Edge: manifest.json of a bundle", MANIFEST),
    "measurement": ("Ciuic Edge: a measurement, as ciuic bench writes it", MEASUREMENT),
}


def rendered(name: str) -> str:
    """A schema as committed: indented, ending in a newline."""
    title, schema = FILES[name]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return json.dumps(head | schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for one in FILES:
        (Path(sys.argv[1]) / f"{one}.schema.json").write_text(rendered(one), encoding="utf-8")
