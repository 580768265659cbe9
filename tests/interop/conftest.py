"""A broker of each kind that is here, and a real node beside it: `ciuic node run` with a bundle without training.

A kind that is not installed is a skip with its name, here for every file of this folder.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_py.backends.litert import installed
from firmware_py.testing.tiny_bundle import write_tiny_bundle
from mqtt_bridge.broker.process import KINDS, BrokerProcess
from tests.brokers import broker, kind
from tests.commands import CIUIC, ENVIRONMENT, ROOT

__all__ = ["any_broker", "broker", "bundle", "kind", "node"]


@pytest.fixture
def any_broker() -> None:
    """For what chooses its broker itself."""
    if not any(kind.available() for kind in KINDS.values()):
        pytest.skip(f"no broker is installed: {' or '.join(KINDS)}")


@pytest.fixture(scope="module")
def bundle() -> Path:
    """The shipped model, in the form that the runtime of this environment runs."""
    runtime = installed()
    path = ROOT / "models" / ("home-en.bundle" if runtime and "litert" in runtime[0] else "home-en.w8.bundle")
    if runtime is None or not path.exists():
        pytest.skip("no runtime or no shipped bundle here")
    return path


@pytest.fixture(scope="module")
def node(broker: BrokerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    folder = tmp_path_factory.mktemp("node")
    bundle = folder / "tiny.bundle"
    write_tiny_bundle(bundle)
    command = [*CIUIC, "node", "run", "--id", "n1", "--simulate", "--meter", "off"]
    command += ["--model", str(bundle), "--allow-unsigned", "--store", str(folder), "--state", "-"]
    command += ["--broker", broker.url]
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("node n1: serves home")
            yield process
        finally:
            process.terminate()
        assert process.wait(10) == 0
