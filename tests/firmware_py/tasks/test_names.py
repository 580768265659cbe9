"""Names of the house: which thing a text means, what is ambiguous, and a file that may change or break."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from firmware_py.contracts.errors import NamesError
from firmware_py.tasks.names import LANGUAGES, MAX_CANDIDATES, Names, parse_names
from firmware_py.tasks.names_file import NamesFile, load_names

TOML = """
[[floor]]
id = "ground"
name = "Ground floor"
aliases = ["downstairs"]

[[area]]
id = "kitchen"
name = "Kitchen"
aliases = ["cooking corner", "Küche"]
floor = "ground"

[[area]]
id = "bedroom"
name = "Bedroom"

[[device]]
id = "light.kitchen_ceiling"
name = "Ceiling light"
aliases = ["the big one"]
area = "kitchen"

[[device]]
id = "light.bedroom_ceiling"
name = "Ceiling Light"
area = "bedroom"

[[device]]
id = "switch.bob"
name = "Bob's fan"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "names.toml"
    found.write_text(TOML, encoding="utf-8")
    return found


@pytest.fixture
def names(path: Path) -> Names:
    return load_names(path)


def ids(names: Names, kind: Any, text: str) -> list[str]:
    return [entry.id for entry in names.find(kind, text)]


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("area", "Kitchen", ["kitchen"]),
        ("area", "the  kitchen", ["kitchen"]),
        ("area", "KITCHENS", ["kitchen"]),
        ("area", "cooking corner", ["kitchen"]),
        ("area", "die kuche", ["kitchen"]),
        ("area", "attic", []),
        ("floor", "downstairs", ["ground"]),
        ("floor", "ground floors", ["ground"]),
        ("device", "Ceiling light", ["light.kitchen_ceiling"]),
        ("device", "Ceiling Light", ["light.bedroom_ceiling"]),
        ("device", "ceiling lights", ["light.kitchen_ceiling", "light.bedroom_ceiling"]),
        ("device", "big one", ["light.kitchen_ceiling"]),
        ("device", "bobs fan", []),
        ("device", "my Bob’s Fan", ["switch.bob"]),
        ("device", "kitchen", []),
        ("device", "the", []),
    ],
)
def test_written_then_plain_then_alias(names: Names, kind: str, text: str, found: list[str]) -> None:
    assert ids(names, kind, text) == found


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("switch", "switches"),
        ("box", "boxes"),
        ("battery", "batteries"),
        ("lampe", "Lampes"),
        ("glass", "glass"),
    ],
)
def test_plurals_that_end_in_s_are_the_same_name(one: str, many: str) -> None:
    names = parse_names({"device": [{"id": "x", "name": one}]}, "names")
    assert ids(names, "device", many) == ["x"]


ARTICLES = parse_names(
    {
        "device": [
            {"id": "den", "name": "Den lamp"},
            {"id": "desk", "name": "Desk lamp"},
            {"id": "ac", "name": "A/C"},
            {"id": "herd", "name": "Herd"},
            {"id": "coffee", "name": "La Marzocco"},
            {"id": "box", "name": "Mi Box"},
            {"id": "hall", "name": "L'entrée", "aliases": ["the hall light"]},
            {"id": "big", "name": "The big one"},
        ]
    },
    "names",
)


@pytest.mark.parametrize(
    ("text", "languages", "found"),
    [
        ("the lamp", None, []),  # "den" is a room here; German's article is not dropped from a name
        ("lamp", None, []),
        ("den lamp", None, ["den"]),
        ("the den lamp", None, ["den"]),
        ("the desk lamp", None, ["desk"]),
        ("c", None, []),
        ("the c", None, []),
        ("A/C", None, ["ac"]),
        ("the a/c", {"en"}, ["ac"]),
        ("a c", {"en"}, ["ac"]),
        ("den Herd", None, ["herd"]),
        ("den Herd", {"de"}, ["herd"]),
        ("dem Herd", {"de"}, ["herd"]),
        ("den herd", {"en"}, []),
        ("the marzocco", None, []),  # who says "the" speaks no Italian
        ("la marzocco", {"en"}, ["coffee"]),
        ("marzocco", {"it"}, ["coffee"]),
        ("marzocco", {"en"}, []),
        ("the box", None, []),
        ("mi box", {"en"}, ["box"]),
        ("the mi box", {"en"}, ["box"]),
        ("entrée", {"fr"}, ["hall"]),
        ("l’entree", {"fr"}, ["hall"]),
        ("hall light", {"en"}, ["hall"]),
        ("my hall light", {"en"}, ["hall"]),
        ("big one", {"en"}, ["big"]),
        ("my big one", {"en"}, ["big"]),
        ("big one", {"pl"}, []),
    ],
)
def test_articles_are_of_a_language(text: str, languages: set[str] | None, found: list[str]) -> None:
    known = LANGUAGES if languages is None else languages
    assert [entry.id for entry in ARTICLES.find("device", text, known)] == found


