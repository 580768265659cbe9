"""The wheel that users get: its contents, its extras, and its command in a fresh environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("ciuic", "conversion", "device_profiles", "firmware_py", "mqtt_bridge")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, without a network and without build isolation."""
    pytest.importorskip("setuptools")
    copy = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-qq",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
        ".",
    ]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return next(out.glob("*.whl"))


def test_it_holds_the_packages_their_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == set(SOURCES)
    boards = {path.name for path in (ROOT / "device_profiles/boards").glob("*.toml")}
    assert boards == {
        Path(name).name
        for name in names
        if name.startswith("device_profiles/boards/") and name.endswith(".toml")
    }
    assert "device_profiles/accessories/coral-usb.toml" in names
    assert "firmware_py/py.typed" in names
    source = {str(path.relative_to(ROOT)) for top in SOURCES for path in (ROOT / top).rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == source


def test_the_licence_and_the_extras_are_in_its_metadata(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    text = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(archive.read(text).decode("utf-8"))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("Provides-Extra") or []) == {
        "device", "device-tflite", "bridge", "convert", "vela", "train", "hil", "docs", "dev",
    }  # fmt: skip
    needs = metadata.get_all("Requires-Dist") or []
    assert all("extra ==" in need for need in needs), "the base distribution needs nothing"
    device = [need for need in needs if 'extra == "device"' in need]
    assert not [need for need in device if need.split()[0].startswith(("torch", "onnx", "paho"))]


def test_it_installs_and_its_command_runs_without_any_extra(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "-qq",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    ciuic = tmp_path / "env" / "bin" / "ciuic"
    for words, says in (
        (["--help"], "verbs:"),
        (["profile", "list"], "raspberry-pi-zero-2w"),
        (["--version"], "0.1.0"),
    ):
        ran = subprocess.run([ciuic, *words], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        assert says in ran.stdout
    ran = subprocess.run([ciuic, "ask", "hello"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 2
    assert "[tool_missing]" in ran.stderr
    assert ".[bridge]" in ran.stderr
