"""Kind `intent`: encode refuses what cannot be understood, decode points into the user's own text."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_py.contracts.errors import EmptyInputError, InputTooLongError, SchemaError
from firmware_py.contracts.manifest import Manifest, parse_manifest
from firmware_py.contracts.reply import Reply, Route
from firmware_py.contracts.request import MAX_PAYLOAD_BYTES
from firmware_py.inference.exits import Verdict
from firmware_py.tasks.intent import Encoded, IntentTask, spans_of, tags_of
from firmware_py.tasks.names import parse_names

SAMPLE = Path(__file__).parents[2] / "compat" / "manifest.v1.json"
PIECES = ["[PAD]", "[UNK]", "turn", "on", "the", "kitchen", "light", "##s", "a", "!"]
VOCABULARY = ("\n".join(PIECES) + "\n").encode()


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    parsed = parse_manifest(json.loads(SAMPLE.read_text("utf-8")))
    return replace(parsed, labels=("TurnOn", "oos"), slots=("area", "name"), buckets=(4, 8))


@pytest.fixture(scope="module")
def task(manifest: Manifest) -> IntentTask:
    return IntentTask(manifest, VOCABULARY)


def test_encode_keeps_the_first_tokens_and_counts_the_rest(task: IntentTask) -> None:
    encoded = task.encode({"text": "turn on the kitchen lights a a a a"})
    assert encoded.tokens == len(encoded.ids) == len(encoded.spans) == 8
    assert encoded.truncated == 2


@pytest.mark.parametrize("text", ["", "   ", "!!", "🎉", "\u0301"])
def test_a_text_without_letter_or_digit_is_empty(task: IntentTask, text: str) -> None:
    with pytest.raises(EmptyInputError):
        task.encode({"text": text})


def test_512_tokens_are_truncated_and_513_refused(task: IntentTask) -> None:
    assert task.encode({"text": "a " * 512}).truncated == 504
    with pytest.raises(InputTooLongError) as caught:
        task.encode({"text": "a " * 513})
    assert "a a" not in str(caught.value)  # user text stays out of messages


def test_a_text_over_4096_characters_is_refused_before_it_is_cut(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One word without a piece is one token, however long."""
    task = IntentTask(manifest, VOCABULARY)
    assert task.encode({"text": "x" * 4096}).tokens == 1
    monkeypatch.setattr(task, "_tokenizer", None)
    for text in ("x" * 4097, "é" * 4097, "a " * 32_000):
        with pytest.raises(InputTooLongError) as caught:
            task.encode({"text": text})
        assert "xx" not in str(caught.value)


@pytest.mark.parametrize("letter", ["x", "\U00010330", "\0"])
def test_a_reply_fits_the_wire_however_long_the_word(manifest: Manifest, letter: str) -> None:
    """A slot says its text twice; control characters and letters beyond the first plane take most bytes."""
    task = IntentTask(manifest, VOCABULARY)
    encoded = task.encode({"text": f"a{letter * 4094}a"})
    result = task.decode(encoded, Verdict(0, 0.9, False, 0.0), [1] * encoded.tokens)
    reply = Reply("1", "ok", Route("n"), result).to_dict()
    assert result["slots"][0]["end"] == 4096
    assert len(json.dumps(reply, ensure_ascii=False).encode()) < MAX_PAYLOAD_BYTES


def test_no_text_is_a_schema_error(task: IntentTask) -> None:
    with pytest.raises(SchemaError):
        task.encode({"lang": "en"})


def test_decode_gives_label_confidence_and_slots(task: IntentTask) -> None:
    text = "Turn on the  Kitchen lights!"
    encoded = task.encode({"text": text})
    result = task.decode(encoded, Verdict(0, 0.91234, False, 0.0), [0, 0, 0, 1, 2, 2, 0])
    assert result == {
        "label": "TurnOn",
        "confidence": 0.9123,
        "slots": [
            {"name": "area", "value": "kitchen", "text": "Kitchen", "start": 13, "end": 20},
            {"name": "name", "value": "lights", "text": "lights", "start": 21, "end": 27},
        ],
    }


