"""A checkpoint becomes a signed bundle that answers: the whole way, with little of everything.

Two stages of one layer, one length of graphs, a hundred steps of training on some forty rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)

from ciuic.cli import main
from conversion import pipeline
from conversion.checkpoint.course import PLAN, Source
from conversion.data.workbench import Workbench
from conversion.export.lattice import WIDTHS, lattice_keys
from conversion.export.make import Place, make_graphs
from conversion.export.to_tflite import find_tool
from conversion.nets.deepseek_lite import Dims
from conversion.nets.student import Student
from conversion.release import listen, ways
from firmware_py.bundles.read import read_bundle
from firmware_py.bundles.sign import new_key
from firmware_py.bundles.verify import Trust
from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.errors import ToolMissingError
from tests.conversion import checkpoints

ROOT = Path(__file__).resolve().parents[2]
BUCKET = 16
SAID = {"open": "open the {} please", "shut": "shut the {} now", "who": "who was in the {}"}
FILLED = ("kitchen", "garden", "attic", "hall", "office", "cellar", "garage", "study", "porch", "shed", "barn", "bath", "den", "loft")  # fmt: skip


@pytest.fixture(autouse=True)
def onnx2tf() -> None:
    """Skip where nothing can be converted."""
    try:
        find_tool(ROOT)
    except ToolMissingError as error:
        pytest.skip(error.message)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own, so that no graph is taken from an earlier build; all texts are of one length."""
    torch.set_num_threads(1)  # on a busy machine two wait for each other at every barrier
    made = tmp_path / "checkout"
    made.mkdir()
    for name in (".venvs", "conversion", "firmware_py"):
        (made / name).symlink_to(ROOT / name)
    monkeypatch.setattr(pipeline, "lattice_keys", partial(lattice_keys, buckets=(BUCKET,)))
    monkeypatch.setattr(pipeline, "Place", partial(Place, workers=1))  # eight graphs are one process's work
    monkeypatch.setattr(pipeline, "BUCKETS", (BUCKET,))
    monkeypatch.setattr(listen, "BUCKETS", (BUCKET,))
    monkeypatch.setattr(ways, "widths_by_bucket", lambda: {BUCKET: WIDTHS})
    return made


@pytest.mark.slow
@pytest.mark.timeout(3600)  # two minutes on two cores that do nothing else
@pytest.mark.parametrize(
    ("make", "architecture"), [(checkpoints.deepseek_v3, "deepseek_v3"), (checkpoints.qwen2, "qwen2")]
)
def test_a_checkpoint_becomes_a_bundle_that_answers(
    make: Callable[[Path], Path],
    architecture: str,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        {"text": text.format(thing), "intent": intent} for intent, text in SAID.items() for thing in FILLED
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    new_key(tmp_path / "keys", "test")
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "test.pub").write_bytes((tmp_path / "keys" / "test.pub").read_bytes())
    settings = replace(PLAN.settings, stages=2, batch=32, epochs=1)
    job = pipeline.Job(
        "rooms", settings, ("dyn8",), root, None, tmp_path, tmp_path / "keys" / "test.key",
        Source(make(tmp_path / "checkpoint")), (tmp_path / "rows.jsonl",),
    )  # fmt: skip
    bench = Workbench(tmp_path / "build", SystemClock(), lambda _: None, pipeline.usual_seconds(job))
    report = pipeline.build(job, bench)
    assert report["teachers"][0]["architecture"] == architecture
    assert report["teachers"][0]["shards"] > 1
    assert report["teachers"][0]["method"] == "probed"
    manifest = read_bundle(tmp_path / "rooms.bundle", Trust(tmp_path / "trust")).manifest
    assert (manifest.stages, manifest.buckets, len(manifest.graphs)) == (2, (BUCKET,), 2 * len(WIDTHS))

    flags: dict[str, Any] = {
        "bundle": tmp_path / "rooms.bundle", "data": tmp_path / "rows.jsonl", "trust": tmp_path / "trust",
        "store": tmp_path / "store", "meter": "off",
    }  # fmt: skip
    asked = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    assert main(["eval", "--json", *asked]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["n"] == len(rows)
    assert summary["accuracy"] > 0.9


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_same_weights_make_the_same_files(tmp_path: Path) -> None:
    made = []
    for name in ("first", "second"):
        torch.manual_seed(5)
        dims = Dims(28, d=32, heads=4, latent=8, rope=8, ffn=16, stages=1)
        trunk = Student(dims, labels=2, slots=0).eval().trunk
        place = Place(ROOT, tmp_path / name, 1)
        files = make_graphs(trunk, lattice_keys(1, (8,), (4,)), ["fp32", "dyn8"], place, lambda _: None)
        made.append(
            {
                (recipe, str(key)): hashlib.sha256(path.read_bytes()).hexdigest()
                for recipe, some in files.items()
                for key, path in some.items()
            }
        )
    assert made[0] == made[1]
    assert len(set(made[0].values())) == 2
