"""Numbers as people write and say them; what is not surely one number is none."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from firmware_py.tasks.numbers import Numbers, Reading

TABLES = tomllib.loads(files("firmware_py.tasks").joinpath("numbers.toml").read_text(encoding="utf-8"))
EN, ALL = Numbers({"en": TABLES["en"]}), Numbers(TABLES)


def said(text: str, numbers: Numbers = ALL, language: str = "") -> tuple[float, int] | None:
    reading = numbers.read(text, language)
    assert reading is None or isinstance(reading, Reading)
    return None if reading is None else (reading.number, reading.unit_s)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2,700", 2700),
        ("1,234,567", 1234567),
        ("1.234.567", 1234567),  # two points are no decimal ones, in any language
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        ("2 700", 2700),
        ("2\u202f700", 2700),
        ("2'700", 2700),
        ("2’700,5", 2700.5),
        ("0.500", 0.5),  # thousands do not begin with a naught
        ("12.3456", 12.3456),
        ("2.700", 2.7),
        ("+5", 5),
        ("−5,5", -5.5),
        ("5 %", 5),
        ("5\u00a0%", 5),
    ],
)
def test_figures(text: str, number: float) -> None:
    assert said(text, EN) == (number, 0)


@pytest.mark.parametrize(
    "text",
    [
        "1.2.3",
        "1,23,4",
        "1'5",
        "1,234,5",
        "5 x",
        "5/8",
        "12:30",
        "20-22",
        "20 22",
        "1, 2",
        "9" * 10,
        "",
        "%",
        "-",
    ],
)
def test_what_is_no_number(text: str) -> None:
    assert said(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("one hundred and twenty", 120),
        ("nine hundred ninety-nine", 999),
        ("twenty seven hundred", 2700),
        ("two thousand and five", 2005),
        ("2 thousand", 2000),
        ("minus one hundred", -100),
        ("twenty one point two five", 21.25),
        ("hundertundeins", 101),
        ("zweitausendsiebenhundert", 2700),
        ("siebzehneinhalb", 17.5),
        ("zwei ein viertel", 2.25),
        ("deux mille sept cent vingt et un", 2721),
        ("septante-deux", 72),
        ("dos mil setecientos", 2700),
        ("veintiuno coma cinco", 21.5),
        ("honderdvijftig", 150),
        ("tweeënhalf", 2.5),
        ("centuno", 101),
        ("trecentoventi", 320),
        ("dwa tysiące siedemset", 2700),
        ("dwadzieścia i pół", 20.5),
        ("一百零五", 105),
        ("一百一十五", 115),
        ("两千七", 2700),
        ("负十", -10),
        ("摄氏二十度", 20),
    ],
)
def test_words(text: str, number: float) -> None:
    assert said(text) == (number, 0)


@pytest.mark.parametrize(
    "text",
    [
        "hundred hundred",
        "twenty and five",
        "two hundred three hundred",
        "一半",
        "cent mille cent mille",
        "percent",
        "point five",
    ],
)
def test_words_that_are_no_number_together(text: str) -> None:
    assert said(text) is None


@pytest.mark.parametrize(
    ("text", "number", "unit_s"),
    [
        ("90s", 90, 1),
        ("5 min", 5, 60),
        ("two and a half hours", 2.5, 3600),
        ("an hour and a half", 1.5, 3600),
        ("1h30", 90, 60),
        ("1 h 30 min", 90, 60),
        ("one hour and twenty minutes", 80, 60),
        ("2 minutes 5 seconds", 125, 1),
        ("une heure et demie", 1.5, 3600),
        ("un'ora e mezza", 1.5, 3600),
        ("drie kwartier", 3, 900),
        ("两个半小时", 2.5, 3600),
        ("一刻钟", 1, 900),
    ],
)
def test_units_of_time(text: str, number: float, unit_s: int) -> None:
    assert said(text) == (number, unit_s)


@pytest.mark.parametrize(
    "text", ["5 minutes 2 hours", "two hours and a", "1 s 30", "hour", "5 hours minutes"]
)
def test_durations_that_are_none(text: str) -> None:
    assert said(text) is None


def test_long_texts_are_not_read() -> None:
    """Words may be read in many ways; a text that is longer than any number is not tried."""
    assert said("one hundred and twenty" + " " * 60) is None