@pytest.fixture(scope="module")
def home(manifest: Manifest) -> Manifest:
    """A home of several languages."""
    task = replace(manifest.task, name="home", languages=("en", "de-CH"))
    return replace(manifest, task=task, slots=("name", "minutes", "hours", "temperature"), buckets=(8,))


@pytest.mark.parametrize(
    ("tag", "language"), [("de", "de"), ("de-AT", "de"), ("EN_us", "en"), ("fr", ""), ("und", ""), ("", "")]
)
def test_the_language_of_a_text_is_one_of_the_bundles(home: Manifest, tag: str, language: str) -> None:
    task = IntentTask(home, VOCABULARY)
    assert task.language({"lang": tag}) == task.encode({"text": "a", "lang": tag}).language == language


def test_the_language_of_a_bundle_with_one_is_known(home: Manifest) -> None:
    task = IntentTask(replace(home, task=replace(home.task, languages=("en-GB",))), VOCABULARY)
    assert task.encode({"text": "a"}).language == task.encode({"text": "a", "lang": "en"}).language == "en"


@pytest.mark.parametrize(("tag", "value"), [("en", 2.7), ("de", 2700), ("", 2700)])
def test_a_torn_number_is_one_slot_and_read_in_its_language(home: Manifest, tag: str, value: float) -> None:
    task = IntentTask(home, VOCABULARY)
    encoded = task.encode({"text": "the light 2.700", "lang": tag})
    result = task.decode(encoded, Verdict(0, 0.9, False, 0.0), [0, 1, 4, 0, 4])
    assert result["slots"] == [
        {"name": "name", "value": "light", "text": "light", "start": 4, "end": 9},
        {"name": "temperature", "value": value, "text": "2.700", "start": 10, "end": 15},
    ]


def test_the_slots_of_other_tasks_keep_their_spans(home: Manifest) -> None:
    task = IntentTask(replace(home, task=replace(home.task, name="clinc150")), VOCABULARY)
    encoded = task.encode({"text": "90 s"})
    (slot,) = task.decode(encoded, Verdict(0, 0.9, False, 0.0), [2, 0])["slots"]
    assert (slot["name"], slot["value"]) == ("minutes", "90")


@pytest.mark.parametrize(
    ("text", "known"), [("turn on", True), ("don't turn on", False), ("nicht turn on", False)]
)
def test_a_negated_command_is_not_known_in_a_home(home: Manifest, text: str, known: bool) -> None:
    assert IntentTask(home, VOCABULARY).encode({"text": f"{text} the light a"}).answerable is known
    other = IntentTask(replace(home, task=replace(home.task, name="clinc150")), VOCABULARY)
    assert other.encode({"text": f"{text} the light a"}).answerable


def test_a_negation_is_one_in_the_texts_language(home: Manifest) -> None:
    task = IntentTask(home, VOCABULARY)
    assert task.encode({"text": "turn nicht on the light", "lang": "en"}).answerable
    assert not task.encode({"text": "turn nicht on the light", "lang": "de"}).answerable


def test_a_timer_s_overlooked_duration_is_a_slot(home: Manifest) -> None:
    task = IntentTask(replace(home, labels=("HassStartTimer",)), VOCABULARY)
    encoded = task.encode({"text": "timer for an hour"})
    (slot,) = task.decode(encoded, Verdict(0, 0.9, False, 0.0), [0] * encoded.tokens)["slots"]
    assert (slot["name"], slot["value"], slot["text"]) == ("hours", 1, "an")


def test_a_garage_door_that_was_cut_is_one_kind(home: Manifest) -> None:
    spanish = replace(home, task=replace(home.task, languages=("es",)), slots=("name", "device_class"))
    task = IntentTask(spanish, VOCABULARY)
    encoded = task.encode({"text": "puerta garaje"})
    (slot,) = task.decode(encoded, Verdict(0, 0.9, False, 0.0), [1, 2])["slots"]
    assert (slot["name"], slot["value"], slot["text"]) == ("device_class", "garage", "puerta garaje")


