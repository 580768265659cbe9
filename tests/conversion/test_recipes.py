"""Recipes beyond the default: convolutions for dense layers, int8 throughout, and what the accelerators' compilers say."""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)

from conversion.check.answers import prefixes_of
from conversion.check.reference import Options, torch_answers
from conversion.check.runtime import RecipeFiles, Where, python_of, run_lattice
from conversion.export import accelerators
from conversion.export.compact import compact
from conversion.export.edgetpu import MAPPED, parse_log, share
from conversion.export.lattice import lattice_keys
from conversion.export.make import Files, Place, make_graphs
from conversion.export.parts import write_parts
from conversion.export.recipes import NORM_OF, RECIPES
from conversion.export.samples import EACH, samples_of
from conversion.export.stage_graph import StageGraph
from conversion.export.to_tflite import find_tool
from conversion.export.vela import compile_for_npu, count_operators, find_vela
from conversion.nets.deepseek_lite import DeepSeekLite, Dims
from conversion.nets.student import attention_bias, positions
from conversion.targets.forms import read_form
from conversion.targets.mapping import divide
from conversion.targets.tables import load_table
from conversion.targets.tflite import Operator, _Table, read_operators
from firmware_py.contracts.configuration import RECIPES as KNOWN
from firmware_py.contracts.errors import ConversionError, ToolMissingError
from firmware_py.contracts.run import GraphKey
from firmware_py.inference.tensors import bias, position_tables
from firmware_py.tasks.text import WordPiece
from tests.conversion.small import PIECES, student

ROOT = Path(__file__).resolve().parents[2]
DIMS = Dims(len(PIECES), d=32, heads=4, latent=8, rope=8, ffn=16, stages=2, layers=2, norm="dyt")
KEYS = lattice_keys(2, (16,), (4,))
STATIC = ("ethosu", "edgetpu", "vx")


def sentences(count: int, longest: int = 16) -> list[list[int]]:
    draw = random.Random(3)
    return [[draw.randint(2, 27) for _ in range(draw.randint(2, longest))] for _ in range(count)]


def test_every_recipe_of_the_bundle_format_has_a_row() -> None:
    assert set(RECIPES) == set(KNOWN)
    assert {name for name, norm in NORM_OF.items() if norm == "dyt"} == set(STATIC)
    assert {name for name, recipe in RECIPES.items() if recipe.calibrated} == set(STATIC)
    for name in ("dyn8", "dyn4"):
        assert "tflite-runtime" not in RECIPES[name].runtimes, "it answers wrongly there, without an error"


def test_a_recipe_refuses_another_norm_and_missing_sentences(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="norm"):
        make_graphs(student(DIMS).trunk, KEYS, ["dyn8"], Place(ROOT, tmp_path), lambda _: None)
    with pytest.raises(ConversionError, match="sentences"):
        make_graphs(student(DIMS).trunk, KEYS, ["vx"], Place(ROOT, tmp_path), lambda _: None)


@pytest.mark.parametrize("width", [1, 4])
def test_replaced_scores_are_the_added_ones_where_int8_can_tell(width: int) -> None:
    trunk: DeepSeekLite = student(DIMS).trunk
    n, bucket = 11, 16
    ids = torch.tensor(sentences(40, 16)[0][:n] * 4)[:n][None]
    with torch.no_grad():
        wanted = trunk(ids, attention_bias(torch.ones(1, n)), positions(n, DIMS.rope), (width, width))[1][0]
        h = torch.zeros(bucket, DIMS.d)
        h[:n] = trunk.embedding(ids)[0]
        cos, sin = (torch.from_numpy(table.copy()) for table in position_tables(bucket, DIMS.rope))
        given = torch.from_numpy(bias(n, bucket).copy())
        rows, _ = StageGraph(trunk, 1, width, "replaced")(h, given, cos, sin)
    assert (rows[:n] - wanted).abs().max() < 1e-3


