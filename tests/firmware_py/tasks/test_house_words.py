"""The house knows better than the model where a name ends and what kind of thing it is."""

from __future__ import annotations

from typing import Any

import pytest

from firmware_py.tasks.house_words import correct
from firmware_py.tasks.names import LANGUAGES, Names, parse_names

HOUSE = parse_names(
    {
        "floor": [{"id": "up", "name": "Upper floor", "aliases": ["upstairs"]}],
        "area": [{"id": "kitchen", "name": "Kitchen"}, {"id": "veranda", "name": "Veranda"}],
        "device": [
            {"id": "big", "name": "Big lamp", "aliases": ["floor lamp"], "area": "kitchen"},
            {"id": "fan", "name": "Bob's fan"},
            {"id": "cellar_light", "name": "Cellar"},
        ],
    },
    "names",
)  # fmt: skip


def said(sentence: str, *slots: tuple[str, str]) -> list[dict[str, Any]]:
    """What a model said: (slot, its words in the sentence)."""
    return [
        {"name": name, "value": text, "text": text, "start": sentence.index(text), "end": sentence.index(text) + len(text)}
        for name, text in slots
    ]  # fmt: skip


def heard(
    sentence: str,
    *slots: tuple[str, str],
    house: Names = HOUSE,
    label: str = "HassTurnOn",
    languages: frozenset[str] = LANGUAGES,
) -> list[tuple[str, str]]:
    found = said(sentence, *slots)
    correct(house, found, sentence, label, languages)
    assert all(sentence[slot["start"] : slot["end"]] == slot["text"] for slot in found)
    return [(slot["name"], slot["text"]) for slot in found]


@pytest.mark.parametrize(
    ("sentence", "slots", "wanted"),
    [
        ("open the veranda", [("name", "veranda")], [("area", "veranda")]),
        ("who is upstairs", [("name", "upstairs")], [("floor", "upstairs")]),
        ("stop bob's fan", [("area", "bob's fan")], [("name", "bob's fan")]),
        ("turn on the big lamp", [("name", "big")], [("name", "big lamp")]),
        ("turn on big lamp please", [("name", "lamp")], [("name", "big lamp")]),
        ("Big lamp on", [("area", "lamp")], [("name", "Big lamp")]),
        ("turn on the floor lamp", [], [("name", "floor lamp")]),
        ("floor lamp on upstairs", [("floor", "upstairs")], [("name", "floor lamp"), ("floor", "upstairs")]),
        ("dim the floor lamp to 20", [("brightness", "20")], [("name", "floor lamp"), ("brightness", "20")]),
        ("turn on the cellar", [], [("name", "cellar")]),
    ],
)
def test_names_of_the_house_decide(
    sentence: str, slots: list[tuple[str, str]], wanted: list[tuple[str, str]]
) -> None:
    assert heard(sentence, *slots) == wanted


@pytest.mark.parametrize(
    ("sentence", "slots"),
    [
        ("turn on the kitchen", [("area", "kitchen")]),  # known as it is
        ("turn on the zeppelin", [("name", "zeppelin")]),  # no such thing
        ("turn on the big green lamp", [("name", "big green")]),  # no name of the file
        ("big lamp red", [("name", "big"), ("color", "lamp red")]),  # the rest is another slot's
        ("sing", []),
        ("big lamp and the zeppelin off", [("name", "zeppelin")]),  # the model saw its device
        ("is the upper floor warm in the kitchen", [("area", "kitchen")]),  # and its place
        ("it is big. lamp off", []),  # no name goes over the end of a clause
        ("make it big, lamp off", [("name", "lamp")]),
    ],
)
def test_nothing_is_guessed(sentence: str, slots: list[tuple[str, str]]) -> None:
    assert heard(sentence, *slots) == slots


