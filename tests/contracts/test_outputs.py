"""What cannot be written is told before the work whose result it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_py.contracts.errors import ConfigError
from firmware_py.contracts.outputs import check_output, why_unwritable


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Lets a place refuse writing; root may write everywhere, so that its mode alone would not."""
    access = os.access

    def lock(place: Path) -> None:
        monkeypatch.setattr(
            os, "access", lambda path, mode: not (path == place and mode & os.W_OK) and access(path, mode)
        )

    return lock


def test_folders_that_can_be_made_are_not_in_the_way_and_are_not_made(tmp_path: Path) -> None:
    assert why_unwritable(tmp_path / "a" / "b.json") is None
    assert why_unwritable(tmp_path / "a" / "b", folder=True) is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_to_is_named(tmp_path: Path, locked: Callable[[Path], None]) -> None:
    locked(tmp_path)
    assert why_unwritable(tmp_path / "a" / "b.json") == f"{tmp_path} may not be written to"
    assert why_unwritable(tmp_path, folder=True) == f"{tmp_path} may not be written to"


def test_a_file_that_may_not_be_replaced_is_named(tmp_path: Path, locked: Callable[[Path], None]) -> None:
    path = tmp_path / "b.json"
    path.touch()
    assert why_unwritable(path) is None
    locked(path)
    assert why_unwritable(path) == f"{path} may not be written to"


def test_a_file_is_no_folder_and_a_folder_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    path.touch()
    assert why_unwritable(path / "c" / "d.json") == f"{path} is no folder"
    assert why_unwritable(path, folder=True) == f"{path} is no folder"
    assert why_unwritable(tmp_path) == f"{tmp_path} is a folder"


def test_the_error_names_the_file_and_the_flag_for_another(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    with pytest.raises(ConfigError, match=r"b/c\.json cannot be written: .*b is no folder") as told:
        check_output(tmp_path / "b" / "c.json", "--pictures")
    assert "--pictures" in told.value.hint
