"""The stored samples of the first release of each form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).resolve().parents[1] / "compat"


@pytest.fixture
def manifest() -> dict[str, Any]:
    """The stored manifest."""
    document: dict[str, Any] = json.loads((SAMPLES / "manifest.v1.json").read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="session")
def manifest_once() -> dict[str, Any]:
    """The same, read once for property tests; who changes it copies it first."""
    document: dict[str, Any] = json.loads((SAMPLES / "manifest.v1.json").read_text(encoding="utf-8"))
    return document