def test_a_name_of_two_other_kinds_stays_what_it_was_said_to_be() -> None:
    house = parse_names(
        {"floor": [{"id": "f", "name": "Basement"}], "area": [{"id": "a", "name": "Basement"}]}, "names"
    )
    assert heard("open the basement", ("name", "basement"), house=house) == [("name", "basement")]
    assert heard("open the basement", ("area", "basement"), house=house) == [("area", "basement")]


@pytest.mark.parametrize(
    ("sentence", "wanted"),
    [
        ("turn on the den lamp", [("name", "den lamp")]),  # an article elsewhere, here a word of the name
        ("turn on the big lamp", [("name", "big lamp")]),  # its article does not belong to it
        ("turn on the A/C", []),  # one name of one word for who hears it
        ("turn on a fan", [("name", "fan")]),
        ("switch on the lamp", [("name", "lamp")]),
    ],
)
def test_a_name_may_begin_with_what_is_an_article_elsewhere(
    sentence: str, wanted: list[tuple[str, str]]
) -> None:
    house = parse_names(
        {
            "device": [
                {"id": "d", "name": "Den lamp"},
                {"id": "b", "name": "The big lamp"},
                {"id": "a", "name": "A/C"},
                {"id": "f", "name": "Fan"},
                {"id": "l", "name": "The lamp"},
            ]
        },
        "names",
    )
    assert heard(sentence, house=house) == wanted


def test_offsets_are_code_points_of_the_sentence() -> None:
    sentence = "😀 schalte die große Lampe ein"
    house = parse_names({"device": [{"id": "g", "name": "Große Lampe"}]}, "names")
    (slot,) = said(sentence, ("name", "große"))
    found = [slot]
    correct(house, found, sentence, "HassTurnOn")
    assert (found[0]["text"], found[0]["start"], found[0]["end"]) == ("große Lampe", 14, 25)


def test_a_wider_name_is_also_the_value() -> None:
    """Two things of that name: the value stays what was said, all of it."""
    house = parse_names(
        {"device": [{"id": "1", "name": "Dining light"}, {"id": "2", "name": "dining lights"}]}, "names"
    )
    found = said("turn on the dining light", ("name", "dining"))
    correct(house, found, "turn on the dining light", "HassTurnOn")
    assert found[0]["value"] == "dining light"
    untouched = said("dim to 50 in the kitchen", ("area", "kitchen"))
    untouched[0]["value"] = "its value"
    correct(HOUSE, untouched, "dim to 50 in the kitchen", "HassLightSet")
    assert untouched[0]["value"] == "its value"


@pytest.mark.parametrize("name", ["petit cafe\u0301", "लाइटी बड़ी"])
def test_marks_belong_to_their_word(name: str) -> None:
    house = parse_names({"device": [{"id": "x", "name": name}]}, "names")
    assert heard(f"on {name} now", ("name", name.split(maxsplit=1)[0]), house=house) == [("name", name)]
    assert heard(f"on {name} now", house=house) == [("name", name)]


@pytest.mark.parametrize(
    ("sentence", "label"),
    [
        ("set a timer, good night", "HassStartTimer"),
        ("add popcorn for movie time", "HassShoppingListAddItem"),
    ],
)
def test_an_intent_without_things_gets_none(sentence: str, label: str) -> None:
    house = parse_names(
        {"device": [{"id": "n", "name": "Good night"}, {"id": "m", "name": "Movie time"}]}, "names"
    )
    assert heard(sentence, house=house, label=label) == []
    assert len(heard(sentence, house=house, label="HassTurnOn")) == 1


