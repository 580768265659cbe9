"""Tests that need torch run in the training environment; elsewhere they are skipped by name."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conversion import checkpoints

# Drawn inputs are the app environment's, which runs this file too.
collect_ignore = [] if find_spec("hypothesis") else ["test_join.py"]

TORCH = "needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
TEMPLATES = "needs the Home Assistant templates: run `.venvs/train/bin/python -m pytest tests/conversion`"


@pytest.fixture
def torch_or_skip() -> None:
    """Skip where there is no torch."""
    pytest.importorskip("torch", reason=TORCH)


@pytest.fixture(scope="session")
def v3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small DeepSeek-V3 checkpoint; who changes it copies it first."""
    return checkpoints.deepseek_v3(tmp_path_factory.mktemp("v3"))