@pytest.mark.parametrize(("tag", "found"), [("de", "Lamp"), ("en", None)])
def test_articles_are_those_of_the_texts_language(home: Manifest, tag: str, found: str | None) -> None:
    house = parse_names({"device": [{"id": "x", "name": "Lamp"}]}, "names")
    task = IntentTask(home, VOCABULARY, SimpleNamespace(current=house))
    result = task.decode(task.encode({"text": "den lamp", "lang": tag}), Verdict(0, 0.9, False, 0.0), [1, 1])
    assert result["slots"][0]["value"] == (found or "den lamp")
    assert result["slots"][0].get("id") == (found and "x")


def _encoded(words: int) -> Encoded:
    return Encoded("", (8,) * words, tuple((2 * n, 2 * n + 1) for n in range(words)), words, 0)


def test_a_word_has_the_tag_of_its_last_piece() -> None:
    encoded = Encoded("lights on", (6, 7, 8), ((0, 5), (5, 6), (7, 9)), 3, 0)
    assert spans_of([0, 1, 0], encoded, frozenset({7})) == [(0, 0, 6)]
    assert spans_of([1, 0, 2], encoded, frozenset({7})) == [(1, 7, 9)]
    assert spans_of([2, 1, 1], encoded, frozenset({7})) == [(0, 0, 9)]


@pytest.mark.parametrize("tags", [[1, 1, 0, 2], [1, 1, 0, 0], [2, 1, 0, 1]])
def test_a_frame_is_in_no_slot(manifest: Manifest, tags: list[int]) -> None:
    """Whatever an encoder says of the ids before and behind the text."""
    task = IntentTask(replace(manifest, frame=(8, 9)), VOCABULARY)
    encoded = task.encode({"text": "  kitchen on"})
    assert encoded.spans == ((0, 0), (2, 9), (10, 12), (12, 12))
    assert spans_of(tags, encoded, frozenset({7})) == [(0, 2, 9)]
    assert spans_of([1, 1, 1, 1], encoded, frozenset({7})) == [(0, 2, 12)]


def test_a_text_cut_inside_a_word_has_the_tag_of_what_is_left() -> None:
    encoded = Encoded("lights", (6,), ((0, 5),), 1, 1)
    assert spans_of([1], encoded, frozenset({7})) == [(0, 0, 5)]


def test_tags_of_the_first_version_s_bundles_are_read_at_the_first_piece(
    task: IntentTask, manifest: Manifest
) -> None:
    older = IntentTask(manifest, VOCABULARY, bio_tags=True)
    text = "Turn on the  Kitchen lights!"
    found = older.decode(older.encode({"text": text}), Verdict(0, 0.9, False, 0.0), [0, 0, 0, 1, 3, 0, 0])
    assert (
        found["slots"]
        == task.decode(task.encode({"text": text}), Verdict(0, 0.9, False, 0.0), [0, 0, 0, 1, 2, 2, 0])[
            "slots"
        ]
    )


def test_words_of_one_slot_side_by_side_are_one_span() -> None:
    assert spans_of([1, 1, 1, 2, 1], _encoded(5), frozenset()) == [(0, 0, 5), (1, 6, 7), (0, 8, 9)]
    assert spans_of([1, 0, 1], _encoded(3), frozenset()) == [(0, 0, 1), (0, 4, 5)]


@given(st.lists(st.sampled_from([None, 0, 1, 2]), min_size=1, max_size=20))
def test_tags_and_spans_are_inverse(runs: list[int | None]) -> None:
    """Slots of one to three words survive the way there and back, other slots beside them or not."""
    slots: list[tuple[int, int, int]] = []
    place = 0
    for run in (run for before, run in pairwise([None, *runs]) if run is None or run != before):
        length = 1 if run is None else run + 1
        if run is not None:
            slots.append((run, 2 * place, 2 * (place + length) - 1))
        place += length
    encoded = _encoded(place)
    assert spans_of(tags_of(slots, encoded.spans), encoded, frozenset()) == slots
