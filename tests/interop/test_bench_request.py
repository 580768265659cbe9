"""`ciuic bench request` runs, measures what it says and writes a file; its figures are not judged here."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from ciuic.bench import request as bench
from firmware_py.contracts.errors import ConfigError
from firmware_py.testing.tiny_bundle import write_tiny_bundle


def _args(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bench.configure(parser)
    return parser.parse_args(words)


def test_a_short_run_writes_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    bundle = tmp_path / "tiny.bundle"
    write_tiny_bundle(bundle)
    words = ["--bundle", str(bundle), "--allow-unsigned", "--quick", "-n", "60", "--out", str(tmp_path)]
    status = bench.run(_args(*words, "--node-option=--meter", "--node-option=off", "--json"))
    assert status in (0, 1)
    found = json.loads((tmp_path / "request.json").read_text())
    names = {row["config"] for row in found["rows"]}
    for qos in (0, 1):
        assert {f"{name}/q{qos}" for name in ("request", "floor", "echo", "bare", "hit", "queued")} <= names
        assert f"request/q{qos}/alternating" in names
    assert "node/start" in names
    assert len(found["checks"]) == 7
    assert all(check["value"] is not None for check in found["checks"])


def test_sentences_are_distinct_and_always_the_same() -> None:
    texts = bench.sentences(1500)
    assert len(set(texts)) == 1500
    assert texts == bench.sentences(1500)


def test_too_few_sentences_and_no_bundle_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        bench.run(_args("-n", "10"))
    with pytest.raises(ConfigError):
        bench.run(_args("--bundle", str(tmp_path / "absent")))
