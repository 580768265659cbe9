"""`ciuic bench request` runs, measures what it says and writes a file; its figures are not judged here."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from ciuic.bench import request as bench
from ciuic.bench.request_sentences import sentences
from firmware_py.contracts.errors import ConfigError
from firmware_py.testing.tiny_bundle import write_tiny_bundle


def _args(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bench.configure(parser)
    return parser.parse_args(words)


@pytest.mark.usefixtures("any_broker")
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
    assert {"node/start", "ciuic --help"} <= names
    assert len(found["checks"]) == 8
    assert all(check["value"] is not None for check in found["checks"])
    (told,) = (check for check in found["checks"] if check["name"].startswith("ciuic --help"))
    assert told["name"] == "ciuic --help, median of 1 runs"
    assert (told["bound"], told["unit"], told["relation"]) == (0.150, "s", "<=")


def test_sentences_are_distinct_and_always_the_same() -> None:
    texts = sentences(1500)
    assert len(set(texts)) == 1500
    assert texts == sentences(1500)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("-n", "10"), "below 1000"),
        (("--quick", "-n", "0"), "below 1"),
        (("-n", "100000"), "fewer than 100000"),
        (("--turn", "1"), "--turn 1"),
        (("--bundle", "absent"), "no bundle"),
    ],
)
def test_what_makes_no_measurement_is_a_usage_error_at_once(words: tuple[str, ...], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        bench.run(_args(*words))
