"""`ciuic profile` prints one JSON document, and its exit status says whether all is well."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest

from ciuic.cli import main


def test_list_is_json_with_every_board(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {"raspberry-pi-5", "simulated"} <= {board["name"] for board in document["boards"]}
    assert document["accessories"][0]["name"] == "coral-usb"


def test_check_passes_on_the_shipped_and_prints_what_is_open(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "check"]) == 0
    assert "todo measured_on_hardware" in capsys.readouterr().out


def test_check_fails_on_a_broken_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("name = 'broken'\n", encoding="utf-8")
    assert main(["profile", "check", str(path), "--json"]) == 1
    row = json.loads(capsys.readouterr().out)["profiles"][0]
    assert "title is missing" in row["error"]


def test_check_compares_the_name_with_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shipped = (resources.files("device_profiles.boards") / "raspberry-pi-5.toml").read_text(encoding="utf-8")
    path = tmp_path / "my-board.toml"
    path.write_text(shipped, encoding="utf-8")
    assert main(["profile", "check", str(path), "--json"]) == 1
    (row,) = json.loads(capsys.readouterr().out)["profiles"]
    assert row["code"] == "profile_invalid"
    assert row["error"] == f"{path}: name is 'raspberry-pi-5'; allowed: my-board, as the file is called"
    path.write_text(shipped.replace('name = "raspberry-pi-5"', 'name = "my-board"', 1), encoding="utf-8")
    assert main(["profile", "check", str(path)]) == 0


def test_check_names_code_and_hint_of_what_is_no_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "check", "README.md"]) == 1
    out = capsys.readouterr().out
    assert "a file's name ends in .toml [profile_missing]" in out
    assert "hint: Known: coral-dev-board" in out


def test_detect_says_none_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "detect", "--root", str(tmp_path)]) == 1
    assert "device tree: none" in capsys.readouterr().out
