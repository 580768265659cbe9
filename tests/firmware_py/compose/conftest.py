"""The configuration of a node without a meter."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_py.config import AgentConfig


@pytest.fixture
def config(tiny_path: Path, tmp_path: Path) -> AgentConfig:
    """The tiny bundle on the simulated board, without a meter."""
    return AgentConfig(
        node="n1",
        profile="simulated",
        model=(str(tiny_path),),
        store=str(tmp_path / "store"),
        allow_unsigned=True,
        meter="off",
    )
