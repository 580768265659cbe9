"""Operators are read, judged by sourced tables and divided; boards hear what they would get, before anyone flashes."""

from __future__ import annotations

import argparse
import functools
import json
import re
import shutil
import struct
import subprocess
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from conversion.check.runtime import python_of
from conversion.cli import configure_model
from conversion.targets import command
from conversion.targets.forms import read_form, write_form
from conversion.targets.mapping import AFTER_THE_FIRST, divide, total
from conversion.targets.report import Built, Measured, Row, build_command, rows, table_text
from conversion.targets.tables import load_table, refusal, table_names
from conversion.targets.tflite import Operator, Tensor, read_operators
from device_profiles.loader import list_profiles, load_profile
from firmware_py.bundles.read import Bundle, read_bundle
from firmware_py.bundles.verify import Trust
from firmware_py.contracts.errors import BundleFormatError, ToolMissingError

ROOT = Path(__file__).resolve().parents[3]
HOME = ROOT / "models" / "home-en.bundle"
TRUST = Trust(ROOT / "models" / "trust", False)


def tensor(index: int, **asked: Any) -> Tensor:
    return replace(Tensor(index, "int8", (1, 8, 1, 16), False, 1, True), **asked)


def chain(*names: str, **asked: Any) -> list[Operator]:
    """Operators that each read what the one before wrote."""
    return [
        Operator(name, (tensor(place, **asked),), (tensor(place + 1, **asked),))
        for place, name in enumerate(names)
    ]


def dense(rows_: int, scales: int = 1, *, constant: bool = True, name: str = "FULLY_CONNECTED") -> Operator:
    data, out = tensor(0, shape=(rows_, 16)), tensor(2, shape=(rows_, 16))
    return Operator(name, (data, tensor(1, shape=(16, 16), constant=constant, scales=scales)), (out,))


@functools.cache
def home() -> Bundle:
    return read_bundle(HOME, TRUST)


@functools.cache
def graphs() -> list[bytes]:
    bundle = home()
    return [bundle.files[graph.file.name] for graph in bundle.manifest.graphs]


# --- reading -----------------------------------------------------------------------------------------


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


# --- tables ------------------------------------------------------------------------------------------


def test_every_table_has_sources_and_names_that_tflite_knows() -> None:
    known = set((ROOT / "conversion/targets/operators/builtin.txt").read_text().split())
    assert {"xnnpack", "tflite-runtime", "gpu", "edgetpu", "ethosu", "vx", "teflon"} == set(table_names())
    for name in table_names():
        table = load_table(name)
        assert all(len(source) > 20 for source in table.sources), name
        assert table.sources
        assert set(table.operators) <= known, set(table.operators) - known


def test_a_test_that_a_table_cites_exists() -> None:
    cited = 0
    for name in table_names():
        for source in load_table(name).sources:
            for path, test in re.findall(r"(tests/[\w/]+\.py)(?:, (\w+))?", source):
                cited += 1
                assert f"def {test}(" in (ROOT / path).read_text("utf-8")
    assert cited >= 2


def test_every_delegate_of_a_profile_has_a_table() -> None:
    for name in list_profiles():
        assert {one.name for one in load_profile(name).delegates} <= set(table_names())


@pytest.mark.parametrize(
    ("operator", "table", "why"),
    [
        (dense(1), "edgetpu", None),
        (dense(8), "edgetpu", "over 8 rows"),
        (dense(8, name="CONV_2D", scales=16), "edgetpu", None),
        (dense(8, name="CONV_2D", scales=16), "teflon", "a scale per channel"),
        (dense(8, name="CONV_2D"), "teflon", None),
        (dense(8), "teflon", "no such operator"),
        (dense(8), "gpu", "works on int8"),
        (dense(8, constant=False, name="BATCH_MATMUL"), "edgetpu", "no such operator"),
        (chain("TANH")[0], "ethosu", None),
        (chain("SQRT")[0], "ethosu", "no such operator"),
        (chain("SOFTMAX")[0], "edgetpu", "over 8 rows"),
        (chain("SOFTMAX")[0], "xnnpack", "works on int8"),
        (chain("SOFTMAX", dtype="float32")[0], "xnnpack", None),
        (chain("MUL", shape=(2, 3, 4, 5))[0], "edgetpu", "4 axes"),
        (Operator("BATCH_MATMUL", (tensor(0), tensor(1, symmetric=False)), (tensor(2),)), "xnnpack", "zero point"),
        (Operator("ADD", (tensor(0), tensor(1, constant=True)), (tensor(2),)), "teflon", "constant"),
        (chain("DEQUANTIZE")[0], "edgetpu", "float32"),
    ],
)  # fmt: skip
def test_a_table_takes_or_leaves_an_operator(operator: Operator, table: str, why: str | None) -> None:
    said = refusal(operator, load_table(table))
    assert (said is None) == (why is None), said
    assert why is None or why in str(said)


