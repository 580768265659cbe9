"""home-en's own rules: names, phrasings, manners, the mapping of free text, and the drawn splits."""

from __future__ import annotations

import json
import re
import tomllib
from itertools import product
from pathlib import Path
from random import Random

import pytest

from conversion.data.draw import Drawer, Drawn
from conversion.data.free_text import SHARES, load_free_text, load_rules, map_intent
from conversion.data.names import load_names, pick
from conversion.data.noise import SIDES, _commands, noise
from conversion.data.sentence import Sentence
from conversion.data.spoken import manners, politely
from conversion.data.templates import Template
from firmware_py.contracts.errors import DataInvalidError
from firmware_py.tasks.intent import OUT_OF_SCOPE

DATA = Path(__file__).parents[2] / "conversion" / "data"
NAMES = tomllib.loads((DATA / "names_en.toml").read_text("utf-8"))


@pytest.mark.parametrize("section", sorted(NAMES))
def test_no_training_name_is_made_into_an_evaluation_name(section: str) -> None:
    train, held = load_names("train", ("basement", "sewing", "wall")), load_names("eval")
    random = Random(section)
    drawn = {train.draw(section, random) for _ in range(4000)}
    assert not drawn & set(held.values[section])


def test_a_pattern_reads_every_choice() -> None:
    random = Random(0)
    seen = {pick("(left|old) (spot|) lantern", random) for _ in range(200)}
    assert seen == {
        " ".join(" ".join(words).split()) for words in product(("left", "old"), ("spot", ""), ("lantern",))
    }


def test_manners_move_the_slots_along() -> None:
    row = Sentence("dim the den", "HassLightSet", ((8, 11, "area"),))
    known, random = manners("en"), Random(3)
    said = [politely(row, known, random) for _ in range(300)]
    assert {one.text[start:end] for one in said for start, end, _ in one.slots} == {"den"}
    assert any(one.text.startswith(known.ask) for one in said)
    assert any(one.text.endswith(known.after) for one in said)
    assert 0.1 < sum(one.text != row.text for one in said) / len(said) < 0.4


def test_nobody_is_asked_to_please_a_question() -> None:
    row = Sentence("is the den warm", "HassGetState")
    known, random = manners("en"), Random(1)
    said = {politely(row, known, random).text for _ in range(500)}
    assert not any(f"{ask} is the den" in text for text in said for ask in set(known.ask) - set(known.call))


def test_every_rule_of_the_mapping_has_a_reason_and_a_known_intent() -> None:
    raw = tomllib.loads((DATA / "mapping_home.toml").read_text("utf-8"))
    spoken = tomllib.loads((DATA / "spoken_en.toml").read_text("utf-8"))
    for rule in raw["rule"]:
        assert len(rule["reason"]) > 20
        assert rule["intent"] in spoken
        assert all(re.compile(one) for one in rule["all"])


@pytest.mark.parametrize(
    ("source", "text", "intent"),
    [
        ("iot_hue_lightoff", "Turn off the lamp", "HassTurnOff"),
        ("iot_hue_lightoff", "turn off the lamp at ten pm", None),
        ("iot_hue_lightoff", "lights off and play jazz", None),
        ("iot_hue_lightup", "light up", None),
        ("audio_volume_up", "set the volume to ninety", "HassSetVolume"),
        ("audio_volume_up", "increase the sound", "HassSetVolumeRelative"),
        ("weather_query", "turn off the lamp", None),
    ],
)
def test_only_clear_rows_are_mapped(source: str, text: str, intent: str | None) -> None:
    assert map_intent(load_rules(), source, text) == intent


def test_free_text_holds_each_text_once_and_says_where_from(tmp_path: Path) -> None:
    for _, name in SHARES[1:]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        rows = [
            {"text": "lights off", "intent": "iot_hue_lightoff"},
            {"text": f"{name[:5]} lamp off", "intent": "iot_hue_lightoff"},
        ]
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)), "utf-8")
    found = load_free_text(tmp_path)
    assert [(row.text, row.origin) for row in found.rows] == [
        ("lights off", "slurp/devel"),
        ("slurp lamp off", "slurp/devel"),
        ("hwu64 lamp off", "hwu64/train"),
    ]
    assert [source["rows"] for source in found.sources] == [0, 2, 1]
    assert found.counts == {"HassTurnOff": 3}


def test_a_broken_share_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "hwu64").mkdir()
    (tmp_path / "hwu64" / "val.jsonl").write_text("[1]\n", "utf-8")
    with pytest.raises(DataInvalidError):
        load_free_text(tmp_path)


WORDS = ("river", "marble", "kitchen", "purple", "court", "wine", "sewing", "lamp", "actor", "senate") * 3


def test_noise_is_of_no_two_sides_and_never_a_command() -> None:
    known = {"turn on the lamp", "kitchen", "pause the timer"}
    sides = noise(0, (*WORDS, *(f"word{letter * 3}" for letter in "abcdefghijklmnopqrstuvwxyz")), known)
    texts = {side: {row.text for row in rows} for side, rows in sides.items()}
    assert not texts["train"] & texts["evaluation"]
    assert not texts["train"] & texts["calibration"]
    assert not texts["calibration"] & texts["evaluation"]
    assert all(row.intent == OUT_OF_SCOPE and not row.slots for rows in sides.values() for row in rows)
    lone = {text for text in texts["train"] if " " not in text}
    assert "river" in lone | texts["calibration"] | texts["evaluation"]
    assert not {"kitchen", "lamp"} & lone
    assert sum("licht" in text.split() for text in texts["train"]) > 0
    assert noise(0, WORDS, known) == noise(0, WORDS, known)
    held = noise(0, WORDS, known)["train"][0].text
    assert held not in {row.text for row in noise(0, WORDS, known, {held})["train"]}


def test_sides_hear_foreign_commands_of_templates_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, set[int]] = {}
    draw = Drawer.draw

    def noted(self: Drawer, template: Template, random: Random) -> Drawn:
        asked.setdefault(template.text, set()).add(template.number % 10)
        return draw(self, template, random)

    monkeypatch.setattr(Drawer, "draw", noted)
    noise(0, WORDS, ())
    remainders = set().union(*asked.values())
    assert remainders == set(range(10))
    for number, side in SIDES.items():
        asked.clear()
        _commands("nl", side, 10, (), Random(0))
        assert set().union(*asked.values()) == {number}


def test_a_model_of_many_languages_hears_mashed_keys_alone() -> None:
    rows = noise(0, (), ())["train"]
    assert len(rows) > 400
    assert all(set(row.text) <= set("abcdefghijklmnopqrstuvwxyz ") for row in rows)
