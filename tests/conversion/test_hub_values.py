"""The device's table of slot values against the package that it was written out from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hassil", reason="needs hassil: run `.venvs/train/bin/python -m pytest tests/conversion`")
home_assistant_intents = pytest.importorskip("home_assistant_intents")

from hassil import parse_sentence
from hassil.sample import sample_sentence

from firmware_py.tasks.folding import fold
from firmware_py.tasks.values import SlotValues

LISTS = {
    "color": "color",
    "brightness": "brightness_level",
    "temperature": "color_temperature_names",
    "volume_step": "volume_step",
    "fan_mode": "fan_mode",
    "media_class": "media_class",
    "device_class": "cover_classes",
    "state": "cover_states",
}
LANGUAGES = {
    "en": "en", "de": "de", "fr": "fr", "es": "es", "nl": "nl", "it": "it", "pl": "pl", "zh": "zh-CN",
}  # fmt: skip
# Spellings of the package that nobody writes: its French `portes[s]` stands for "porte[s]", and both of those are known.
MISSPELT = {("fr", "device_class"): "portess"}
# Durations, by the slot that the hub fills from them.
DURATIONS = {
    "timer_half": ("minutes", "seconds"),
    "timer_hour_parts_to_minutes": ("minutes",),
    "timer_minute_parts_to_seconds": ("seconds",),
    "timer_one_and_a_half": ("minutes", "seconds"),
}
UNITS = {
    "minutes": "uur",
    "seconds": "minuut",
}  # Dutch is the only one that says "one and a half" without its unit


def document(name: str) -> Any:
    folder = Path(home_assistant_intents.__file__).parent / "data"
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_of_the_hubs_lists_has_the_hubs_value(language: str) -> None:
    values, lists = SlotValues([language]), document(LANGUAGES[language])["lists"]
    checked = 0
    for slot, name in LISTS.items():
        first: dict[str, object] = {}  # the package itself gives a few words two values; the first counts
        for value in lists.get(name, {}).get("values", ()):
            if isinstance(value, str) or isinstance(value["out"], list):
                continue
            for text in sample_sentence(parse_sentence(value["in"]), {}, {}, language):
                if fold(text).startswith(MISSPELT.get((language, slot), "?")):
                    continue
                meant = first.setdefault(fold(text), value["out"])
                assert values.value(slot, text) == meant, (slot, text)
                checked += 1
    assert checked > 30


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_duration_of_the_hubs_lists_has_the_hubs_value(language: str) -> None:
    values, lists = SlotValues([language]), document(LANGUAGES[language])["lists"]
    for name, slots in DURATIONS.items():
        for value in lists.get(name, {}).get("values", ()):
            for text in sample_sentence(parse_sentence(value["in"]), {}, {}, language):
                for slot in slots:
                    sentence = f"{text} {UNITS[slot]}" if name == "timer_one_and_a_half" else text
                    found = values.value(slot, text, sentence, end=len(text))
                    assert found == value["out"], (slot, text)


def test_garage_doors_of_the_misspelt_list_are_known() -> None:
    values = SlotValues(["fr"])
    assert {values.value("device_class", f"{door} de garage") for door in ("porte", "portes")} == {"garage"}
