"""Which interpreter runs a bundle's graphs: that of the runtime's environment, else this one if it has the runtime."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from conversion.check import runtime
from firmware_py.contracts.errors import ToolMissingError


def has(*packages: str) -> object:
    return lambda name: SimpleNamespace() if name in packages else None


def test_a_node_s_own_environment_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `make demo` there is no training environment, and the runtime is here."""
    monkeypatch.setattr(runtime, "find_spec", has("ai_edge_litert"))
    assert runtime.python_of("ai-edge-litert", tmp_path) == Path(sys.executable)
    with pytest.raises(ToolMissingError) as caught:
        runtime.python_of("tflite-runtime", tmp_path)
    assert "scripts/setup tflr" in caught.value.hint


def test_the_environment_that_what_ships_was_judged_in_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "find_spec", has("ai_edge_litert"))
    its_own = tmp_path / ".venvs" / "train" / "bin" / "python"
    its_own.parent.mkdir(parents=True)
    its_own.touch()
    assert runtime.python_of("ai-edge-litert", tmp_path) == its_own


def test_where_no_environment_has_it_the_command_that_makes_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "find_spec", has())
    with pytest.raises(ToolMissingError, match="no environment with ai-edge-litert") as caught:
        runtime.python_of("ai-edge-litert", tmp_path)
    assert "`scripts/setup run`" in caught.value.hint