def test_samples_are_what_the_device_feeds() -> None:
    trunk: DeepSeekLite = student(DIMS).trunk
    keys = lattice_keys(2, (8, 16), (1, 4))
    found = samples_of(trunk, keys, sentences(60), "replaced")
    assert set(found) == set(keys)
    assert {len(samples) for samples in found.values()} == {EACH}
    first = found[GraphKey(16, 1, 4)][0]
    n = int((first["bias"][0] == 0).sum() and (first["bias"][-1] == 0).sum())
    assert 8 < n <= 16
    assert not first["h"][n:].any(), "rows behind the last token are zero before the first stage"
    second = found[GraphKey(16, 2, 1)]
    assert second[0]["h"][n:].any(), "and what the first stage makes of them before the second"
    assert np.array_equal(second[1]["h"], found[GraphKey(16, 2, 4)][1]["h"]), (
        "full width before narrow, in turn"
    )
    assert not np.array_equal(second[0]["h"], found[GraphKey(16, 2, 4)][0]["h"])


def test_vela_lines_are_counted_by_place_and_kind() -> None:
    said = """
Warning (supported operators) operator: QUANTIZE, ofm: 'h_int8'
Reason: Operation has tensor with unsupported DataType Float32 (h)
CPU operators = 1 (33.3%)
   CPU: Passthrough = h_int8 (outputs [1, 16, 1, 128])
   NPU: FullyConnected = linear (outputs [1, 16, 1, 256])
   NPU: LUT = sigmoid (outputs [1, 16, 1, 256])
"""
    counts = count_operators(said)
    assert counts["CPU"] == Counter({"QUANTIZE": 1})
    assert counts["NPU"] == Counter({"FullyConnected": 1, "LUT": 1})


def test_the_edge_tpu_compilers_log_is_read() -> None:
    """The form of the log of version 15.0, as its users publish it."""
    said = """Edge TPU Compiler version 15.0.340273435
Input: mnist4.tflite
Output: mnist4_edgetpu.tflite

Operator                       Count      Status

RESHAPE                        1          Mapped to Edge TPU
CONV_2D                        2          Mapped to Edge TPU
DEQUANTIZE                     1          Operation is working on an unsupported data type
"""
    lines = parse_log(said)
    assert [(line.operator, line.count) for line in lines] == [
        ("RESHAPE", 1),
        ("CONV_2D", 2),
        ("DEQUANTIZE", 1),
    ]
    assert lines[0].status == MAPPED
    assert share(lines) == pytest.approx(0.75)
    assert share([]) == 0.0


def test_without_the_compiler_the_report_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    graphs = {GraphKey(8, 1, 4): tmp_path / "x.tflite"}
    said = accelerators.describe("edgetpu", graphs, tmp_path)
    assert said is not None
    assert said["compiled"] is False
    assert "not on PATH" in said["why"]
    vela = accelerators.describe("ethosu", graphs, tmp_path)
    assert vela is not None
    assert vela["compiled"] is False
    assert accelerators.describe("dyn8", graphs, tmp_path) is None


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Where graphs are made; without onnx2tf's environment there is none."""
    try:
        find_tool(ROOT)
    except ToolMissingError as error:
        pytest.skip(str(error))
    return Place(ROOT, tmp_path_factory.mktemp("cache"), sentences=tuple(map(tuple, sentences(60))))


@pytest.fixture(scope="module")
def made(place: Place) -> Files:
    return make_graphs(student(DIMS).trunk, KEYS, STATIC, place, lambda _: None)


@pytest.mark.slow
def test_int8_throughout_answers_like_torch_in_both_runtimes(made: Files, tmp_path: Path) -> None:
    model = student(DIMS)
    parts = write_parts(model, PIECES, tmp_path / "parts")
    heads = tuple(parts / f"head-{number}.npz" for number in range(3))
    texts = [" ".join(PIECES[one] for one in ids) for ids in sentences(160)[60:]]
    prefixes = prefixes_of([(4, 4)])
    reference = torch_answers(model, WordPiece(PIECES), texts, prefixes, Options(16, 16))
    for recipe in STATIC:
        files = RecipeFiles(
            recipe, made[recipe], parts / "vocab.txt", parts / "embedding.npz", heads, DIMS.rope
        )
        for runtime in RECIPES[recipe].runtimes:
            try:
                python_of(runtime, ROOT)
            except ToolMissingError as error:
                pytest.skip(str(error))
            ours = run_lattice(files, Where(runtime, ROOT), texts, prefixes)
            for prefix in prefixes:
                spread = reference.logits[prefix].std()
                off = np.abs(ours.logits[prefix] - reference.logits[prefix]).mean()
                assert off < 0.15 * spread, (recipe, runtime, prefix, off, spread)


