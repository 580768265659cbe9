"""The `ciuic` command of this checkout, run to its end as somebody at a terminal would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
CIUIC = [sys.executable, "-m", "ciuic"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def ciuic(*words: str, env: Mapping[str, str] = ENVIRONMENT) -> subprocess.CompletedProcess[str]:
    """What it printed and its exit status, whatever that is."""
    return subprocess.run(
        [*CIUIC, *words],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
