"""The stored samples of the first release of each form."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).resolve().parents[1] / "compat"


@pytest.fixture(scope="session")
def manifest_once() -> dict[str, Any]:
    """The stored manifest, read once for property tests; who changes it copies it first."""
    document: dict[str, Any] = json.loads((SAMPLES / "manifest.v1.json").read_text(encoding="utf-8"))
    return document


@pytest.fixture
def manifest(manifest_once: dict[str, Any]) -> dict[str, Any]:
    """A copy of it for one test."""
    return deepcopy(manifest_once)
