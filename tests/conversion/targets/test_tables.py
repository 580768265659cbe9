"""What a delegate takes is judged by a table with sources."""

from __future__ import annotations

import re

import pytest

from conversion.targets.tables import load_table, refusal, table_names
from conversion.targets.tflite import Operator
from device_profiles.loader import list_profiles, load_profile
from tests.conversion.targets.rig import ROOT, chain, dense, tensor


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
