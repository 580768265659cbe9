"""Tests that need torch run in the training environment; elsewhere they are skipped by name."""

from __future__ import annotations

import pytest

TORCH = "needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
TEMPLATES = "needs the Home Assistant templates: run `.venvs/train/bin/python -m pytest tests/conversion`"


@pytest.fixture
def torch_or_skip() -> None:
    """Skip where there is no torch."""
    pytest.importorskip("torch", reason=TORCH)