# --- dividing ----------------------------------------------------------------------------------------


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


# --- boards ------------------------------------------------------------------------------------------


def built(recipe: str = "dyn8", accuracy: float = 0.9) -> Built:
    bundle = home()
    exits = (*bundle.manifest.accuracy_by_exit[:-1], accuracy)
    figures = {**bundle.manifest.provenance["figures"], "accuracy": accuracy}
    provenance = {**bundle.manifest.provenance, "figures": figures}
    manifest = replace(bundle.manifest, recipe=recipe, accuracy_by_exit=exits, provenance=provenance)
    return Built(HOME, manifest, bundle.sha256, 1000, (graphs()[0],))


def row_of(found: list[Row], board: str, delegate: str) -> Row:
    return next(row for row in found if (row.board, row.delegate) == (board, delegate))


def test_every_ladder_has_its_rows_and_unknown_is_null() -> None:
    reference = built()
    found = rows({"dyn8": reference}, reference, {})
    for name in list_profiles():
        for delegate in load_profile(name).delegates:
            assert row_of(found, name, delegate.name).recipe == delegate.recipe
    coral = row_of(found, "coral-dev-board", "edgetpu")
    assert coral.status == "not built: ciuic model build home-en --recipe edgetpu"
    assert coral.operators is not None
    assert 0.1 < (coral.operators.share or 0.0) < 0.5
    assert "nothing of this model" in coral.basis
    assert (coral.accuracy_change, coral.predicted_s, coral.predicted_j) == (None, None, None)
    assert row_of(found, "raspberry-pi-5", "xnnpack").predicted_s is None


def staged() -> Built:
    """As `ciuic model build minilm` writes it: another architecture, which has no recipes but its own."""
    reference = built()
    sizes = {"d_model": 384.0, "heads": 12.0}
    manifest = replace(
        reference.manifest, name="hwu64-minilm", attention="bidirectional", frame=(101, 102), dims=sizes
    )
    return replace(reference, manifest=manifest)


def test_of_another_architecture_nothing_is_said_that_is_not_known() -> None:
    reference = staged()
    found = rows({"dyn8": reference}, reference, {})
    assert row_of(found, "raspberry-pi-5", "xnnpack").status == "built"
    unknown = [row for row in found if row.status != "built"]
    assert {row.delegate for row in unknown} >= {"edgetpu", "vx", "gpu", "ethosu", "teflon"}
    for row in unknown:
        assert row.status == "not known for this architecture"
        assert (row.operators, row.accuracy, row.predicted_s) == (None, None, None)
    text = table_text(found)
    assert "ciuic model build" not in text
    assert "BATCH_MATMUL" not in text
    assert "[1] not known for this architecture" in text
    assert "tflite-runtime" not in text  # no w8 of it is there, nor can one be built


@pytest.mark.parametrize(
    "change", [{"attention": "bidirectional"}, {"frame": (101, 102)}, {"dims": {"d_model": 384.0}}]
)
def test_what_differs_from_deepseeklite_in_one_thing_has_no_recipe_to_build(change: dict[str, Any]) -> None:
    manifest = built().manifest
    assert build_command(manifest, "w8") == "ciuic model build home-en --recipe w8"
    assert build_command(replace(manifest, **change), "w8") is None


def test_a_custom_model_s_other_recipes_have_a_command_that_exists() -> None:
    reference = built()
    reference = replace(reference, manifest=replace(reference.manifest, name="mine"))
    coral = row_of(rows({"dyn8": reference}, reference, {}), "coral-dev-board", "edgetpu")
    assert coral.operators is not None  # it is a DeepSeekLite
    command = coral.status.removeprefix("not built: ")
    assert command.startswith(
        "ciuic model build custom --name mine --recipe edgetpu --checkpoint DIR --data FILE"
    )
    parser = argparse.ArgumentParser()
    configure_model(parser)
    asked = parser.parse_args(command.removesuffix(" (as before)").split()[2:])
    assert (asked.name, asked.as_name, asked.recipe) == ("custom", "mine", "edgetpu")


