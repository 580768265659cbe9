"""A number is in one slot, all of it, and in the slot of its unit; what the model got right stays."""

from __future__ import annotations

import pytest

from firmware_py.tasks.number_spans import Found, mend, with_duration
from firmware_py.tasks.values import SlotValues

VALUES = SlotValues(["en", "de", "fr", "es", "nl", "it", "pl", "zh"])
KNOWN = {"area", "name", "brightness", "temperature", "position", "percentage", "volume_step"} | {
    "hours", "minutes", "seconds", "start_hours", "start_minutes", "start_seconds",
}  # fmt: skip
Slots = list[tuple[str, str]]


def mended(sentence: str, slots: Slots, known: set[str] | None = None) -> Slots:
    found, at = [], 0
    for name, text in slots:
        at = sentence.index(text, at)
        found.append(Found(name, at, at + len(text)))
        at += len(text)
    out = mend(found, sentence, VALUES, KNOWN if known is None else known)
    assert out == sorted(out, key=lambda slot: slot.start)
    return [(slot.name, sentence[slot.start : slot.end]) for slot in out]


@pytest.mark.parametrize(
    ("sentence", "slots", "wanted"),
    [
        # What home-en and home-multi 0.2.0 really say of these sentences.
        ("lamp to 2,700", [("brightness", "2"), ("brightness", "700")], [("temperature", "2,700")]),
        ("auf 2.700 Kelvin", [("brightness", "2"), ("temperature", ".700")], [("temperature", "2.700")]),
        ("to 12.5 percent", [("brightness", "12"), ("brightness", "5")], [("brightness", "12.5")]),
        ("for 1,000 minutes", [("minutes", "1"), ("minutes", "000")], [("minutes", "1,000")]),
        ("open it 3/4", [("area", "3"), ("position", "/4")], [("position", "3/4")]),
        ("the living room to -5", [("area", "living room"), ("temperature", "5")], [("area", "living room"), ("temperature", "-5")]),
        ("temperature to minus five", [("area", "minus"), ("temperature", "five")], [("temperature", "minus five")]),
        ("auf einundzwanzig Komma fünf Grad", [("name", "einundzwanzig Komma"), ("temperature", "fünf")], [("temperature", "einundzwanzig Komma fünf")]),
        ("20 degrees celsius", [("temperature", "20"), ("area", "celsius")], [("temperature", "20")]),
        ("one hundred and twenty minutes", [("minutes", "one hundred"), ("minutes", "twenty")], [("minutes", "one hundred and twenty")]),
        ("timer for 1h30", [("minutes", "1"), ("seconds", "30")], [("hours", "1"), ("minutes", "30")]),
        ("timer for 1h 30m", [("minutes", "1"), ("seconds", "30")], [("hours", "1"), ("minutes", "30")]),
        ("timer for 90s", [("minutes", "90")], [("seconds", "90")]),
        ("for an hour and a half", [("seconds", "half")], [("minutes", "an hour and a half")]),
        ("one hour and a half", [("hours", "one"), ("seconds", "half")], [("hours", "one"), ("minutes", "half")]),
        ("d'une heure et demie", [("hours", "une"), ("name", "demie")], [("minutes", "une heure et demie")]),
        ("un timer di un'ora e mezza", [("hours", "un'"), ("name", "mezza")], [("minutes", "un'ora e mezza")]),
        ("di mezz'ora", [("minutes", "mezz"), ("hours", "'")], [("minutes", "mezz")]),
        ("auf hundertzwanzig Minuten", [("seconds", "hundertzwanzig Minuten")], [("minutes", "hundertzwanzig Minuten")]),
        ("na pół godziny", [("hours", "pół")], [("minutes", "pół")]),
        ("1,5 Stunden", [("hours", "1,5")], [("minutes", "1,5")]),
        ("een kwartier", [("hours", "een")], [("minutes", "een")]),
        ("百分之一百", [("brightness", "一")], [("brightness", "一百")]),
        ("亮度调到一半", [("brightness", "一")], [("brightness", "一半")]),
        ("二十六度半", [("temperature", "二十六")], [("temperature", "二十六度半")]),
        ("零下五度", [("temperature", "五")], [("temperature", "零下五")]),
        ("my 5 hour timer", [("start_minutes", "5")], [("start_hours", "5")]),
    ],
)  # fmt: skip
def test_a_torn_number_is_whole(sentence: str, slots: Slots, wanted: Slots) -> None:
    assert mended(sentence, slots) == wanted


@pytest.mark.parametrize(
    ("sentence", "slots"),
    [
        ("turn on the big lamp", [("name", "big lamp")]),
        ("between 20 and 22 degrees", [("temperature", "20"), ("temperature", "22")]),
        ("20-22 degrees", [("temperature", "20"), ("temperature", "22")]),
        ("20 -22 degrees", [("temperature", "20"), ("temperature", "22")]),
        ("brightness minus 10", [("brightness", "10")]),  # nothing is less than dark
        ("half an hour", [("minutes", "half")]),
        ("one and a half hours", [("hours", "one"), ("minutes", "half")]),
        ("five and a half minutes", [("minutes", "five"), ("seconds", "half")]),
        ("3 1/2 minutes", [("minutes", "3"), ("seconds", "1/2")]),
        ("two hours and thirty minutes", [("hours", "two"), ("minutes", "thirty")]),
        ("10 minutes from my 1 hour timer", [("minutes", "10"), ("start_hours", "1")]),
        ("1:30", [("hours", "1"), ("minutes", "30")]),
        (
            "50 godzinę 25 sekundo",
            [("hours", "50"), ("seconds", "25")],
        ),  # a unit that no table has may follow
        ("cinq minutes s'il te plaît", [("minutes", "cinq")]),
        ("百分之五十", [("brightness", "五十")]),
        ("亮一点", [("brightness", "一")]),
        ("lamp 2,5 green", [("name", "lamp 2"), ("brightness", "5")]),  # another slot's name is not cut
        ("20 C of Anna", [("temperature", "20 C"), ("name", "Anna")]),
        ("5💡", [("brightness", "5"), ("name", "💡")]),
    ],
)
def test_what_is_whole_stays(sentence: str, slots: Slots) -> None:
    assert mended(sentence, slots) == slots


