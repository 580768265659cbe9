"""The import contracts hold, and they can fail: a planted breach is caught."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ciuic", "conversion", "device_profiles", "firmware_py", "hil_tests", "mqtt_bridge")
LINT = Path(sys.executable).parent / "lint-imports"

pytestmark = pytest.mark.skipif(not LINT.exists(), reason="import-linter is not in this environment")


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT, "--no-logo", "--no-cache", "--config", folder / "pyproject.toml"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_tree_keeps_its_contracts() -> None:
    done = _lint(ROOT)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("firmware_py/agent.py", "import mqtt_bridge.wire.topics", "packages point one way"),
        ("firmware_py/costs.py", "import torch", "the device never loads training or broker libraries"),
        ("firmware_py/contracts/request.py", "import numpy", "contracts are standard library only"),
        ("firmware_py/helpers.py", "", "inside the device agent"),
        ("mqtt_bridge/wire/topics.py", "import mqtt_bridge.node", "inside the bridge"),
        (
            "firmware_py/scheduling/queue.py",
            "import ai_edge_litert",
            "the TFLite runtime has one door, its file format two",
        ),
        (
            "conversion/study/choose.py",
            "import onnx2tf",
            "onnx2tf, tflite-runtime and serial are loaded by name, in their doors",
        ),
        (
            "firmware_py/energy/bus.py",
            "import serial",
            "onnx2tf, tflite-runtime and serial are loaded by name, in their doors",
        ),
        ("mqtt_bridge/node/endpoint.py", "import torch", "bridge and bench train nothing"),
        ("hil_tests/conftest.py", "import mqtt_bridge.broker", "a bench stays outside of what it tests"),
        ("hil_tests/conftest.py", "import firmware_py.answering", "a bench stays outside of what it tests"),
    ],
)
def test_a_planted_breach_is_caught(copy: Path, file: str, line: str, contract: str) -> None:
    path = copy / file
    before = path.read_text(encoding="utf-8") if path.exists() else '"""A room that nobody placed."""\n'
    path.write_text(f"{before}\n{line}\n", encoding="utf-8")
    done = _lint(copy)
    assert done.returncode != 0
    assert f"{contract} BROKEN" in done.stdout
