"""A graph is divided between delegate and processor as the runtimes divide it."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from conversion.check.runtime import python_of
from conversion.targets.mapping import AFTER_THE_FIRST, divide, total
from conversion.targets.tables import load_table
from conversion.targets.tflite import Operator, read_operators
from firmware_py.bundles.read import read_bundle
from firmware_py.contracts.errors import ToolMissingError
from tests.conversion.targets.rig import ROOT, TRUST, chain, graphs, tensor


def test_a_delegate_that_takes_one_piece_leaves_what_is_behind_the_first_gap() -> None:
    found = divide(chain("TANH", "MUL", "SQRT", "MUL", "TANH"), load_table("edgetpu"))
    assert (found.mapped, found.possible, found.pieces) == (2, 4, 1)
    assert sum(count for (_, why), count in found.left.items() if why == AFTER_THE_FIRST) == 2


def test_a_delegate_that_takes_pieces_goes_on_behind_a_gap() -> None:
    found = divide(chain("TANH", "MUL", "SQRT", "MUL", "TANH"), load_table("ethosu"))
    assert (found.mapped, found.possible, found.pieces) == (4, 4, 2)
    assert found.share == pytest.approx(0.8)


def test_what_runs_before_the_piece_does_not_end_it() -> None:
    """A second input is quantised on the CPU while the piece has begun: nothing of the piece is in it."""
    first, last = chain("TANH")[0], Operator("ADD", (tensor(1), tensor(11)), (tensor(12),))
    border = Operator("QUANTIZE", (tensor(10, dtype="float32"),), (tensor(11),))
    found = divide([first, border, last], load_table("edgetpu"))
    assert (found.mapped, found.pieces) == (2, 1)
    assert {name for name, _ in found.left} == {"QUANTIZE"}


def test_graphs_are_summed() -> None:
    parts = [divide(chain("TANH", "SQRT"), load_table("ethosu"))] * 3
    assert (total(parts).total, total(parts).mapped) == (6, 3)
    assert divide([], load_table("ethosu")).share is None


def test_the_xnnpack_table_is_what_the_runtime_does() -> None:
    """The default delegate's own choice, read back from the interpreter after it took its part."""
    interpreter = import_module("ai_edge_litert.interpreter").Interpreter
    data = graphs()[0]
    made = interpreter(model_content=data, num_threads=1)
    made.allocate_tensors()
    ours = divide(read_operators(data), load_table("xnnpack"))
    assert len(_taken(made._get_ops_details())) == ours.mapped == ours.total


def test_the_tflite_runtime_table_is_what_the_runtime_does(tmp_path: Path) -> None:
    """The same in the other runtime's own environment, which leaves a tenth to its own kernels."""
    try:
        python = python_of("tflite-runtime", ROOT)
    except ToolMissingError:
        pytest.skip("needs tflite-runtime: make it with `scripts/setup tflr`")
    bundle = read_bundle(ROOT / "models" / "home-en.w8.bundle", TRUST)
    data = bundle.files[bundle.manifest.graphs[0].file.name]
    (tmp_path / "w8.tflite").write_bytes(data)
    program = (
        "import json, sys\nfrom tflite_runtime.interpreter import Interpreter\n"
        "made = Interpreter(model_path=sys.argv[1], num_threads=1)\nmade.allocate_tensors()\n"
        "rows = [{'op_name': one['op_name'], 'inputs': [int(n) for n in one['inputs']], "
        "'outputs': [int(n) for n in one['outputs']]} for one in made._get_ops_details()]\nprint(json.dumps(rows))"
    )
    done = subprocess.run(
        [python, "-c", program, tmp_path / "w8.tflite"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    details = json.loads(done.stdout)
    own = [one["op_name"] for one in details if one["op_name"] != "DELEGATE"]
    taken = _taken(details)
    ours = divide(read_operators(data), load_table("tflite-runtime"))
    assert len(taken) == ours.mapped < ours.total == len(own)
    left: Counter[str] = Counter(name for place, name in enumerate(own) if place not in taken)
    assert {name: count for (name, _), count in ours.left.items()} == left


def _taken(details: list[dict[str, Any]]) -> set[int]:
    """Places of the operators that stand behind a DELEGATE row, by following tensors back from its outputs."""
    parts = [one for one in details if one["op_name"] == "DELEGATE"]
    own = [one for one in details if one["op_name"] != "DELEGATE"]
    writer = {int(out): place for place, one in enumerate(own) for out in one["outputs"]}
    taken: set[int] = set()
    for part in parts:
        border, todo = {int(one) for one in part["inputs"]}, [int(one) for one in part["outputs"]]
        while todo:
            place = writer.get(one := todo.pop())
            if one not in border and place is not None and place not in taken:
                taken.add(place)
                todo += [int(read) for read in own[place]["inputs"] if read >= 0]
    return taken
