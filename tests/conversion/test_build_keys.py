"""What a step of a build is kept by: every input counts, and only what rows come to counts for training."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conversion.data import sources
from conversion.data.free_text import load_free_text
from conversion.data.out_of_scope import load_foreign, neighbours
from conversion.data.public import SETS, read_task
from conversion.data.sentence import Sentence
from conversion.data.sources import HOME, NAMES, data_files, made_of
from conversion.data.task import TaskData
from conversion.data.workbench import Workbench
from firmware_py.contracts.clock import VirtualClock

WORDS = ["lamp", "fan"]
DOMAINS = ("banking", "credit_cards", "auto_and_commute", "travel", "work")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Every file that any model reads below its data folder, with rows in it."""
    for name in NAMES:
        for file in data_files(name):
            path = tmp_path / file
            path.parent.mkdir(exist_ok=True)
            rows = [{"text": f"{file} {n}", "intent": f"i{n % 4}"} for n in range(40)]
            path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    for name in ("clinc150", "banking77"):
        listed = {domain: [f"i{n}"] for n, domain in enumerate(DOMAINS)}
        (tmp_path / name / "domains.json").write_text(json.dumps(listed), "utf-8")
    return tmp_path


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Versions of the packages of templates, installed or not."""
    said = dict.fromkeys(sources.TEMPLATES, "1")
    monkeypatch.setattr(sources, "version", said.__getitem__)
    return said


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_rows_are_read_from_is_in_the_key(
    name: str, folder: Path, versions: dict[str, str]
) -> None:
    before = made_of(name, 0, folder, WORDS)
    assert made_of(name, 0, folder, WORDS) == before
    for file in data_files(name):
        kept = (folder / file).read_bytes()
        (folder / file).write_bytes(kept + b" ")
        assert made_of(name, 0, folder, WORDS) != before, file
        (folder / file).unlink()
        assert made_of(name, 0, folder, WORDS) != before, file
        (folder / file).write_bytes(kept)
    assert made_of(name, 0, folder, WORDS) == before
    assert made_of(name, 1, folder, WORDS) != before
    assert made_of(name, 0, None, WORDS) != before


@pytest.mark.parametrize("name", HOME)
def test_templates_lists_and_vocabulary_are_in_the_key_of_a_home_model(
    name: str, versions: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made_of(name, 0, None, WORDS)
    assert {"names_en.toml", "spoken_en.toml", "hand_de.txt", "home_en.py"} <= before["package"].keys()
    assert made_of(name, 0, None, [*WORDS, "den"]) != before
    versions["home-assistant-intents"] = "2"
    assert made_of(name, 0, None, WORDS) != before
    versions["home-assistant-intents"] = "1"
    (tmp_path / "names_en.toml").write_text("[area]", "utf-8")
    monkeypatch.setattr(sources, "_HERE", tmp_path)
    assert made_of(name, 0, None, WORDS) != before


_opened: list[str] = []
_hooked: list[bool] = []


@pytest.fixture
def opened() -> list[str]:
    """Names of all files opened from here on."""
    if not _hooked:  # a hook cannot be taken away
        sys.addaudithook(
            lambda event, told: _opened.append(str(told[0])) if event == "open" and _hooked[0] else None
        )
        _hooked.append(True)
    _opened.clear()
    return _opened


READERS: dict[str, Callable[[Path], Any]] = {
    "home-en": lambda folder: (load_foreign(folder, 0), load_free_text(folder), neighbours(folder, 0)),
    **{name: lambda folder, name=name: read_task(name, folder) for name in SETS},  # type: ignore[misc]
}


@pytest.mark.parametrize("name", sorted(READERS))
def test_no_other_file_of_the_data_folder_is_read(name: str, folder: Path, opened: list[str]) -> None:
    READERS[name](folder)
    read = {str(Path(one).relative_to(folder)) for one in opened if one.startswith(f"{folder}/")}
    assert read
    assert read <= set(data_files(name))


def task(text: str, labels: tuple[str, ...] = ("a",)) -> TaskData:
    """One row everywhere."""
    rows = (Sentence(text, "a"),)
    return TaskData("t", "t", ("en",), labels, (), rows, rows, rows, rows, rows)


def test_rows_drawn_anew_and_equal_leave_what_was_trained_on_them(tmp_path: Path) -> None:
    made: list[str] = []

    def build(source: str, data: TaskData) -> None:
        bench = Workbench(tmp_path, VirtualClock(), lambda _: None, {})

        def work(path: Path, _: Any) -> None:
            made.append(path.name)
            path.write_text("", "utf-8")

        bench.step("data", "data", work, source=source)
        bench.rest_on("rows", **data.key())
        bench.step("teacher", "teacher", work, rate=1)
        bench.step("student", "student", work)

    build("a", task("x"))
    assert made == ["data", "teacher", "student"]
    build("a", task("x"))
    assert made[3:] == []
    build("b", task("x"))
    assert made[3:] == ["data"]
    build("b", task("y"))
    assert made[4:] == ["teacher", "student"]
    build("b", task("y", ("a", "b")))
    assert made[6:] == ["teacher", "student"]
