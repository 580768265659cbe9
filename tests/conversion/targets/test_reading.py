"""Operators and tensors are read from a tflite file as the runtime sees them."""

from __future__ import annotations

import json
import struct
from importlib import import_module
from pathlib import Path

import pytest

from conversion.targets.forms import read_form, write_form
from conversion.targets.tflite import read_operators
from firmware_py.contracts.errors import BundleFormatError
from tests.conversion.targets.rig import ROOT, graphs, home


def test_operators_are_those_that_the_runtime_counted() -> None:
    bundle = home()
    for graph in bundle.manifest.graphs:
        found: dict[str, int] = {}
        for operator in read_operators(bundle.files[graph.file.name]):
            found[operator.name] = found.get(operator.name, 0) + 1
        assert found == dict(graph.ops)


def test_tensors_are_those_that_the_runtime_sees() -> None:
    interpreter = import_module("ai_edge_litert.interpreter").Interpreter
    data = graphs()[0]
    made = interpreter(model_content=data)
    details = {one["index"]: one for one in made.get_tensor_details()}
    for operator in read_operators(data):
        for one in (*operator.inputs, *operator.outputs):
            assert details[one.index]["dtype"].__name__ == one.dtype
            assert tuple(details[one.index]["shape"]) == one.shape
            assert len(details[one.index]["quantization_parameters"]["scales"]) == one.scales


@pytest.mark.parametrize("cut", [0, 4, 20, 1000, 10_000])
def test_what_is_no_tflite_file_is_refused(cut: int) -> None:
    with pytest.raises(BundleFormatError):
        read_operators(graphs()[0][:cut])


def test_a_count_beyond_reason_is_refused() -> None:
    data = bytearray(graphs()[0])
    model = struct.unpack_from("<I", data, 0)[0]
    virtual = model - struct.unpack_from("<i", data, model)[0]
    place = model + struct.unpack_from("<H", data, virtual + 4 + 2)[0]
    codes = place + struct.unpack_from("<I", data, place)[0]
    struct.pack_into("<I", data, codes, 2**31)
    with pytest.raises(BundleFormatError):
        read_operators(bytes(data))


def test_a_form_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    operators = read_operators(graphs()[0])
    raw = json.loads(write_form(operators))
    assert len(raw["operators"]) == len(operators)
    assert read_form("nothing") == ()
    for name in ("ethosu", "edgetpu", "vx", "fp16"):
        again = json.loads(write_form(read_form(name)))
        assert again == json.loads((ROOT / "conversion/targets/forms" / f"{name}.json").read_text())
