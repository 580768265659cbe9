"""The engine benchmark: what it counts, what it checks, and that it runs on the shipped bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ciuic.bench import engine
from ciuic.cli import main
from firmware_py.backends.litert import installed
from firmware_py.bundles.read import unpack
from firmware_py.compose import trust_of
from firmware_py.config import AgentConfig
from firmware_py.contracts.run import GraphKey, RunRecord, StageRun
from firmware_py.tasks.intent import IntentTask

ROOT = Path(__file__).resolve().parents[3]
STAGE = StageRun(GraphKey(8, 1, 4), "xnnpack", 0.0, 0.0001)
RECORD = RunRecord("ab", "8/w4-4-4/balanced/dyn8", (STAGE,), 1, 0.0, 0.0002, 5)


def figures(engine_s: float) -> engine.Figures:
    """1000 sentences, bare 100 µs each, nine of ten leaving at exit 1."""
    made = engine.Figures("ab", "dyn8")
    made.bare_s = [100e-6] * 1000
    made.engine_s = [engine_s] * 1000
    made.node_s = [2 * engine_s] * 1000
    made.hits_s = [4e-6] * 10
    made.records = [
        RECORD if at % 10 else replace(RECORD, exit=2, stages=(STAGE, STAGE)) for at in range(1000)
    ]
    made.starts_s, made.resident_bytes = [0.4, 0.3, 0.5], 70_000_000
    return made


def test_the_bounds_are_those_of_the_issue() -> None:
    """100 µs bare: 119 µs is within 20 µs, 121 µs is not."""
    good = {check.name: check.ok for check in engine.report(figures(119e-6), 1000).checks}
    assert all(good.values())
    bad = {check.name: check.ok for check in engine.report(figures(121e-6), 1000).checks}
    assert [name for name, ok in bad.items() if not ok] == [
        "engine over bare interpreters and heads, p50 of pairs"
    ]


def test_the_file_has_a_row_per_exit_and_one_for_hits() -> None:
    measurement = engine.report(figures(110e-6), 1000).to_dict()
    what = [(row["extra"]["what"], row["exit"], row["n"]) for row in measurement["rows"]]
    assert ("engine, answered by this exit", 1, 900) in what
    assert ("engine, answered by this exit", 2, 100) in what
    assert ("node, inline, cache hit", None, 10) in what
    assert "FAIL" not in engine.table(engine.report(figures(110e-6), 1000))


def test_rows_of_one_length_have_the_cost_tables_key_and_the_others_a_name() -> None:
    made = figures(110e-6)
    longer = replace(RECORD, configuration="16/w4-4-4/balanced/dyn8")
    made.records = [longer if at % 4 == 0 else record for at, record in enumerate(made.records)]
    rows = engine.report(made, 1000).rows
    named = [row.config for row in rows if row.configuration is None]
    assert named == ["engine", "bare", "node/inline", "node/hit", "node/start"]
    keyed = {(str(row.configuration), row.exit): row for row in rows if row.configuration is not None}
    assert list(keyed) == [
        ("8/w4-4-4/balanced/dyn8", None),
        ("8/w4-4-4/balanced/dyn8", 1),
        ("8/w4-4-4/balanced/dyn8", 2),
        ("16/w4-4-4/balanced/dyn8", None),
        ("16/w4-4-4/balanced/dyn8", 1),
    ]
    assert [row.n for row in keyed.values()] == [750, 700, 50, 250, 250]
    assert keyed["16/w4-4-4/balanced/dyn8", 1].extra["share"] == 0.25
    assert "answered by this exit 2 (5%), 8/w4-4-4/balanced/dyn8" in engine.table(engine.report(made, 1000))


def test_too_few_sentences_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "engine", "-n", "10"]) == 2
    assert "below 1000 sentences" in capsys.readouterr().err


def test_it_measures_the_shipped_bundle(tmp_path: Path) -> None:
    """Engine and bare loop run the same stages; no time is asserted."""
    runtime = installed()
    path = ROOT / "models" / ("home-en.bundle" if runtime and "litert" in runtime[0] else "home-en.w8.bundle")
    if runtime is None or not path.exists():
        pytest.skip("no runtime or no shipped bundle here")
    config = AgentConfig(
        profile="simulated", model=(str(path),), store=str(tmp_path), cache_entries=0, meter="off"
    )
    texts = [f"turn on the {place} light" for place in ("kitchen", "garden", "office", "attic", "hall")]
    found = engine.measure(config, texts)
    assert len(found.engine_s) == len(found.bare_s) == len(found.node_s) == len(found.records) == 5
    start_s, resident, status = engine._start(config, texts)
    assert start_s > 0.0
    assert resident > 10_000_000
    assert status in {"ok", "out_of_scope"}
    json.dumps(engine.report(replace_counts(found), 5).to_dict())


def replace_counts(found: engine.Figures) -> engine.Figures:
    """What `run` adds to measured figures."""
    found.hits_s, found.starts_s = [1e-6], [0.1]
    return found


@pytest.mark.skipif("litert" not in (installed() or ("",))[0], reason="dyn8 needs ai-edge-litert")
def test_a_bundle_without_slots_has_bare_stages_without_tags(tmp_path: Path) -> None:
    path = ROOT / "models" / "hwu64.bundle"
    config = AgentConfig(
        node="bench", profile="simulated", model=(str(path),), store=str(tmp_path), meter="off"
    )
    unpacked = unpack(path, trust_of(config), tmp_path)
    task = IntentTask(unpacked.manifest, unpacked.read(unpacked.manifest.tokenizer.name))
    encoded = task.encode({"text": "set an alarm for seven tomorrow"})
    with engine._Rig(unpacked) as rig:
        outcome = rig.run(encoded)
        assert (outcome.verdict.out_of_scope, list(outcome.tags)) == (False, [])
        rig.bare(encoded, outcome)()