@pytest.mark.slow
def test_the_files_are_what_their_delegates_ask(made: Files) -> None:
    key = KEYS[0]
    edge, vx = (read_operators(made[recipe][key].read_bytes()) for recipe in ("edgetpu", "vx"))
    for operators in (edge, vx):
        kinds = Counter(one.name for one in operators)
        assert kinds["CONV_2D"]
        assert not kinds["FULLY_CONNECTED"]
        assert not {"SQRT", "RSQRT", "MEAN"} & set(kinds)
    assert max(one.scales for op in vx for one in op.inputs) == 1
    assert max(one.scales for op in edge for one in op.inputs) > 1
    assert divide(vx, load_table("teflon")).mapped >= 10
    dense = divide(read_operators(made["ethosu"][key].read_bytes()), load_table("edgetpu"))
    assert divide(edge, load_table("edgetpu")).mapped > dense.mapped
    interpreter: Any = import_module("ai_edge_litert.interpreter").Interpreter
    graph = interpreter(model_path=str(made["edgetpu"][key]))
    assert {one["name"] for one in graph.get_output_details()} == {"h_out", "state"}
    assert {one["dtype"] for one in (*graph.get_input_details(), *graph.get_output_details())} == {np.float32}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [*STATIC, "fp16"])
def test_the_committed_forms_are_what_the_build_writes_of_one_layer(recipe: str, place: Place) -> None:
    trunk = student(replace(DIMS, layers=1, norm=NORM_OF[recipe])).trunk
    key = KEYS[-1]
    made = make_graphs(trunk, [key], [recipe], place, lambda _: None)

    def shape_free(operators: Sequence[Operator]) -> list[tuple[Any, ...]]:
        return [
            (one.name, [(t.dtype, t.constant, min(t.scales, 2)) for t in (*one.inputs, *one.outputs)])
            for one in operators
        ]

    fresh = read_operators(made[recipe][key].read_bytes())
    assert shape_free(fresh) == shape_free(read_form(recipe))


@pytest.mark.slow
def test_vela_puts_all_but_the_border_on_the_npu(made: Files) -> None:
    try:
        vela = find_vela(ROOT)
    except ToolMissingError as error:
        pytest.skip(str(error))
    report = compile_for_npu(vela, made["ethosu"][KEYS[0]])
    assert set(report.cpu) == {"QUANTIZE", "DEQUANTIZE"}
    assert report.share > 0.9
    assert report.estimated_s > 0
    assert report.compiled[4:8] == b"TFL3"


@pytest.mark.slow
def test_compact_files_say_the_same_in_fewer_bytes_that_lie_right(made: Files) -> None:
    source = made["ethosu"][KEYS[0]].read_bytes()
    again = compact(source)
    assert compact(again) == again
    assert len(again) <= len(source)
    interpreter: Any = import_module("ai_edge_litert.interpreter").Interpreter
    for data in (source, again):
        made_ = interpreter(model_content=data)
        names = {one["name"] for one in made_.get_input_details()}
        assert names == {"h", "bias", "cos", "sin"}
    assert buffer_places(again) == {0}
    assert [one.name for one in read_operators(again)] == [one.name for one in read_operators(source)]


def buffer_places(data: bytes) -> set[int]:
    """Where the buffers lie, modulo 16."""
    model = _Table(data, struct.unpack_from("<I", data, 0)[0])
    places = (buffer._vector(0) for buffer in model.tables(4))
    return {(place + 4) % 16 for place in places if place is not None}
