"""The committed lists keep their own rules; the demo's sentences keep theirs."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from conversion.data.out_of_scope import load_foreign, own_sentences
from conversion.data.sentence import hand_written, in_scope, parse_marked
from firmware_py.contracts.errors import DataInvalidError
from firmware_py.tasks.small_words import small_words

ROOT = Path(__file__).parents[2]
NAMES = tomllib.loads((ROOT / "conversion" / "data" / "names_en.toml").read_text("utf-8"))
EXAMPLES = ROOT / "examples" / "home_en.jsonl"


@pytest.mark.parametrize("section", sorted(NAMES))
def test_no_name_is_on_both_sides_or_twice(section: str) -> None:
    train, held = NAMES[section]["train"], NAMES[section]["eval"]
    assert len(train) == len(set(train))
    assert not set(train) & set(held)
    assert len(held) >= 4


@pytest.mark.parametrize(
    "section", ["light", "switch", "fan", "climate", "cover", "valve", "vacuum", "sensor"]
)
def test_an_evaluation_name_holds_no_area_word(section: str) -> None:
    places = {
        *NAMES["area"]["train"],
        *NAMES["area"]["eval"],
        *NAMES["floor"]["train"],
        *NAMES["floor"]["eval"],
    }
    for name in NAMES[section]["eval"]:
        assert not any(f" {place} " in f" {name} " for place in places), name


@pytest.mark.parametrize("side", ["train", "eval"])
def test_a_lights_name_does_not_end_in_a_light_word(side: str) -> None:
    for name in NAMES["light"][side]:
        assert name.split()[-1] not in {"light", "lights", "lighting", "lamp", "lamps"}


def test_foreign_topics_of_evaluation_are_not_trained() -> None:
    assert not {topic for topic, _ in own_sentences("train")} & {topic for topic, _ in own_sentences("eval")}


def test_without_the_public_sets_the_own_list_stands_and_says_so() -> None:
    foreign = load_foreign(None, 0)
    assert foreign.train
    assert foreign.calibration
    assert foreign.evaluation
    texts = [{row.text for row in side} for side in (foreign.train, foreign.calibration, foreign.evaluation)]
    assert not texts[0] & texts[1]
    assert not (texts[0] | texts[1]) & texts[2]
    assert [source.get("note") for source in foreign.sources] == [None, "not present", "not present"]


def test_public_rows_are_split_by_intent(tmp_path: Path) -> None:
    folder = tmp_path / "banking77"
    folder.mkdir()
    rows = [{"text": f"Text {intent} {n}", "intent": f"i{intent}"} for intent in range(10) for n in range(3)]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    foreign = load_foreign(tmp_path, 0)
    sides = [
        {row.text.split()[1] for row in side if row.text.startswith("text ")}
        for side in (foreign.train, foreign.calibration, foreign.evaluation)
    ]
    assert [len(side) for side in sides] == [7, 1, 2]


def test_a_broken_public_set_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "banking77").mkdir()
    (tmp_path / "banking77" / "train.jsonl").write_text('{"text": 1}', "utf-8")
    with pytest.raises(DataInvalidError):
        load_foreign(tmp_path, 0)


def test_hand_written_sentences_are_many_and_marked() -> None:
    rows = hand_written()
    assert sum(map(in_scope, rows)) >= 50
    assert all(row.origin == "hand" for row in rows)
    for row in rows:
        assert "[" not in row.text
        for start, end, _ in row.slots:
            assert row.text[start:end]


def test_a_marked_line_is_read_with_its_spans() -> None:
    row = parse_marked("HassTurnOn\tturn on the [Küche](area) lamp")
    assert (row.text, row.slots) == ("turn on the Küche lamp", ((12, 17, "area"),))
    with pytest.raises(DataInvalidError):
        parse_marked("no tab here")


@pytest.mark.skipif(
    not EXAMPLES.exists(), reason="examples/home_en.jsonl is written by the first shipping build"
)
def test_the_demos_sentences_are_what_the_demo_needs() -> None:
    rows = [json.loads(line) for line in EXAMPLES.read_text("utf-8").splitlines()]
    assert len(rows) >= 200
    assert len({row["text"] for row in rows}) >= 0.99 * len(rows)
    foreign = [row for row in rows if row["intent"] == "oos"]
    assert 0.08 <= len(foreign) / len(rows) <= 0.12
    assert all(row["origin"] == "hand" for row in foreign)
    assert sum(row["origin"] == "hand" and row["intent"] != "oos" for row in rows) >= 50
    for row in rows:
        assert row["origin"] in ("hand", "template")
        for start, end, name in row["slots"]:
            assert 0 <= start < end <= len(row["text"])
            assert name


def test_no_sentence_that_models_are_judged_on_is_taken_for_a_negated_command() -> None:
    """Such a sentence would be out of scope before any stage runs."""
    languages = ("en", "de", "fr", "es", "nl", "it", "pl", "zh")
    texts = [json.loads(row)["text"] for row in EXAMPLES.read_text("utf-8").splitlines()]
    texts += [row.text for language in languages for row in hand_written(language)]
    assert len(texts) > 300
    words = small_words(frozenset(languages))
    assert [text for text in texts if words.negate(text)] == []
