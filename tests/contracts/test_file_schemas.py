"""A manifest's and a measurement's JSON Schema say what their readers say, and every such file here fits."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_py.contracts.errors import CiuicError
from firmware_py.contracts.file_schemas import FILES, MANIFEST, MEASUREMENT, rendered
from firmware_py.contracts.manifest import parse_manifest
from firmware_py.contracts.measurement import parse_measurement
from tests.documents import changed

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted((ROOT / "models").glob("*.bundle"))
MEASURED = sorted((ROOT / "docs" / "measurements").rglob("*.json"))
READERS: dict[str, Callable[[Any], Any]] = {"manifest": parse_manifest, "measurement": parse_measurement}
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 17),
    st.sampled_from([-0.5, 0.5, 2**31 + 1, 2**53 + 1]),
    st.sampled_from(["", "x", "x" * 65, "x" * 257, "stage", "label", "<="]),
    st.sampled_from([[], [1], ["x"], [None], [{}], {}, {"x": 1}, {"x": "y"}, {"x": [0.5]}]),
)

# What a reader passes over where a writer must not: sizes that are no numbers, versions that are no strings.
LENIENT = ("dims", "runtimes")


def manifest_of(bundle: Path) -> Any:
    """The first member, as it is packed."""
    with tarfile.open(bundle, "r:xz") as archive:
        first = archive.next()
        assert first is not None
        assert first.name == "manifest.json"
        file = archive.extractfile(first)
        assert file is not None
        return json.load(file)


@cache
def sample(name: str) -> Any:
    """A small one with every optional field."""
    if name == "measurement":
        data = json.loads((ROOT / "docs" / "measurements" / "engine.json").read_text("utf-8"))
        row = data["rows"][0] | {"energy_j": {"mean": 0.1, "u95": 0.01, "source": "ina219"}}
        check = data["checks"][0] | {"value": None, "ok": False}
        return data | {"rows": [row], "checks": [check], "quiet": True}
    stored = json.loads((ROOT / "tests" / "compat" / "manifest.v1.json").read_text("utf-8"))
    data = parse_manifest(stored).to_dict()
    stages = data["stages"]
    rules = {data["default_rule"]: [0.5] * stages}
    variant = {"widths": [4] * stages, "temperatures": [1.0] * stages, "exit_rules": rules}
    return data | {"variants": [variant | {"accuracy": 0.9, "macs": 1, "zeroth_rules": {}}]}


def paths(
    data: Any, schema: dict[str, Any], path: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], bool]]:
    """Every listed field of a document, and whether the schema requires it; of an array, those of its first entry."""
    for key, inner in schema.get("properties", {}).items():
        yield (*path, key), key in schema["required"]
        if isinstance(data, dict) and data.get(key) is not None:
            yield from paths(data[key], inner, (*path, key))
    if isinstance(data, list) and data and "items" in schema:
        yield from paths(data[0], schema["items"], (*path, 0))


def is_read(name: str, data: Any) -> bool:
    try:
        READERS[name](data)
    except CiuicError:
        return False
    return True


def fits(name: str, data: Any) -> bool:
    return jsonschema.Draft202012Validator(FILES[name][1]).is_valid(data)


@pytest.mark.parametrize("name", FILES)
def test_the_committed_schema_is_the_generated_one(name: str) -> None:
    committed = (ROOT / "docs" / f"{name}.schema.json").read_text("utf-8")
    assert committed == rendered(name), "run: python -m firmware_py.contracts.file_schemas docs"
    jsonschema.Draft202012Validator.check_schema(json.loads(committed))


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_the_manifest_of_every_shipped_bundle_fits(bundle: Path) -> None:
    jsonschema.Draft202012Validator(MANIFEST).validate(manifest_of(bundle))


def test_every_committed_measurement_fits() -> None:
    """Files of this form have a `v`; reports of models and trade-offs beside them are other documents."""
    read = {path: json.loads(path.read_text("utf-8")) for path in MEASURED}
    measured = {path: data for path, data in read.items() if "v" in data}
    assert len(measured) >= 10
    for data in measured.values():
        jsonschema.Draft202012Validator(MEASUREMENT).validate(data)


@pytest.mark.parametrize("name", FILES)
def test_the_first_sample_fits(name: str) -> None:
    data = json.loads((ROOT / "tests" / "compat" / f"{name}.v1.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(FILES[name][1]).validate(data)


@pytest.mark.parametrize("name", FILES)
def test_what_the_schema_requires_is_what_the_reader_requires(name: str) -> None:
    data = sample(name)
    assert is_read(name, data)
    found = list(paths(data, FILES[name][1]))
    assert len(found) > 20
    for path, required in found:
        without = changed(data, path, ...)
        assert fits(name, without) is not required, path
        assert is_read(name, without) is not required, path


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=200)
@given(data=st.data())
def test_what_the_schema_refuses_the_reader_refuses(name: str, data: st.DataObject) -> None:
    known = [path for path, _ in paths(sample(name), FILES[name][1])]
    path = data.draw(st.sampled_from(known))
    value = data.draw(VALUES)
    odd = changed(sample(name), path, value)
    if not fits(name, odd) and not (path[0] in LENIENT and isinstance(value, dict)):
        assert not is_read(name, odd), (path, value)