def test_a_cut_short_a_is_no_article() -> None:
    """The C of "A/C" is not a C with an article before it."""
    names = parse_names({"device": [{"id": "c", "name": "C"}]}, "names")
    assert ids(names, "device", "A/C") == []
    assert ids(names, "device", "a C") == ["c"]


def test_the_name_as_it_is_said_goes_before_the_one_without_its_article() -> None:
    names = parse_names({"device": [{"id": "1", "name": "The lamp"}, {"id": "2", "name": "Lamp"}]}, "names")
    assert ids(names, "device", "the LAMP") == ["1"]
    assert ids(names, "device", "LAMP") == ["2", "1"]


def test_an_alias_that_is_compared_like_another_is_one_candidate() -> None:
    names = parse_names(
        {"device": [{"id": "1", "name": "x", "aliases": ["Lamp", "lamps", "the lamp"]}]}, "names"
    )
    assert ids(names, "device", "lamp") == ["1"]


def slot(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "value": text.lower(), "text": text}


def test_a_resolved_slot_says_what_it_names(names: Names) -> None:
    slots = [slot("area", "the kitchen"), slot("color", "red"), slot("name", "attic lamp")]
    names.resolve(slots)
    assert slots[0] == {
        "name": "area",
        "value": "Kitchen",
        "text": "the kitchen",
        "id": "kitchen",
        "kind": "area",
    }
    assert slots[1:] == [slot("color", "red"), slot("name", "attic lamp")]


def test_ambiguity_is_handed_back(names: Names) -> None:
    slots = [slot("name", "ceiling light")]
    names.resolve(slots)
    assert slots[0]["value"] == "ceiling light"
    assert "id" not in slots[0]
    assert slots[0]["candidates"] == [
        {"id": "light.kitchen_ceiling", "name": "Ceiling light", "kind": "device", "within": "kitchen"},
        {"id": "light.bedroom_ceiling", "name": "Ceiling Light", "kind": "device", "within": "bedroom"},
    ]


@pytest.mark.parametrize(
    ("place", "found"),
    [(("area", "bedroom"), "light.bedroom_ceiling"), (("floor", "downstairs"), "light.kitchen_ceiling")],
)
def test_the_place_in_the_sentence_decides(names: Names, place: tuple[str, str], found: str) -> None:
    slots = [slot("name", "ceiling light"), slot(*place)]
    names.resolve(slots)
    assert slots[0]["id"] == found


def test_an_area_with_a_floor_s_id_is_not_that_floor() -> None:
    """Ids are told apart within a kind only."""
    data = {
        "floor": [{"id": "garden", "name": "garden level"}, {"id": "top", "name": "upstairs"}],
        "area": [
            {"id": "garden", "name": "back yard"},
            {"id": "attic", "name": "attic", "floor": "garden"},
            {"id": "top", "name": "hall", "floor": "garden"},
        ],
        "device": [
            {"id": "outside", "name": "lamp", "area": "garden"},
            {"id": "inside", "name": "lamp", "area": "attic"},
            {"id": "1", "name": "fan", "area": "top"},
            {"id": "2", "name": "fan", "area": "garden"},
        ],
    }
    names = parse_names(data, "names")
    for place, thing, found in (
        (("floor", "garden level"), "lamp", "inside"),
        (("area", "back yard"), "lamp", "outside"),
        (("floor", "garden level"), "fan", "1"),
        (("area", "back yard"), "fan", "2"),
    ):
        slots = [slot(*place), slot("name", thing)]
        names.resolve(slots)
        assert slots[1].get("id") == found
    slots = [slot("floor", "upstairs"), slot("name", "fan")]
    names.resolve(slots)  # the hall only shares its id
    assert len(slots[1]["candidates"]) == 2