def test_the_cpu_under_tflite_runtime_has_its_row_of_w8() -> None:
    reference, other = built(), built("w8", 0.893)
    found = rows({"dyn8": reference, "w8": other}, reference, {"w8": Measured(3e-4, "elsewhere.json")})
    row, profile = row_of(found, "raspberry-pi-5", "tflite-runtime"), load_profile("raspberry-pi-5")
    assert (row.recipe, row.status, row.size_bytes) == ("w8", "built", 1000)
    assert row.accuracy_change == pytest.approx(-0.7)
    factor, busy_w = profile.simulation.speed_factor, profile.simulation.busy_w
    assert factor is not None and busy_w is not None  # noqa: PT018 - for the type checker
    assert row.predicted_s == pytest.approx(3e-4 * factor)
    assert row.predicted_j == pytest.approx(3e-4 * factor * busy_w)
    with_cpu = [
        name for name in list_profiles() if "xnnpack" in {d.name for d in load_profile(name).delegates}
    ]
    assert [one.board for one in found if one.delegate == "tflite-runtime"] == with_cpu
    without = row_of(rows({"dyn8": reference}, reference, {}), "raspberry-pi-5", "tflite-runtime")
    assert without.status == "not built: ciuic model build home-en --recipe w8"


def test_the_shipped_w8_bundle_is_found() -> None:
    document = command.targets(HOME, TRUST, ROOT / "docs" / "measurements")
    row = next(row for row in document["rows"] if row["delegate"] == "tflite-runtime")
    assert row["bundle"] == "home-en.w8.bundle"
    assert row["size_bytes"] == (ROOT / "models" / "home-en.w8.bundle").stat().st_size
    assert 0.8 < row["operators"]["share"] < 1.0
    assert "ciuic model tradeoff" in row["basis"] or row["predicted_s"] is not None


def test_a_form_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    operators = read_operators(graphs()[0])
    raw = json.loads(write_form(operators))
    assert len(raw["operators"]) == len(operators)
    assert read_form("nothing") == ()
    for name in ("ethosu", "edgetpu", "vx", "fp16"):
        again = json.loads(write_form(read_form(name)))
        assert again == json.loads((ROOT / "conversion/targets/forms" / f"{name}.json").read_text())


def test_predictions_say_what_they_rest_on() -> None:
    reference = built()
    found = rows({"dyn8": reference}, reference, {"dyn8": Measured(1e-4, "somewhere.json")})
    pi, profile = row_of(found, "raspberry-pi-5", "xnnpack"), load_profile("raspberry-pi-5")
    factor, busy_w = profile.simulation.speed_factor, profile.simulation.busy_w
    assert factor is not None and busy_w is not None  # noqa: PT018 - for the type checker
    assert pi.predicted_s == pytest.approx(1e-4 * factor)
    assert pi.predicted_j == pytest.approx(1e-4 * factor * busy_w)
    assert "somewhere.json" in pi.basis
    assert "predicted" in pi.basis
    assert row_of(found, "rock-5b", "xnnpack").predicted_j is None


def test_a_recipe_says_its_size_and_what_it_costs_in_accuracy() -> None:
    reference, other = built(), built("edgetpu", 0.885)
    found = rows({"dyn8": reference, "edgetpu": other}, reference, {})
    coral = row_of(found, "coral-dev-board", "edgetpu")
    assert coral.accuracy_change == pytest.approx(-1.5)
    assert coral.operators is not None
    assert coral.operators.mapped == 0
    assert any("coral.ai" in source for source in coral.sources)
    text = table_text(found)
    assert "88.50% (-1.50)" in text
    assert "works on float32" in text
    assert max(map(len, text.splitlines())) <= 120
    assert text.count("[1]") == 3  # the board, the stick, and one note for both


