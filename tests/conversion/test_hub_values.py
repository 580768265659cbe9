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
LANGUAGES = {"en": "en", "de": "de", "es": "es", "nl": "nl", "it": "it", "pl": "pl", "zh": "zh-CN"}


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
                meant = first.setdefault(fold(text), value["out"])
                assert values.value(slot, text) == meant, (slot, text)
                checked += 1
    assert checked > 30