def test_a_place_where_none_of_them_is_decides_nothing() -> None:
    data = {
        "area": [{"id": "a", "name": "attic"}, {"id": "b", "name": "bath"}, {"id": "c", "name": "cellar"}],
        "device": [{"id": "1", "name": "lamp", "area": "a"}, {"id": "2", "name": "lamp", "area": "b"}],
    }
    slots = [slot("area", "cellar"), slot("name", "lamp")]
    parse_names(data, "names").resolve(slots)
    assert [entry["id"] for entry in slots[1]["candidates"]] == ["1", "2"]


def test_candidates_are_bounded() -> None:
    data = {"device": [{"id": str(number), "name": "lamp"} for number in range(50)]}
    slots = [slot("name", "lamp")]
    parse_names(data, "names").resolve(slots)
    assert len(slots[0]["candidates"]) == MAX_CANDIDATES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[room]]\nid='a'\nname='b'", "names.toml: room is not one of area, device, floor"),
        ("area = 5", r"names.toml: area is not an array of entries, such as \[\[area\]\]"),
        ("area = ['kitchen']", r"names.toml: area\[0\] is not an object"),
        ("[[area]]\nname='b'", r"names.toml: area\[0\].id is missing"),
        ("[[area]]\nid=''\nname='b'", r"area\[0\].id is empty"),
        ("[[area]]\nid='a'", r"area\[0\].name is missing"),
        ("[[area]]\nid='a'\nname='?'", r"area\[0\]: a name or alias is not a text"),
        ("[[area]]\nid='a'\nname='b'\naliases=[5]", r"area\[0\]: a name or alias is not a text"),
        (
            "[[area]]\nid='a'\nname='b'\nalias=['c']",
            r"area\[0\]: alias is not one of aliases, floor, id, name",
        ),
        ("[[area]]\nid='a'\nname='b'\narea='c'", r"area\[0\]: area is not one of"),
        ("[[area]]\nid='a'\nname='b'\nfloor='z'", "area a lies in the floor z, which is not listed"),
        ("[[device]]\nid='a'\nname='b'\narea='z'", "device a lies in the area z, which is not listed"),
        ("[[area]]\nid='a'\nname='b'\n[[area]]\nid='a'\nname='c'", "two area entries have the id a"),
        ("[[area]\n", "names.toml is not TOML"),
    ],
)
def test_what_breaks_the_form_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "names.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(NamesError, match=said):
        load_names(path)


def test_json_is_read_by_its_ending(tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"area": [{"id": "a", "name": "Küche"}]}), encoding="utf-8")
    assert ids(load_names(path), "area", "kuche") == ["a"]
    path.write_text('{"area": [], "area": []}', encoding="utf-8")
    with pytest.raises(NamesError, match="a key stands twice"):
        load_names(path)
    path.write_bytes(b"\xff")
    with pytest.raises(NamesError, match="is not JSON"):
        load_names(path)
    with pytest.raises(NamesError, match="cannot be read"):
        load_names(tmp_path / "none.toml")


def change(path: Path, text: str) -> None:
    """Write, with another time even on a coarse clock."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(before + 10**9, before + 10**9))


def test_a_changed_file_is_taken_once_it_rests(path: Path) -> None:
    file = NamesFile(path)
    first = file.current
    assert not file.look()
    change(path, TOML + "[[area]]\nid='attic'\nname='Attic'\n")
    assert not file.look()  # it may still be written
    assert file.look()
    assert ids(file.current, "area", "attic") == ["attic"]
    assert (first.version, file.current.version) == (0, 1)
    assert not file.look()


def test_a_broken_or_absent_file_keeps_the_names_and_is_said_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = NamesFile(path)
    with caplog.at_level(logging.WARNING):
        change(path, "[[area]")
        for _ in range(5):
            assert not file.look()
    assert len(caplog.records) == 1
    assert "the names stay as they were: names.toml is not TOML" in caplog.text
    path.unlink()
    for _ in range(5):
        assert not file.look()
    assert len(caplog.records) == 2
    assert ids(file.current, "area", "kitchen") == ["kitchen"]
    change(path, TOML)
    file.look()
    assert file.look()


def test_the_watch_takes_a_change_and_stops(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_py.tasks.names_file.LOOK_S", 0.01)
    file = NamesFile(path)
    file.watch()
    try:
        change(path, "[[area]]\nid='attic'\nname='Attic'\n")
        for _ in range(500):
            if file.current.version:
                break
            threading.Event().wait(0.01)
        assert ids(file.current, "area", "attic") == ["attic"]
    finally:
        file.close()
        file.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "names"]
