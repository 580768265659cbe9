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
    ],
)
def test_values_of_other_languages_without_asking_which(slot: str, text: str, value: Any) -> None:
    assert ALL.value(slot, text) == value


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
    for language in values.keys() - {"slots"}:
        for kind, kinds in values[language].items():
            for value, words in kinds.items():
                for word in words:
                    assert fold(word)
                    assert seen.setdefault((kind, fold(word)), value) == value


@pytest.mark.parametrize(
    ("text", "folded"), [("L'Été", "l ete"), ("Łódź-3", "lodz 3"), ("Straße", "strasse"), ("…", "")]
)
def test_folding(text: str, folded: str) -> None:
    assert fold(text) == folded
