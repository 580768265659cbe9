"""A small lattice from weights to answers: converted in parallel, cached, run in each runtime, like torch at every prefix."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)

from conversion.check.answers import prefixes_of
from conversion.check.reference import Options, torch_answers
from conversion.check.runtime import RecipeFiles, Where, python_of, run_lattice
from conversion.check.slot_reading import SlotReading
from conversion.export.lattice import lattice_keys
from conversion.export.make import Place, make_graphs
from conversion.export.parts import write_parts
from conversion.export.recipes import RECIPES, bundle_name, report_name
from conversion.export.to_onnx import folded
from conversion.export.to_tflite import find_tool
from conversion.nets.deepseek_lite import Dims
from firmware_py.contracts.errors import ToolMissingError
from firmware_py.contracts.run import GraphKey
from firmware_py.contracts.slot_sets import SlotSets
from firmware_py.tasks.text import WordPiece
from tests.conversion.small import PIECES, student

ROOT = Path(__file__).resolve().parents[2]
DIMS = Dims(len(PIECES), d=32, heads=4, latent=8, rope=8, ffn=16, stages=2)


def texts(count: int) -> list[str]:
    draw = random.Random(3)
    sizes = (3, 7, 12, 30, 50)
    return [" ".join(draw.choices(PIECES[2:], k=sizes[n % len(sizes)])) for n in range(count)]


def test_the_shipped_lattice_has_39_graphs() -> None:
    keys = lattice_keys(3)
    assert len(keys) == len(set(keys)) == 39
    assert {key.width for key in keys if key.bucket == 64} == {4}
    assert {key.width for key in keys if key.bucket == 32} == {1, 2, 3, 4}


def test_only_the_default_recipe_is_not_named() -> None:
    assert bundle_name("home-en", "dyn8") == "home-en.bundle"
    assert {bundle_name("x", name) for name in RECIPES} >= {"x.bundle", "x.w8.bundle", "x.fp32.bundle"}


def test_seeds_of_one_folder_have_bundles_and_reports_of_their_own() -> None:
    names = [bundle_name("x", recipe, seed) for recipe in RECIPES for seed in range(3)]
    assert len(set(names)) == len(set(map(report_name, names))) == 3 * len(RECIPES)
    assert bundle_name("x", "dyn8", 1) == "x-1.bundle"
    assert report_name(bundle_name("x", "w8", 0)) == "x.w8.report.json"


def test_a_cache_key_knows_weights_width_and_length() -> None:
    from conversion.export.cache import float32_key

    trunk = student(DIMS).trunk
    keys = {float32_key(folded(trunk, key), key.bucket) for key in lattice_keys(2)}
    assert len(keys) == len(lattice_keys(2))
    first = folded(trunk, GraphKey(8, 1, 4))
    again = float32_key(folded(student(DIMS).trunk, GraphKey(8, 1, 4)), 8)
    assert float32_key(first, 8) == again
    with torch.no_grad():
        trunk.gates[0, 3] += 1e-3
    assert float32_key(folded(trunk, GraphKey(8, 1, 4)), 8) != again
    assert float32_key(folded(trunk, GraphKey(8, 1, 3)), 8) == float32_key(
        folded(student(DIMS).trunk, GraphKey(8, 1, 3)), 8
    )


@pytest.mark.slow
def test_every_prefix_says_what_torch_says_and_nothing_is_converted_twice(tmp_path: Path) -> None:
    runtimes = ("ai-edge-litert", "tflite-runtime")
    try:
        find_tool(ROOT)
        for runtime in runtimes:
            python_of(runtime, ROOT)
    except ToolMissingError as missing:
        pytest.skip(str(missing))
    model = student(DIMS)
    keys = lattice_keys(2, (8, 16, 32, 64), (1, 4))
    place = Place(ROOT, tmp_path / "cache")
    shares: list[float] = []
    files = make_graphs(model.trunk, keys, ["fp32", "w8"], place, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    made = {path: path.stat().st_mtime_ns for recipe in files.values() for path in recipe.values()}
    assert len(made) == 2 * len(keys)
    assert make_graphs(model.trunk, keys, ["fp32", "w8"], place, shares.append) == files
    assert made == {path: path.stat().st_mtime_ns for path in made}

    parts = write_parts(model, PIECES, tmp_path / "parts")
    heads = tuple(parts / f"head-{number}.npz" for number in range(3))
    prefixes = prefixes_of(list(product((1, 4), repeat=2)))
    said, tokenizer = texts(200), WordPiece(PIECES)  # of 70, one host's near ties were 4
    # What goes together is made up so that it changes tags: every text has the first slot once.
    labels = len(model.heads[0].intent_b2)
    slots = SlotReading(SlotSets(1.0, {n: {(0,): 10**6} for n in range(labels)}))
    reference = torch_answers(model, tokenizer, said, prefixes, Options(slots=slots))
    for runtime in runtimes:
        for recipe in ("fp32", "w8"):
            given = RecipeFiles(
                recipe,
                files[recipe],
                parts / "vocab.txt",
                parts / "embedding.npz",
                heads,
                DIMS.rope,
                slots=slots,
            )
            ours = run_lattice(given, Where(runtime, ROOT, timed=True), said, prefixes)
            assert set(ours.logits) == set(prefixes)
            assert set(ours.ops) == set(ours.seconds) == set(keys)
            for prefix in prefixes:
                error = np.abs(ours.logits[prefix] - reference.logits[prefix])
                assert error.mean() < 0.1, (runtime, recipe, prefix)
                assert (ours.tags[prefix] >= 0).sum() == (reference.tags[prefix] >= 0).sum()
                real = reference.slot_tags[prefix] >= 0
                same = (ours.slot_tags[prefix] == reference.slot_tags[prefix])[real]
                assert same.mean() > 0.95, (runtime, recipe, prefix)
                assert (ours.slot_tags[prefix] != ours.tags[prefix]).any(), (runtime, recipe, prefix)
                unsure = np.abs(ours.slots_sure[prefix] - reference.slots_sure[prefix])
                assert unsure.mean() < 0.01, (runtime, recipe, prefix)
                assert reference.slots_sure[prefix].std() > 0.01
                agree = (ours.logits[prefix].argmax(1) == reference.logits[prefix].argmax(1)).mean()
                assert agree > 0.95, (runtime, recipe, prefix)
