"""From a student to a bundle and its report; torch answers in the graphs' place, so nothing is converted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)

from conversion.check.answers import LatticeAnswers, Prefix
from conversion.check.calibrate import Strangeness
from conversion.check.cascade import judge_rows
from conversion.check.reference import torch_answers
from conversion.check.rows import load_rows
from conversion.data.sentence import Sentence
from conversion.data.task import TaskData
from conversion.export.lattice import lattice_keys
from conversion.export.parts import write_parts
from conversion.export.sizes import sizes
from conversion.nets.deepseek_lite import Dims
from conversion.nets.student import Student
from conversion.release import listen
from conversion.release.listen import SPLITS, Target, Trained
from conversion.release.ways import judge_of
from conversion.release.write import release
from firmware_py.bundles.read import read_bundle
from firmware_py.bundles.sign import new_key
from firmware_py.bundles.verify import Trust
from firmware_py.tasks.text import WordPiece

PIECES = (
    "[PAD]",
    "[UNK]",
    "turn",
    "on",
    "off",
    "the",
    "lamp",
    "fan",
    "sing",
    "please",
    "now",
    "kitchen",
    "dance",
    "and",
    "then",
)
LABELS = ("off", "on", "oos")
DIMS = Dims(len(PIECES), d=16, heads=4, latent=4, rope=4, ffn=16, stages=2, dropout=0.0)


def rows(side: int, lang: str = "en") -> tuple[Sentence, ...]:
    """Forty rows, every fifth foreign; each side says them differently."""
    out = []
    for number in range(40):
        before = ("", "please ", "now ")[(number + side) % 3] * (1 + number % 2)
        what, thing = ("on", "off")[number % 2], ("lamp", "fan", "kitchen lamp")[number % 3]
        head = f"{before}turn {what} the "
        slots = ((len(head), len(head + thing), "name"),)
        out.append(Sentence(head + thing, what, slots, lang=lang))
        if number % 5 == 0:
            out.append(Sentence(f"{before}sing and dance", "oos", lang=lang))
    return tuple(out)


def trained(folder: Path, *, slots: bool) -> Trained:
    """An untrained student of two stages: what it says is noise, which any figure may be of."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    data = TaskData(
        "tiny", "tiny", ("en", "de"), LABELS, ("name",) if slots else (),
        rows(0), rows(1), rows(2), rows(3), (*rows(4), *rows(5, "de")), extras={"strange": rows(6)},
    )  # fmt: skip
    student = Student(DIMS, len(LABELS), len(data.slots)).eval()
    parts = write_parts(student, PIECES, folder / "parts")
    return Trained(data, student, PIECES, parts, Strangeness(), {"settings": {"seed": 7}})


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let torch answer where the graphs would."""

    def use(one: Trained) -> None:
        def said(_files: Any, _where: Any, texts: list[str], prefixes: list[Prefix]) -> LatticeAnswers:
            return torch_answers(one.student, WordPiece(list(PIECES)), texts, prefixes)

        monkeypatch.setattr(listen, "run_lattice", said)

    return use


@pytest.mark.parametrize("slots", [True, False])
def test_a_bundle_and_its_report_say_the_same(tmp_path: Path, answers: Any, slots: bool) -> None:
    one = trained(tmp_path, slots=slots)
    answers(one)
    graphs = {key: tmp_path / f"{key.bucket}-{key.stage}-{key.width}" for key in lattice_keys(DIMS.stages)}
    for number, path in enumerate(graphs.values()):
        path.write_bytes(b"graph %d" % number)
    new_key(tmp_path, "builder")
    out = tmp_path / "tiny.bundle"
    report = release(one, Target("dyn8", graphs, out, tmp_path / "builder.key", tmp_path, every=not slots))

    bundle = read_bundle(out, Trust(tmp_path, allow_unsigned=False))
    manifest = bundle.manifest
    assert report["sha256"] == bundle.sha256
    assert report["sizes"] == sizes(manifest, out.stat().st_size).to_dict()
    assert set(report["rules"]) == {*manifest.exit_rules, "full"}
    assert report["zeroth_rules"] == manifest.zeroth_rules
    assert report["zeroth_kept"] == any(head.exit == 0 for head in manifest.heads)
    assert report["scope"]["threshold"] == manifest.out_of_scope_threshold
    assert {(width,) * 2 for width in (3, 2, 1)} <= {variant.widths for variant in manifest.variants}
    assert tuple(report["accuracy_by_exit"][1:]) == manifest.accuracy_by_exit
    assert (report["accuracy_by_exit"][0] is None) == slots
    assert [part["agreement"] for part in report["parity"]] == [1.0] * len(manifest.runtimes)
    assert set(report["languages"]) == {"de", "en"}
    assert report["extras"]["strange"]["n"] == 40

    kept = load_rows(tmp_path / "rows-dyn8-7.npz")
    assert set(kept.systems) == set(report["rules"])
    known = kept.truth.inside
    for name, system in kept.systems.items():
        assert report["rules"][name]["accuracy"] == pytest.approx(float(system.right[known].mean()), abs=1e-5)


def test_the_scope_threshold_is_found_without_the_rows_that_test_harm(tmp_path: Path) -> None:
    one, tokenizer = trained(tmp_path, slots=False), WordPiece(list(PIECES))
    texts = {name: [row.text for row in one.data.split(name)] for name in SPLITS}
    prefixes = [(4,), (4, 4)]
    said = {name: torch_answers(one.student, tokenizer, texts[name], prefixes) for name in SPLITS}
    found = judge_of(one, tokenizer, {"temperature": said["temperature"]})  # no other answers are needed
    other = replace(one, data=replace(one.data, thresholds=rows(9)[:5], selection=(), report=()))
    assert judge_of(other, tokenizer, said).scope == found.scope
    score = judge_rows(said["temperature"].logits[4, 4], found.temperatures[4, 4], found.scope).score
    ours = np.array([row.intent != "oos" for row in one.data.temperature])
    assert (score[ours] >= found.scope.threshold).mean() <= one.strangeness.rejected