def test_the_document_names_what_it_left_out(tmp_path: Path) -> None:
    copy = tmp_path / "home-en.bundle"
    for name in ("home-en.bundle", "home-en.bundle.sig"):
        (tmp_path / name).write_bytes((ROOT / "models" / name).read_bytes())
    (tmp_path / "home-en.vx.bundle").write_bytes(b"damaged")
    (tmp_path / "home-en.vx.bundle.sig").write_bytes((ROOT / "models" / "home-en.bundle.sig").read_bytes())
    document = command.targets(copy, TRUST, tmp_path)
    assert list(document["refused"]) == ["home-en.vx.bundle"]
    json.dumps(document)
    assert document["simulated"] is True
    built_ = [row for row in document["rows"] if row["status"] == "built"]
    assert {row["recipe"] for row in built_} == {"dyn8"}
    assert all(row["operators"]["share"] == 1.0 for row in built_)


def test_seconds_are_only_those_of_this_very_bundle(tmp_path: Path) -> None:
    sha256 = home().sha256
    rows_ = [{"config": "balanced", "latency_s": {"p50": 2e-4}, "extra": {"what": "this engine"}}]
    for digest, known in ((sha256, True), ("0" * 64, False)):
        (tmp_path / "model-home-en.json").write_text(json.dumps({"bundle_sha256": digest, "rows": rows_}))
        document = command.targets(HOME, TRUST, tmp_path)
        pi = next(row for row in document["rows"] if row["board"] == "raspberry-pi-5")
        assert (pi["predicted_s"] is not None) == known


def w8_rows(folder: Path) -> list[dict[str, Any]]:
    document = command.targets(HOME, TRUST, folder)
    return [
        row
        for row in document["rows"]
        if row["delegate"] == "tflite-runtime" and row["board"] == "raspberry-pi-5"
    ]


def test_seconds_are_only_those_of_the_row_s_runtime(tmp_path: Path) -> None:
    """A bench of the w8 bundle in ai-edge-litert says nothing about tflite-runtime."""
    w8 = read_bundle(ROOT / "models" / "home-en.w8.bundle", TRUST).sha256
    timed = [{"config": "balanced", "latency_s": {"p50": 2e-4}, "extra": {}}]
    for versions, notes, known in (
        ({"ai-edge-litert": "2.3.0"}, [], False),
        ({"tflite-runtime": "2.14.0"}, [], True),
        ({"tflite-runtime": "2.14.0"}, ["BUSY MACHINE: not for publication."], False),
    ):
        found = {"bundle_sha256": w8, "rows": timed, "versions": versions, "notes": notes}
        (tmp_path / "engine.json").write_text(json.dumps(found))
        assert [row["predicted_s"] is not None for row in w8_rows(tmp_path)] == [known]


def test_a_trade_off_times_each_runtime(tmp_path: Path) -> None:
    w8 = read_bundle(ROOT / "models" / "home-en.w8.bundle", TRUST).sha256
    factor = load_profile("raspberry-pi-5").simulation.speed_factor
    assert factor is not None
    latency = {"ai-edge-litert": {"p50": 1e-4}, "tflite-runtime": {"p50": 3e-4}}
    point = {"name": "balanced", "reachable": True, "latency_s": latency}
    for digest, quiet, family, seconds in (
        (w8, True, 26, 3e-4 * factor),
        (w8, False, 26, None),
        (w8, True, 23, None),  # a board's factor is against the reference host
        ("0" * 64, True, 26, None),
    ):
        found = {
            "bundle": {"sha256": digest},
            "machine": {"cpu_family": family},
            "timings": {name: {"quiet": quiet} for name in latency},
            "points": [point],
        }
        (tmp_path / "home-en.w8.tradeoff.json").write_text(json.dumps(found))
        (row,) = w8_rows(tmp_path)
        assert row["predicted_s"] == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("home-en.bundle", {"home-en.bundle", "home-en.w8.bundle"}),
        ("home-en.w8.bundle", {"home-en.bundle", "home-en.w8.bundle"}),
        ("home-en-1.bundle", {"home-en-1.bundle"}),
    ],
)
def test_another_seed_s_recipes_are_not_this_one_s(tmp_path: Path, asked: str, found: set[str]) -> None:
    for name in found | {"home-en.w8.bundle"}:
        source = HOME.with_name(name.replace("-1", ""))
        for ending in ("", ".sig"):
            shutil.copy(f"{source}{ending}", f"{tmp_path / name}{ending}")
    document = command.targets(tmp_path / asked, TRUST, tmp_path / "none")
    assert {row["bundle"] for row in document["rows"]} - {None} == found
