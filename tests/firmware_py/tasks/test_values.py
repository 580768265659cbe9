"""Slot values as a hub takes them; what no table knows stays the text."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

import pytest

from firmware_py.tasks.folding import fold
from firmware_py.tasks.values import SlotValues

EN = SlotValues(["en"])
ALL = SlotValues(["en", "de", "fr", "es", "nl", "it", "pl", "zh"])


def table(name: str) -> dict[str, Any]:
    return tomllib.loads(files("firmware_py.tasks").joinpath(name).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("slot", "text", "value"),
    [
        ("brightness", "50", 50),
        ("brightness", "50 %", 50),
        ("brightness", "Fifty percent", 50),
        ("brightness", "twenty-five", 25),
        ("brightness", "maximum", 100),
        ("percentage", "one hundred", 100),
        ("position", "0", 0),
        ("temperature", "20.5", 20.5),
        ("temperature", "20,5", 20.5),
        ("temperature", "21 °C", 21),
        ("temperature", "-3", -3),
        ("temperature", "minus three degrees", -3),
        ("temperature", "twenty and a half", 20.5),
        ("temperature", "nineteen point five", 19.5),
        ("temperature", "warm  white", 2700),
        ("temperature", "2700 kelvin", 2700),
        ("hours", "an", 1),
        ("minutes", "half", 30),
        ("minutes", "1/2", 30),
        ("minutes", "1.2", 1.2),
        ("minutes", "5 minutes", 5),
        ("start_seconds", "forty five", 45),
        ("color", "Turquoise", "turquoise"),
        ("state", "shut", "closed"),
        ("state", "unlocked", "unlocked"),
        ("fan_mode", "automatic", "auto"),
        ("media_class", "song", "track"),
        ("device_class", "garage doors", "garage"),
        ("volume_step", "up", "up"),
        ("item", "Brown  Bread", "brown bread"),
        ("name", "2", "2"),
        ("color", "fifty", "fifty"),
        ("brightness", "a bit", "a bit"),
        ("brightness", "9" * 40, "9" * 40),
        ("brightness", "percent", "percent"),
        ("temperature", "point five", "point five"),
        ("temperature", "", ""),
        ("temperature", "2,700", 2700),
        ("temperature", "2,700 K", 2700),
        ("temperature", "2,700.4", 2700),
        ("temperature", "6500k", 6500),
        ("temperature", "21.5 degrees", 21.5),
        ("temperature", "20 degrees celsius", 20),
        ("temperature", "72°F", 72),
        ("temperature", "21℃", 21),
        ("temperature", "20½", 20.5),
        ("temperature", "20-22", "20-22"),
        ("temperature", "20 hours", "20 hours"),
        ("temperature", "half", "half"),
        ("temperature", ".5", ".5"),
        ("brightness", "12.5 percent", 13),
        ("brightness", "0.5", "0.5"),
        ("brightness", "half", 50),
        ("brightness", "full", 100),
        ("brightness", "3/4", 75),
        ("position", "one third", 33),
        ("percentage", "one hundred and twenty", 120),
        ("minutes", "1,000", 1000),
        ("minutes", "1,000 minutes", 1000),
        ("minutes", "half an hour", 30),
        ("minutes", "three quarters of an hour", 45),
        ("minutes", "an hour and a half", 90),
        ("minutes", "1h30", 90),
        ("minutes", "2 hours", 120),
        ("minutes", "2 1/2", 2.5),
        ("minutes", "quarter to", "quarter to"),
        ("minutes", "1:30", "1:30"),
        ("hours", "half", 0.5),
        ("hours", "90 minutes", 1.5),
        ("seconds", "half a minute", 30),
        ("seconds", "1 minute 30", 90),
    ],
)
def test_english_values(slot: str, text: str, value: Any) -> None:
    found = EN.value(slot, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("sentence", "text", "value"),
    [
        ("turn the volume up by 10", "10", 10),
        ("turn down the volume by 10", "10", -10),
        ("decrease volume by twenty percent", "twenty percent", -20),
        ("volume 5", "5", 5),
    ],
)
def test_a_step_has_the_sentences_sign(sentence: str, text: str, value: int) -> None:
    assert EN.value("volume_step", text, sentence) == value
    assert EN.value("brightness", text, sentence) == abs(value)


@pytest.mark.parametrize(
    ("slot", "text", "value"),
    [
        ("brightness", "fünfzig Prozent", 50),
        ("temperature", "einundzwanzig Komma fünf Grad", 21.5),
        ("color", "grün", "green"),
        ("color", "GRU\u0308N", "green"),
        ("color", "weiß", "white"),
        ("brightness", "soixante-dix", 70),
        ("temperature", "moins cinq", -5),
        ("minutes", "media", 30),
        ("minutes", "tres cuartos", 45),
        ("temperature", "treinta y uno grados", 31),
        ("brightness", "eenentwintig", 21),
        ("brightness", "massimo", 100),
        ("color", "żółty", "yellow"),
        ("hours", "dwie", 2),
        ("brightness", "五十", 50),
        ("temperature", "二十五度", 25),
        ("temperature", "零下五度", -5),
        ("temperature", "二十点五", 20.5),
        ("state", "打开", "open"),
        ("brightness", "５０", 50),
        ("temperature", "2.700 Kelvin", 2700),
        ("temperature", "2,7", 2.7),
        ("temperature", "21,5 Grad", 21.5),
        ("temperature", "二十六度半", 26.5),
        ("temperature", "两千七百", 2700),
        ("temperature", "duemilasettecento", 2700),
        ("temperature", "zevenentwintighonderd", 2700),
        ("temperature", "diecinueve y medio", 19.5),
        ("minutes", "1.500", 1500),
        ("minutes", "eine Dreiviertelstunde", 45),
        ("minutes", "anderthalb Stunden", 90),
        ("minutes", "un quart d'heure", 15),
        ("minutes", "mezz'ora", 30),
        ("minutes", "een kwartier", 15),
        ("minutes", "一个半小时", 90),
        ("minutes", "半小时", 30),
        ("seconds", "eineinhalb Minuten", 90),
        ("hours", "anderthalb", 1.5),
        ("hours", "półtorej", 1.5),
        ("brightness", "hundertzwanzig", 120),
        ("brightness", "ciento veinte", 120),
        ("brightness", "centottanta", 180),
        ("brightness", "sto dwadzieścia", 120),
        ("brightness", "一百五", 150),
        ("brightness", "halb", 50),
        ("brightness", "Hälfte", 50),
        ("brightness", "moitié", 50),
        ("brightness", "mitad", 50),
        ("brightness", "połowa", 50),
        ("brightness", "一半", 50),
        ("brightness", "helft", 50),
        ("brightness", "metà", 50),
        ("brightness", "百分之五十", 50),
        ("brightness", "voll", 100),
        ("color", "roja", "red"),
        ("color", "blancas", "white"),
        ("color", "rote", "red"),
        ("color", "czerwoną", "red"),
        ("color", "rossa", "red"),
        ("color", "bleues", "blue"),
        ("color", "witte", "white"),
        ("color", "红", "red"),
    ],
)
def test_values_of_other_languages_without_asking_which(slot: str, text: str, value: Any) -> None:
    assert ALL.value(slot, text) == value


@pytest.mark.parametrize("language", ["de", "fr", "es", "nl", "it", "pl"])
def test_point_and_comma_are_the_languages_own(language: str) -> None:
    alone = SlotValues([language])
    for values, named in ((alone, ""), (alone, language), (ALL, language)):
        assert values.value("temperature", "2.700", language=named) == 2700
        assert values.value("temperature", "2,700", language=named) == 2.7
        assert values.value("temperature", "2,7", language=named) == 2.7
    assert ALL.value("temperature", "2.700", language="en") == 2.7
    assert ALL.value("temperature", "2,700", language="en") == 2700


def test_without_a_language_three_digits_are_thousands_if_they_may_be() -> None:
    assert (ALL.value("temperature", "2.700"), ALL.value("temperature", "2,700")) == (2700, 2700)
    assert SlotValues(["xx"]).value("temperature", "2.700") == "2.700"
    assert SlotValues(["xx"]).value("temperature", "2.7") == 2.7


@pytest.mark.parametrize(
    ("slot", "sentence", "text", "value"),
    [
        ("minutes", "anderhalf uur", "anderhalf", 90),
        ("minutes", "anderthalb Minuten", "anderthalb", 1.5),
        ("seconds", "anderthalb Minuten", "anderthalb", 90),
        ("minutes", "eine Viertelstunde", "eine", 15),
        ("minutes", "two hours", "two", 120),
        ("minutes", "half an hour", "half", 30),
        ("minutes", "cinq s'il te plaît", "cinq", 5),
        ("minutes", "两个小时", "两", 120),
    ],
)
def test_the_unit_behind_a_duration_counts(slot: str, sentence: str, text: str, value: float) -> None:
    assert ALL.value(slot, text, sentence, end=sentence.index(text) + len(text)) == value


def test_a_bundle_knows_its_own_languages_only() -> None:
    assert EN.value("color", "grün") == "grün"
    assert SlotValues(["de-CH"]).value("color", "grün") == "green"
    assert SlotValues(["xx"]).value("brightness", "50") == 50


def test_no_word_means_different_things_in_two_languages() -> None:
    """Else a joined table would depend on the order of languages; a clash is a finding, not a default."""
    seen: dict[tuple[str, str], Any] = {}
    numbers, values = table("numbers.toml"), table("values.toml")
    for spoken in numbers.values():
        assert len(spoken["words"]) == 101
        for number, words in enumerate(spoken["words"]):
            for word in words.split("|"):
                assert seen.setdefault(("number", fold(word)), number) == number
    tables = [*values.items(), *((f"numbers {language}", spoken) for language, spoken in numbers.items())]
    for kind, value, word in (
        (kind, value, word)
        for name, table in tables
        for kind, kinds in table.items()
        if name != "slots" and isinstance(kinds, dict)
        for value, words in kinds.items()
        for word in words
    ):
        assert fold(word)
        assert seen.setdefault((kind, fold(word)), value) == value
        assert kind != "more" or ("number", fold(word)) not in seen


@pytest.mark.parametrize(
    ("text", "folded"), [("L'Été", "l ete"), ("Łódź-3", "lodz 3"), ("Straße", "strasse"), ("…", "")]
)
def test_folding(text: str, folded: str) -> None:
    assert fold(text) == folded
