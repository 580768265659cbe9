"""Bundles that many tests need: the tiny scripted one, and the shipped ones unpacked once a session."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from firmware_py.backends.litert import installed
from firmware_py.bundles.read import Unpacked, read_bundle, unpack
from firmware_py.bundles.verify import Trust
from firmware_py.config import AgentConfig
from firmware_py.testing.tiny_bundle import write_tiny_bundle

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = {"ai-edge-litert": "home-en.bundle", "tflite-runtime": "home-en.w8.bundle"}


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle's file."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.bundle"
    write_tiny_bundle(path)
    return path


@pytest.fixture(scope="session")
def tiny(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    """The tiny bundle, unpacked."""
    return unpack(tiny_path, Trust(None, allow_unsigned=True), tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    """The tiny bundle with exit 0, narrower graphs and int8 heads, unpacked."""
    folder = tmp_path_factory.mktemp("rich")
    write_tiny_bundle(folder / "rich.bundle", rich=True)
    return unpack(folder / "rich.bundle", Trust(None, allow_unsigned=True), folder / "store")


@pytest.fixture(scope="session")
def shipped_path() -> Path:
    """The shipped bundle for the runtime that is installed here."""
    runtime = installed()
    if runtime is None:
        pytest.skip("neither ai-edge-litert nor tflite-runtime is installed")
    path = ROOT / "models" / SHIPPED[runtime[0]]
    if not path.exists():
        pytest.skip(f"{path.name} is not built (`ciuic model build home-en`)")
    return path


@pytest.fixture(scope="session")
def shipped(shipped_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    """The shipped bundle, verified with the shipped trust folder and unpacked."""
    return unpack(shipped_path, Trust(ROOT / "models" / "trust"), tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def double(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The delegate test double, compiled here."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: the delegate test double cannot be built")
    library = tmp_path_factory.mktemp("delegate") / "libdouble.so"
    source = Path(__file__).parent / "backends" / "delegate_double.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
    return library


@pytest.fixture
def doubled(shipped_path: Path, double: Path, tmp_path: Path) -> AgentConfig:
    """A board that has the double above its processor.

    Its device is there while `tmp_path / "device"` is; it hangs while `tmp_path / "hang"` is there.
    """
    recipe = read_bundle(shipped_path, Trust(None, allow_unsigned=True)).manifest.recipe
    rung = (
        f'[[delegates]]\nname = "edgetpu"\nlibrary = "{double}"\nrecipe = "{recipe}"\nsource = "a test double"\n'
        f'options = {{ device = "{tmp_path}/device", hang = "{tmp_path}/hang" }}\n\n'
    )
    board = ROOT / "device_profiles" / "boards" / "simulated.toml"
    text = board.read_text(encoding="utf-8").replace('name = "simulated"', 'name = "doubled"')
    profile = tmp_path / "doubled.toml"
    profile.write_text(text.replace("[[delegates]]", rung + "[[delegates]]", 1), encoding="utf-8")
    return AgentConfig(
        profile=str(profile), model=(str(shipped_path),), store=str(tmp_path / "store"), meter="off"
    )
