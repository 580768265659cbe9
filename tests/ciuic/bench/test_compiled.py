"""A benchmark's processes start as a user's do: with compiled modules."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ciuic.bench.compiled import compiled_in, compiled_notes


def test_children_keep_modules_where_the_environment_keeps_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "one.py").write_text("")
    command = [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1]); import one", str(tmp_path)]
    kept = tmp_path / "kept"
    with compiled_in(kept):
        subprocess.run(command, check=True)
    assert [path.name.partition(".")[0] for path in kept.rglob("one.*")] == ["one"]
    assert os.environ["PYTHONDONTWRITEBYTECODE"] == "1"
    assert "PYTHONPYCACHEPREFIX" not in os.environ
    assert len(compiled_notes()) == 1


def test_an_environment_that_keeps_them_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before = dict(os.environ)
    with compiled_in(tmp_path):
        assert dict(os.environ) == before
    assert compiled_notes() == ()
