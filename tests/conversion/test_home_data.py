"""home-en's own rules: names, phrasings, manners, the mapping of free text, and the drawn splits."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from itertools import islice, product
from pathlib import Path
from random import Random

import pytest

from conversion.data.draw import Drawer, Drawn
from conversion.data.free_text import SHARES, load_free_text, load_rules, map_intent
from conversion.data.names import load_names, pick
from conversion.data.noise import Side, _commands, mashed, noise
from conversion.data.sentence import Sentence
from conversion.data.spoken import manners, politely
from conversion.data.templates import Template, load_grammar, split_templates
from firmware_py.contracts.errors import DataInvalidError
from firmware_py.tasks.intent import OUT_OF_SCOPE

DATA = Path(__file__).parents[2] / "conversion" / "data"
needs_templates = pytest.mark.skipif(
    find_spec("home_assistant_intents") is None, reason="the templates are in the build environments only"
)
SIDES: tuple[Side, ...] = ("train", "eval")
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


WORDS = (
    "river", "marble", "kitchen", "purple", "court", "wine", "sewing", "lamp", "actor", "senate",
    *(f"word{letter * 3}" for letter in "abcdefghijklmnopqrstuvwxyz"),
)  # fmt: skip
KNOWN = ("turn on the lamp", "Kitchen", "pause the timer")


def lone(side: Side) -> set[str]:
    """Words of a side's texts that are such words and nothing else."""
    texts = [row.text.split() for row in noise(side, 0, WORDS, KNOWN)]
    return {word for words in texts if set(words) <= set(WORDS) for word in words}


@needs_templates
def test_noise_is_out_of_scope_and_none_of_the_houses_words() -> None:
    rows = noise("train", 0, WORDS, KNOWN)
    assert all(row.intent == OUT_OF_SCOPE and not row.slots for row in rows)
    assert len(lone("train")) > 20
    assert not {"kitchen", "lamp"} & lone("train")
    heard = {word for row in rows for word in row.text.split()}
    assert {"der", "le", "el", "il", "het", "w"} <= heard  # a word of each language


@needs_templates
def test_sides_share_no_key_run_and_no_word() -> None:
    random = Random(0)
    runs = {side: {run for _ in range(3000) for run in mashed(side, random).split()} for side in SIDES}
    assert min(map(len, runs.values())) > 300
    assert not runs["train"] & runs["eval"]
    assert lone("eval")
    assert not lone("train") & lone("eval")


@needs_templates
def test_sides_draw_foreign_commands_from_templates_and_names_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, set[int]] = {}
    draw = Drawer.draw

    def noted(self: Drawer, template: Template, random: Random) -> Drawn:
        asked.setdefault(self._names.side, set()).add(template.number)
        return draw(self, template, random)

    monkeypatch.setattr(Drawer, "draw", noted)
    held = split_templates(load_grammar("nl").templates, 0).evaluation
    for side in SIDES:
        list(islice(_commands("nl", side, 0, Random(0)), 400))
    assert asked.keys() == {"train", "eval"}
    assert asked["eval"] <= held
    assert not asked["train"] & held


@needs_templates
def test_noise_leaves_texts_out_that_belong_elsewhere() -> None:
    first = noise("train", 0, WORDS, KNOWN)[0].text
    assert first not in {row.text for row in noise("train", 0, WORDS, KNOWN, {first})}


@needs_templates
def test_noise_is_the_same_in_every_process() -> None:
    """Sets are built on the way: their order differs from process to process."""
    program = "from conversion.data.noise import noise; print([r.text for r in noise('eval', 0, ('river', 'actor'), ())])"
    heard = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            cwd=DATA.parents[1],
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(heard) == 1


def test_a_model_of_many_languages_hears_mashed_keys_alone() -> None:
    rows = noise("train", 0, (), ())
    assert len(rows) > 400
    assert all(set(row.text) <= set("abcdefghijklmnopqrstuvwxyz ") for row in rows)
