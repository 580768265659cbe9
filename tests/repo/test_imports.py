"""What start-up loads: seen from a fresh interpreter, since this one has everything loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEVER_ON_THE_DEVICE = {
    "torch",
    "onnx",
    "onnxruntime",
    "tensorflow",
    "paho",
    "iotcore",
    "msgpack",
    "mqtt_bridge",
}
RUNTIMES = {"ai_edge_litert", "tflite_runtime"}


def _loaded(code: str) -> set[str]:
    """Top-level modules in `sys.modules` after the code ran in a new process."""
    program = f"import sys, json\n{code}\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_agent_loads_no_training_library_and_no_broker() -> None:
    loaded = _loaded("import firmware_py.agent")
    assert not loaded & (NEVER_ON_THE_DEVICE | {"smbus2", "cryptography"} | RUNTIMES)


def test_contracts_load_the_standard_library_only() -> None:
    modules = (
        "request",
        "reply",
        "manifest",
        "errors",
        "run",
        "limits",
        "seams",
        "measurement",
        "node_state",
    )
    loaded = _loaded("\n".join(f"import firmware_py.contracts.{name}" for name in modules))
    assert not loaded & (NEVER_ON_THE_DEVICE | RUNTIMES | {"numpy", "cryptography", "smbus2"})


def test_the_wire_loads_no_client_library() -> None:
    assert "paho" not in _loaded("import mqtt_bridge.wire.topics, mqtt_bridge.wire.codec")


def test_help_loads_nothing_heavy() -> None:
    """The issue's bound is 150 ms; `ciuic bench request` measures that, here stands what it rests on."""
    code = "import sys\nsys.argv = ['ciuic', '--help']\nfrom ciuic.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass"
    loaded = _loaded(code)
    heavy = (
        NEVER_ON_THE_DEVICE
        | RUNTIMES
        | {
            "asyncio",
            "conversion",
            "cryptography",
            "dataclasses",
            "device_profiles",
            "firmware_py",
            "inspect",
            "logging",
            "numpy",
            "smbus2",
        }
    )
    assert not loaded & heavy


def test_who_becomes_the_keeper_loads_nothing_first() -> None:
    """Everything is loaded once more in the node: here it would only delay its first answer."""
    code = (
        "import os, sys\nos.execv = lambda *command: sys.exit()\nsys.orig_argv = sys.argv = ['ciuic', 'node', 'run']\n"
        "from ciuic.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass"
    )
    assert not _loaded(code) & {"argparse", "typing", "dataclasses", "mqtt_bridge", "numpy"}


@pytest.mark.parametrize(
    "verb", ["node", "ask", "broker", "model", "bench", "eval", "key", "profile", "doctor", "demo"]
)
def test_the_help_of_a_verb_loads_no_training_library(verb: str) -> None:
    code = (
        f"import sys\nfrom ciuic.cli import main\ntry:\n    main(['{verb}', '--help'])\n"
        "except SystemExit as done:\n    assert not done.code"
    )
    assert not _loaded(code) & {"torch", "onnx", "onnxruntime", "tensorflow"}