ROOMS = parse_names(
    {
        "floor": [{"id": "up", "name": "Upper floor", "aliases": ["upstairs"]}, {"id": "f", "name": "Basement"}],
        "area": [
            {"id": "garage", "name": "Garage"},
            {"id": "bedroom", "name": "Bedroom", "aliases": ["Schlafzimmer"], "floor": "up"},
            {"id": "living", "name": "Living room"},
            {"id": "basement", "name": "Basement", "floor": "f"},
            {"id": "office", "name": "Ufficio"},
        ],
        "device": [
            {"id": "fan.bed", "name": "Ceiling fan", "area": "bedroom"},
            {"id": "fan.living", "name": "Ceiling fan", "area": "living"},
            {"id": "light.a", "name": "Lamp", "area": "living"},
            {"id": "light.b", "name": "Lamp", "area": "bedroom"},
            {"id": "light.5", "name": "Lamp 5"},
            {"id": "light.view", "name": "Light of the garage", "area": "living"},
        ],
    },
    "names",
)  # fmt: skip


@pytest.mark.parametrize(
    ("sentence", "slots", "wanted"),
    [
        ("turn everything off in the garage", [], [("area", "garage")]),
        ("turn all lights off in my bedroom", [], [("area", "bedroom")]),
        ("schalte alles aus im Schlafzimmer", [], [("area", "Schlafzimmer")]),
        ("spegni tutto nell'ufficio", [], [("area", "ufficio")]),
        ("turn everything off in the garage and upstairs", [], [("area", "garage"), ("floor", "upstairs")]),
        ("turn off garage lights", [], [("area", "garage")]),
        ("garage things off in the bedroom", [], [("area", "bedroom")]),  # a place word tells the place
        ("everything off in the basement", [], [("area", "basement")]),  # rather the area than its floor
        ("mach alles in der Garage aus", [("device_class", "Garage")], [("area", "Garage")]),
        ("turn on the ceiling fan in the bedroom", [("name", "ceiling")], [("name", "ceiling fan"), ("area", "bedroom")]),
        ("turn on the lamp in the bedroom", [("area", "bedroom")], [("name", "lamp"), ("area", "bedroom")]),
        ("turn on lamp 5", [("temperature", "5")], [("name", "lamp 5")]),
        ("dim lamp 5 to 20", [("brightness", "5"), ("brightness", "20")], [("name", "lamp 5"), ("brightness", "20")]),
    ],
)  # fmt: skip
def test_a_place_or_name_that_no_slot_holds(
    sentence: str, slots: list[tuple[str, str]], wanted: list[tuple[str, str]]
) -> None:
    assert heard(sentence, *slots, house=ROOMS) == wanted


@pytest.mark.parametrize(
    ("sentence", "slots"),
    [
        ("turn everything off except in the garage", []),
        ("turn off everything but the lamp", []),
        ("turn off everything except the ceiling fan", []),
        ("alles aus außer im Schlafzimmer", []),
        ("turn it off in the garage", [("area", "it")]),  # a place is said, known or not
        ("open the garage door", [("device_class", "garage door")]),  # the word is another slot's
        ("turn on the light of the garage", [("name", "light")]),  # and here a word of a device's name
        ("turn off all lamps", []),  # one lamp is not all
        ("turn on the lamp in the garage", [("area", "garage")]),  # no lamp lies there
        ("set the lamp to 20 degrees", [("temperature", "20")]),  # lamps have no temperature
    ],
)
def test_what_is_said_otherwise_stays(sentence: str, slots: list[tuple[str, str]]) -> None:
    label = "HassClimateSetTemperature" if "degrees" in sentence else "HassTurnOff"
    assert heard(sentence, *slots, house=ROOMS, label=label) == slots


def test_a_place_that_was_overlooked_keeps_the_devices_in_it() -> None:
    """As docs/how-to-name-your-rooms.md says of candidates."""
    sentence = "turn on the ceiling fan in the bedroom"
    found = said(sentence, ("name", "ceiling"))
    correct(ROOMS, found, sentence, "HassTurnOn")
    ROOMS.resolve(found)
    assert [slot["id"] for slot in found] == ["fan.bed", "bedroom"]
    both = said("turn on the lamp")
    correct(ROOMS, both, "turn on the lamp", "HassTurnOn")
    ROOMS.resolve(both)
    assert [one["id"] for one in both[0]["candidates"]] == ["light.a", "light.b"]