def test_only_slots_of_the_bundle_are_named() -> None:
    assert mended("for 90s", [("minutes", "90")], {"minutes"}) == [("minutes", "90")]
    assert mended("to 2700", [("brightness", "2700")], {"brightness"}) == [("brightness", "2700")]


def test_no_slot_is_named_twice() -> None:
    slots = [("seconds", "90"), ("minutes", "5")]
    assert mended("90 minutes or 5 minutes", slots) == slots


@pytest.mark.parametrize(
    ("sentence", "slots", "wanted"),
    [
        # What home-multi 0.2.0 really says of these sentences, and home-en of the last two.
        ("minuteur de quatre-vingt-dix secondes", [("hours", "quatre"), ("seconds", "-vingt-dix")], [("seconds", "quatre-vingt-dix")]),
        ("minuteur de quatre-vingt-dix secondes", [("hours", "quatre"), ("seconds", "vingt-dix")], [("seconds", "quatre-vingt-dix")]),
        ("minuteur d'une demi-heure", [("hours", "une"), ("minutes", "demi-")], [("minutes", "une demi-")]),
        ("minuteur d'une demi-heure", [("hours", "une"), ("minutes", "demi")], [("minutes", "une demi")]),
        ("de vingt et un minutes", [("hours", "vingt"), ("minutes", "un")], [("minutes", "vingt et un")]),
        ("de treinta y cinco segundos", [("minutes", "treinta"), ("seconds", "cinco")], [("seconds", "treinta y cinco")]),
        ("auf eine halbe Stunde", [("seconds", "eine"), ("minutes", "halbe")], [("minutes", "eine halbe")]),
        ("timer di un'ora e mezza", [("hours", "un"), ("minutes", "e mezza")], [("minutes", "un'ora e mezza")]),
        ("设置一个半小时的计时器", [("hours", "半")], [("minutes", "一个半")]),
        ("设置两个半小时的计时器", [("hours", "两"), ("hours", "半")], [("minutes", "两个半")]),
        ("to 20°C", [("temperature", "20"), ("temperature", "C")], [("temperature", "20")]),
        ("for an hour", [("hours", "hour")], []),
    ],
)  # fmt: skip
def test_neighbours_that_hold_one_number_are_one_slot(sentence: str, slots: Slots, wanted: Slots) -> None:
    assert mended(sentence, slots) == wanted


@pytest.mark.parametrize(
    ("sentence", "slots"),
    [
        ("una hora y media", [("hours", "una"), ("minutes", "media")]),
        ("timer di trenta minuti e venti secondi", [("minutes", "trenta"), ("seconds", "venti")]),
        ("eine Stunde und dreißig Minuten", [("hours", "eine"), ("minutes", "dreißig")]),
        ("brightness twenty temperature five", [("brightness", "twenty"), ("temperature", "five")]),
        ("een kwartier", [("minutes", "een kwartier")]),
        ("7 minutos y 1 cuarto de", [("minutes", "7"), ("seconds", "1 cuarto"), ("minutes", "de")]),
    ],
)
def test_neighbours_that_say_two_numbers_stay(sentence: str, slots: Slots) -> None:
    assert mended(sentence, slots) == slots


@pytest.mark.parametrize(
    ("label", "sentence", "wanted"),
    [
        ("HassStartTimer", "set a timer for an hour", [("hours", "an")]),
        ("HassStartTimer", "start an hour timer", [("hours", "an")]),
        ("HassStartTimer", "set a timer for a minute", [("minutes", "a")]),
        ("HassStartTimer", "for an hour and a half", [("minutes", "an hour and a half")]),
        ("HassStartTimer", "for an hour and five seconds", [("hours", "an"), ("seconds", "five")]),
        ("HassStartTimer", "for ninety five seconds", [("seconds", "ninety five")]),
        ("HassStartTimer", "for half an hour", [("minutes", "half an")]),
        ("HassStartTimer", "设置一小时的计时器", [("hours", "一")]),
        ("HassStartTimer", "5 minutes", [("minutes", "5")]),
        ("HassIncreaseTimer", "add an hour to the timer", [("hours", "an")]),
        ("HassIncreaseTimer", "add a minute to my one hour timer", [("minutes", "a")]),
        ("HassDecreaseTimer", "take from my one hour timer a minute", [("minutes", "a")]),
        ("HassStartTimer", "start a timer", []),
        ("HassStartTimer", "set a second timer", []),
        ("HassStartTimer", "set the hour timer", []),
        ("HassCancelTimer", "cancel it in an hour", []),
        ("HassTurnOn", "turn it on for an hour", []),
    ],
)
def test_an_overlooked_duration_is_read(label: str, sentence: str, wanted: Slots) -> None:
    found = with_duration([], sentence, VALUES, KNOWN, label)
    assert [(slot.name, sentence[slot.start : slot.end]) for slot in found] == wanted


def test_a_duration_is_not_looked_for_where_the_model_saw_one() -> None:
    found = [Found("minutes", 4, 8)]
    assert with_duration(found, "for five minutes or an hour", VALUES, KNOWN, "HassStartTimer") == found
