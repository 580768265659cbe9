"""One table, one precedence; the reference page is generated from it."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from firmware_py.config import (
    AGENT,
    AgentConfig,
    Sources,
    add_flags,
    from_args,
    read_file,
    reference,
    resolve,
)
from firmware_py.contracts.errors import ConfigError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ref-config.md"


def sources(**given: Any) -> Sources:
    return Sources(**({"flags": {}, "env": {}, "file": {}, "profile": {}} | given))


def test_the_strongest_source_wins() -> None:
    """Flag, environment, file, board profile, default."""
    ladder: list[tuple[str, Any, int]] = [
        ("flags", {"memory_bytes": "5000000"}, 5_000_000),
        ("env", {"CIUIC_MEMORY_BYTES": "4000000"}, 4_000_000),
        ("file", {"memory_bytes": 3_000_000}, 3_000_000),
        ("profile", {"memory_bytes": 2_000_000}, 2_000_000),
    ]
    given = {name: values for name, values, _ in ladder}
    for name, _, expected in ladder:
        assert resolve(AGENT, sources(**given))["memory_bytes"] == expected
        del given[name]
    assert resolve(AGENT, sources())["memory_bytes"] == 48 * 2**20


def test_a_profile_sets_only_what_is_its_own() -> None:
    assert resolve(AGENT, sources(profile={"allow_unsigned": True}))["allow_unsigned"] is False


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"env": {"CIUIC_SLOTS": "two"}}, "CIUIC_SLOTS: slots is not an integer"),
        ({"env": {"CIUIC_SLOTS": "0"}}, "slots is below 1"),
        ({"flags": {"meter": "maybe"}}, "--meter: meter is not one of auto, off"),
        ({"file": {"model": [1]}}, "configuration file: model is not a list of strings"),
        ({"file": {"slots": True}}, "slots is not an integer"),
        ({"file": {"slots": 1.5}}, "slots is not an integer"),
        ({"file": {"ageing_s": "inf"}}, "ageing_s is not a number"),
        ({"env": {"CIUIC_ALLOW_UNSIGNED": "perhaps"}}, "allow_unsigned is not true or false"),
        ({"file": {"node": 7}}, "node is not a string"),
    ],
)
def test_a_bad_value_names_where_it_came_from(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        resolve(AGENT, sources(**given))


def test_flags_environment_and_file_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "node.toml"
    path.write_text('profile = "raspberry-pi-5"\nmodel = ["a.bundle"]\nqueue_bound = 7\n', encoding="utf-8")
    parser = argparse.ArgumentParser()
    add_flags(parser, AGENT)
    monkeypatch.setenv("CIUIC_CONFIG", str(path))
    monkeypatch.setenv("CIUIC_MODEL", "b.bundle, c.bundle")
    args = parser.parse_args(["--queue-bound", "9", "--allow-unsigned"])
    asked: list[str] = []

    def of_profile(name: str) -> dict[str, Any]:
        asked.append(name)
        return {"memory_bytes": 2_000_000}

    config = AgentConfig.of(from_args(args, AGENT, of_profile))
    assert (config.queue_bound, config.allow_unsigned, config.memory_bytes) == (9, True, 2_000_000)
    assert config.model == ("b.bundle", "c.bundle")
    assert asked == ["raspberry-pi-5"]


@pytest.mark.parametrize(
    ("content", "said"), [("qeue_bound = 3", "qeue_bound is no setting"), ("= 3", "is not TOML")]
)
def test_a_file_with_a_fault_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "node.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        read_file(path, AGENT)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_file(tmp_path / "none.toml", AGENT)


def test_table_and_dataclass_agree() -> None:
    """The defaults stand in both: in the table for people, in the class for tests and programs."""
    assert AgentConfig.of(resolve(AGENT, sources())) == AgentConfig()
    assert {setting.key for setting in AGENT} == {field.name for field in fields(AgentConfig)}


def test_the_reference_page_is_the_table() -> None:
    assert reference(AGENT) in PAGE.read_text(encoding="utf-8"), "regenerate docs/ref-config.md"
