"""Measurement files: every committed one is read, what is written reads back equal, faults are named."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_py.contracts.configuration import Configuration
from firmware_py.contracts.errors import CiuicError, DataInvalidError
from firmware_py.contracts.measurement import Check, Measurement, Row, is_publishable, parse_measurement
from tests.documents import changed

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = sorted((ROOT / "docs" / "measurements").rglob("*.json"))
SHORT = st.text(min_size=1, max_size=20)
AMOUNT = st.floats(0.0, 1e6, allow_nan=False)
DATE = datetime(2026, 1, 1, tzinfo=UTC)

rows = st.builds(
    Row,
    config=SHORT | st.just("16/w4-4-4/balanced/dyn8"),
    delegate=st.none() | SHORT,
    exit=st.none() | st.integers(0, 9),
    n=st.integers(0, 10**6),
    accuracy=st.none() | st.floats(0.0, 1.0),
    latency_s=st.none() | st.dictionaries(SHORT, AMOUNT, max_size=3),
    energy_j=st.none()
    | st.fixed_dictionaries({"mean": AMOUNT, "u95": AMOUNT, "source": SHORT, "n": st.integers()}),
    memory_bytes=st.none() | st.integers(0, 2**40),
    extra=st.dictionaries(SHORT, st.none() | SHORT | AMOUNT, max_size=3),
)
measurements = st.builds(
    Measurement,
    command=SHORT,
    board=SHORT,
    bundle_sha256=st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
    date=st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=0)),
    rows=st.lists(rows, max_size=3).map(tuple),
    checks=st.lists(
        st.builds(Check, SHORT, st.none() | AMOUNT, AMOUNT, SHORT, st.sampled_from(["<=", ">="])), max_size=3
    ).map(tuple),
    notes=st.lists(SHORT, max_size=2).map(tuple),
    machine=st.dictionaries(SHORT, st.none() | SHORT | st.integers(), max_size=2),
    versions=st.dictionaries(SHORT, SHORT, max_size=2),
    quiet=st.none() | st.booleans(),
)


def document() -> dict[str, Any]:
    """A small file as a benchmark writes it."""
    row = Row(
        "16/w4-4-4/balanced/dyn8",
        "xnnpack",
        1,
        1000,
        0.98,
        {"p50": 0.001, "p99": 0.002},
        {"mean": 0.001, "u95": 0.0002, "source": "ina219"},
        85_000_000,
    )
    checks = (Check("x", 1.0, 2.0, "s"), Check("y", None, 0.9, "share", ">="))
    made = Measurement("ciuic bench engine", "simulated", "a" * 64, DATE, (row,), checks, ("a note",))
    written: dict[str, Any] = json.loads(json.dumps(made.to_dict()))
    return written


def test_every_committed_measurement_reads_back_equal() -> None:
    """Files of this form have a `v`; reports of models and trade-offs beside them are other documents."""
    found = {path.relative_to(ROOT).as_posix(): json.loads(path.read_text("utf-8")) for path in COMMITTED}
    measured = {name: data for name, data in found.items() if "v" in data}
    names = {Path(name).name for name in measured}
    assert names >= {"engine.json", "request.json", "energy.json", "model-hwu64.json"}
    for name, data in measured.items():
        read = parse_measurement(data)
        assert read.to_dict() == data, name
        assert read.rows, name


@given(measurements)
def test_a_measurement_reads_back_equal(measurement: Measurement) -> None:
    assert parse_measurement(json.loads(json.dumps(measurement.to_dict()))) == measurement
    assert parse_measurement({**measurement.to_dict(), "later": [1]}) == measurement


def test_where_and_with_what_it_was_measured_is_the_files_not_this_machines() -> None:
    data = document() | {"machine": {"cpu": "another"}, "versions": {"python": "2.7"}}
    again = parse_measurement(data).to_dict()
    assert (again["machine"], again["versions"]) == ({"cpu": "another"}, {"python": "2.7"})
    assert document()["machine"]["cores"], "what is made here is of here"


def test_the_form_of_the_issue_alone_is_enough() -> None:
    """Without what was added since: command, notes, relation, extra."""
    data = document()
    for key in ("command", "notes"):
        del data[key]
    del data["checks"][1], data["checks"][0]["relation"], data["rows"][0]["extra"]
    read = parse_measurement(data)
    assert (read.command, read.notes, read.rows[0].extra, read.checks[0].relation) == ("", (), {}, "<=")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"quiet": True}, True),
        ({"quiet": False}, False),
        ({"quiet": True, "notes": ["BUSY MACHINE: not for publication."]}, True),  # the field decides
        ({"notes": ["BUSY MACHINE: not for publication."]}, False),  # as files of before it say
        ({"notes": ["Others used 0.00 cores meanwhile."]}, True),
        ({}, True),
    ],
)
def test_figures_of_a_busy_machine_do_not_count(said: dict[str, Any], expected: bool) -> None:
    assert is_publishable(said) is expected


def test_a_row_of_a_configuration_is_told_from_a_name() -> None:
    assert Row("16/w4-2-2/balanced/dyn8").configuration == Configuration(16, (4, 2, 2), "balanced", "dyn8")
    for name in ("request/q0", "node/start", "engine", "*/w4-4-4/balanced/dyn8", "teacher int8"):
        assert Row(name).configuration is None


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("v",), 2, "v is 2, and this build reads 1"),
        (("v",), ..., "v is missing"),
        (("machine",), ..., "machine is missing"),
        (("board",), None, "board is not a string"),
        (("date",), "yesterday", "date is not a time"),
        (("date",), "2026-01-01T00:00:00", "how far it is from UTC"),
        (("versions", "python"), 3, "versions.python is not a string"),
        (("quiet",), "no", "quiet is not true or false"),
        (("notes",), [1], "notes holds something other than strings"),
        (("rows",), {}, "rows is not an array"),
        (("rows", 0), [], "rows[0] is not an object"),
        (("rows", 0, "config"), ..., "rows[0].config is missing"),
        (("rows", 0, "config"), "", "rows[0].config is empty"),
        (("rows", 0, "n"), -1, "rows[0].n is not an integer"),
        (("rows", 0, "accuracy"), 98.0, "rows[0].accuracy is not a finite number"),
        (("rows", 0, "latency_s", "p50"), "fast", "rows[0].latency_s.p50 is not a number"),
        (("rows", 0, "latency_s", "p50"), float("nan"), "rows[0].latency_s.p50 is not a finite number"),
        (("rows", 0, "energy_j", "u95"), -0.1, "rows[0].energy_j.u95 is not a finite number"),
        (("rows", 0, "memory_bytes"), 1.5, "rows[0].memory_bytes is not an integer"),
        (("checks", 0, "bound"), None, "checks[0].bound is not a number"),
        (("checks", 0, "relation"), "<", "checks[0].relation is not one of"),
        (("checks", 0, "ok"), False, "checks[0].ok is not what its value"),
        (("checks", 1, "value"), 0.95, "checks[1].ok is not what its value"),
    ],
)
def test_a_fault_is_named(path: tuple[Any, ...], value: Any, said: str) -> None:
    with pytest.raises(DataInvalidError) as caught:
        parse_measurement(changed(document(), path, value))
    assert said in caught.value.message
    assert "ciuic bench" in caught.value.hint


@given(
    st.recursive(
        st.none() | st.floats() | st.text(max_size=9), lambda i: st.lists(i, max_size=3), max_leaves=9
    )
)
def test_what_is_no_measurement_is_our_error(data: Any) -> None:
    with pytest.raises(CiuicError):
        parse_measurement(data)


@settings(max_examples=200)
@given(
    path=st.sampled_from(
        [(key,) for key in document()]
        + [(part, 0, key) for part in ("rows", "checks") for key in document()[part][0]]
    ),
    value=st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.just([{}])
    | st.just({}),
)
def test_one_odd_field_is_a_value_or_our_error(path: tuple[Any, ...], value: Any) -> None:
    with contextlib.suppress(DataInvalidError):
        parse_measurement(changed(document(), path, value))
