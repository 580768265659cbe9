"""The package list of the distribution is the tree, and the lock files are what they claim to be."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP = ("ciuic", "conversion", "device_profiles", "firmware_py", "mqtt_bridge")
NOT_SHIPPED = {"hil_tests"}
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_of_the_tree_is_listed() -> None:
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in TOP
        for path in (ROOT / top).rglob("__init__.py")
    }
    assert set(_pyproject()["tool"]["setuptools"]["packages"]) == found


def test_every_folder_with_code_is_a_package() -> None:
    folders = {path.parent for top in TOP for path in (ROOT / top).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_has_a_hash_for_every_pin_and_names_no_host(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    pins = re.split(r"\n(?=[a-z0-9])", text[text.index("==") - 40 :])
    assert pins
    for pin in pins:
        if "==" in pin:
            assert "--hash=sha256:" in pin, pin.splitlines()[0]
    assert "://" not in text


def test_the_npm_lock_has_a_hash_for_every_package_and_names_no_registry() -> None:
    text = (ROOT / "requirements/npm/package-lock.json").read_text(encoding="utf-8")
    assert text.count('"integrity"') > 5
    assert '"resolved"' not in text


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~; \[]", item, maxsplit=1)[0].lower().replace("_", "-") for item in requirements}


@pytest.mark.parametrize(
    ("extra", "lock"),
    [("device", "device"), ("device-tflite", "tflr"), ("bridge", "bridge"), ("dev", "dev"), ("docs", "docs")],
)
def test_a_lock_holds_what_its_extra_asks_for(extra: str, lock: str) -> None:
    wanted = _names(_pyproject()["project"]["optional-dependencies"][extra])
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([a-z0-9.-]+)==", text, flags=re.MULTILINE))
    assert wanted <= pinned


def test_roles_share_their_versions() -> None:
    """Any roles install beside each other: one version of a package per Python, in all locks."""
    seen: dict[str, set[str]] = {}
    for name in ("device", "bridge", "dev", "docs", "build"):
        text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
        for package, version, marker in re.findall(
            r"^([a-z0-9.-]+)==(\S+)(?: ; (.*))? \\$", text, flags=re.MULTILINE
        ):
            split = "<3.12" if "< '3.12'" in marker else ">=3.12" if ">= '3.12'" in marker else "all"
            seen.setdefault(f"{package} {split}", set()).add(version)
    assert {package: versions for package, versions in seen.items() if len(versions) > 1} == {}


def test_the_device_role_brings_no_training_and_no_broker_library() -> None:
    extras = _pyproject()["project"]["optional-dependencies"]
    heavy = {"torch", "onnx", "onnx2tf", "onnxruntime", "tensorflow", "paho-mqtt", "iotcore"}
    assert not _names(extras["device"]) & heavy
    assert _pyproject()["project"]["dependencies"] == []
