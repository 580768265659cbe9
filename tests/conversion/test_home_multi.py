"""home-multi's own rules: names of every language, whole words, the vocabulary, hand-written sentences."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from conversion.data import home_multi, spoken
from conversion.data.draw import Drawer, Drawn
from conversion.data.drawing import whole_words
from conversion.data.home_multi import CODES, LANGUAGES
from conversion.data.names import common_characters, load_names
from conversion.data.out_of_scope import NEAR_MISS, overheard, own_rows, own_sentences
from conversion.data.sentence import Sentence, hand_written, in_scope
from conversion.data.spoken import manners
from conversion.data.task import TaskData
from conversion.data.vocabulary import merged, multi_vocabulary
from firmware_py.tasks.intent import OUT_OF_SCOPE, spans_of, tags_of
from firmware_py.tasks.text import WordPiece

OTHERS = LANGUAGES[1:]
ANYTHING = {
    "HassMediaSearchAndPlay",
    "HassGetState",
    "HassStartTimer",
}  # with a wildcard, which reads any words
NEEDED = {  # nothing can be set without one of these
    "HassLightSet": {"brightness", "color", "temperature"},
    "HassSetVolume": {"volume_level"},
    "HassSetPosition": {"position"},
    "HassFanSetSpeed": {"percentage"},
    "HassClimateSetTemperature": {"temperature"},
    "HassClimateSetFanMode": {"fan_mode"},
}


@pytest.mark.parametrize("language", OTHERS)
def test_no_name_is_on_both_sides(language: str) -> None:
    train, held = load_names("train", (), language), load_names("eval", (), language)
    random = Random(language)
    for section, values in held.values.items():
        assert len(values) == len(set(values)) >= 3, section
        assert not set(values) & set(train.values[section]), section
        assert not set(values) & {train.draw(section, random) for _ in range(400)}, section


@pytest.mark.parametrize("language", OTHERS)
def test_numbers_are_written_in_the_languages_own_words(language: str) -> None:
    numbers = load_names("train", (), language).numbers
    assert set(numbers) >= {1, 11, 20, 50, 100}
    assert len(set(numbers.values())) == len(numbers)
    assert not {"two", "thirteen", "fifty"} & set(numbers.values())


def test_chinese_numerals() -> None:
    numbers = load_names("eval", (), "zh-CN").numbers
    assert [numbers[n] for n in (2, 10, 14, 20, 35, 100)] == ["二", "十", "十四", "二十", "三十五", "一百"]


@pytest.mark.parametrize("language", OTHERS)
def test_out_of_scope_topics_of_a_side_are_its_own(language: str) -> None:
    trained, held = ({topic for topic, _ in own_sentences(side, language)} for side in ("train", "eval"))
    assert trained & held == {NEAR_MISS}
    sides = own_rows(language, 0)
    texts = {side: {row.text for row in rows} for side, rows in sides.items()}
    assert len(texts["train"]) >= 600
    assert len(texts["calibration"]) >= 60
    assert len(texts["evaluation"]) >= 100
    assert sum(map(len, texts.values())) == len(set.union(*texts.values()))
    assert {(row.intent, row.lang) for rows in sides.values() for row in rows} == {("oos", language)}


@pytest.mark.parametrize("language", OTHERS)
def test_out_of_scope_lists_are_plain_text(language: str) -> None:
    for side in ("train", "eval"):
        for topic, text in own_sentences(side, language):
            assert text
            assert not set(text) & set('()|[]{}<>"'), (topic, text)
            assert (" " in text) <= (language != "zh-CN"), (topic, text)


@pytest.mark.parametrize("language", [CODES.get(one, one) for one in OTHERS])
def test_hand_written_sentences_are_marked_and_in_their_language(language: str) -> None:
    rows = hand_written(language)
    assert len(rows) == 20
    assert Counter(map(in_scope, rows)) == {True: 16, False: 4}
    assert {(row.lang, row.origin) for row in rows} == {(language, "hand")}


@pytest.mark.parametrize("language", OTHERS)
def test_every_template_draws_with_names_of_its_language(language: str) -> None:
    pytest.importorskip("hassil", reason="needs the Home Assistant templates: run in .venvs/train")
    from conversion.data.templates import load_grammar

    assert manners(language).ask
    grammar = load_grammar(language)
    drawer = Drawer(grammar, load_names("train", (), language))
    kept = 0
    for template in grammar.templates:
        row = whole_words(drawer.draw(template, Random(template.number)))
        if row is None:
            continue
        kept += 1
        assert row.sentence.lang == language
        for start, end, _ in row.sentence.slots:
            assert row.sentence.text[start:end].strip() == row.sentence.text[start:end] != ""
    assert kept > 0.9 * len(grammar.templates)


@pytest.mark.parametrize("language", OTHERS)
def test_phrasings_say_what_the_languages_templates_can_say(language: str) -> None:
    """Only intents and slots that the package has, nearly all intents, and every phrasing makes sentences."""
    pytest.importorskip("hassil", reason="needs the Home Assistant templates: run in .venvs/train")
    from conversion.data.templates import load_grammar

    grammar = load_grammar(language)
    names, random = load_names("train", (), language), Random(language)
    own, templates = spoken.phrasings(grammar, language)
    packaged, ours = Drawer(grammar, names), Drawer(own, names)
    known: dict[str, set[str]] = {}
    for template in grammar.templates:
        said = {name for _ in range(8) for *_, name in packaged.draw(template, random).sentence.slots}
        known.setdefault(template.intent, set()).update(said)
    assert len({template.intent for template in templates}) > 0.9 * len(known)
    for template in templates:
        rows = [row for _ in range(20) if (row := whole_words(ours.draw(template, random))) is not None]
        assert len({row.sentence.text for row in rows}) > 1, template.text
        for row in rows:
            said = {name for *_, name in row.sentence.slots}
            assert said <= known[template.intent], template.text
            assert template.intent not in NEEDED or said & NEEDED[template.intent], template.text


def test_no_other_row_depends_on_what_is_heard_in_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hassil", reason="needs the Home Assistant templates: run in .venvs/train")
    sides = home_multi._language("pl", 0, 0)
    monkeypatch.setattr(home_multi, "spoken_rows", lambda *_args: [])
    monkeypatch.setattr(home_multi, "overheard", lambda *_args: ())
    without = home_multi._language("pl", 0, 0)
    train, before = sides.pop("train"), without.pop("train")
    assert sides == without
    assert train[: len(before)] == before
    heard = train[len(before) :]
    ours = {row.text.lower() for row in heard}
    strange = sum(row.intent == OUT_OF_SCOPE for row in heard)
    assert min(strange, len(heard) - strange) > 1000
    assert not ours & {row.text.lower() for rows in sides.values() for row in rows}
    assert not ours & {row.text.lower() for row in hand_written("pl")}


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_overheard_is_no_command(language: str) -> None:
    """No template reads every fourth one in a house of training's names, but where a wildcard (a song, a state) reads anything."""
    pytest.importorskip("hassil", reason="needs the Home Assistant templates: run in .venvs/train")
    from hassil.intents import TextSlotList
    from hassil.recognize import recognize_all

    from conversion.data.templates import load_grammar

    names = load_names("train", (), language).values
    things = [
        (name, name, {"domain": kind})
        for kind in names
        if kind not in ("area", "floor")
        for name in names[kind][:30]
    ]
    lists = {"name": TextSlotList.from_tuples(things, name="name")} | {
        kind: TextSlotList.from_tuples([(name, name) for name in names[kind][:100]], name=kind)
        for kind in ("area", "floor")
    }
    grammar, rows = load_grammar(language), overheard(language, ())
    assert len(rows) > 1200
    assert all(row.intent == OUT_OF_SCOPE for row in rows)
    for row in rows[::4]:
        for one in recognize_all(
            row.text, grammar.parsed, slot_lists=lists, intent_context={"area": "here"}, language=language
        ):
            assert one.intent.name in ANYTHING, row.text
            assert any(entity.is_wildcard for entity in one.entities_list), row.text


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_overheard_is_none_of_what_calibrates_or_judges(language: str) -> None:
    """Not half of such a sentence's words; in Chinese, of its pairs of characters."""
    own = own_rows(language, 0)
    held_out = [row.text for side in ("calibration", "evaluation") for row in own[side]]

    def cut(text: str) -> set[str]:
        spaced = text.replace("'", " ").replace(",", " ").split()
        return {text[n : n + 2] for n in range(max(1, len(text) - 1))} if language == "zh-CN" else set(spaced)

    kept = [cut(row.text) for row in overheard(language, [Sentence(text, "oos") for text in held_out])]
    assert len(kept) > 1000
    for text in held_out:
        words = cut(text)
        assert all(len(words & one) < len(words) / 2 for one in kept), text


def test_a_phrasing_that_a_held_out_template_reads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hassil", reason="needs the Home Assistant templates: run in .venvs/train")
    from conversion.data.templates import load_grammar, split_templates

    grammar = load_grammar("it")
    split = split_templates(grammar.templates, 0)
    held = next(one for one in grammar.templates if one.number in split.evaluation)
    said = {held.intent: [{"sentences": [held.text, "volpe lupo {area}"]}]}
    monkeypatch.setattr(spoken, "_read", lambda _language: said)
    rows = spoken.spoken_rows(grammar, split, load_names("train", (), "it"), home_multi.SPOKEN, "x")
    assert {row.form for row in rows} == {"volpe lupo {area}"}


@pytest.mark.parametrize(
    ("text", "slot", "said"),
    [
        ("licht des wohnzimmers", (10, 20, "area"), "wohnzimmers"),
        ("der küchentimer läuft", (4, 9, "area"), None),
        ("im obergeschoss", (7, 15, "floor"), None),
        ("打开厨房的灯", (2, 4, "area"), "厨房"),
        ("auf 20prozent", (4, 6, "brightness"), "20"),
    ],
)
def test_a_slot_is_whole_words(text: str, slot: tuple[int, int, str], said: str | None) -> None:
    row = whole_words(Drawn(Sentence(text, "x", (slot,)), text))
    if said is None:
        assert row is None
    else:
        assert row is not None
        ((start, end, _),) = row.sentence.slots
        assert row.sentence.text[start:end] == said


def _data(*texts: str) -> TaskData:
    rows = tuple(Sentence(text, "x") for text in texts)
    return TaskData("t", "t", ("de", "zh"), ("x",), (), rows, (), (), (), ())


def test_the_vocabulary_spells_every_word_and_does_not_depend_on_order() -> None:
    texts = [
        "schalte das Licht an",
        "打开厨房的灯",
        "éteins la lumière",
        "włącz światło",
        *["licht aus"] * 30,
    ]
    pieces = multi_vocabulary(_data(*texts))
    assert pieces == multi_vocabulary(_data(*reversed(texts)))
    assert len(pieces) == len(set(pieces))
    assert set(common_characters()) <= set(pieces)
    assert "licht" in pieces
    tokenizer = WordPiece(pieces)
    for text in [*texts, "lichtaus schal", "Zażółć 厕所"]:
        if "ż" not in text:
            assert 1 not in tokenizer.encode(text).ids, text


def test_spans_survive_accents_and_ideographs() -> None:
    tokenizer = WordPiece(multi_vocabulary(_data("allume la cuisine d'été", "打开厨房的灯")))
    for text, value in [("allume la cuisine d'été", "cuisine d'été"), ("打开厨房的灯", "厨房")]:
        start = text.index(value)
        slot = (0, start, start + len(value))
        tokens = tokenizer.encode(text)
        assert spans_of(tags_of([slot], tokens.spans), tokens, tokenizer.continues) == [slot]


def test_the_most_frequent_pair_is_merged_first() -> None:
    assert merged(Counter({"abab": 8, "abc": 8, "xy": 1}), 2)[0] == "ab"


def test_what_is_left_of_the_vocabulary_is_filled_with_whole_words() -> None:
    own = multi_vocabulary(_data("licht aus"))
    known = ["##room", "die", "veranda", "café", "[CLS]", "licht", "porch", "attic"]
    filled = multi_vocabulary(_data("licht aus"), known, len(own) + 2)
    assert set(filled) - set(own) == {"veranda", "porch"} | ({"licht"} - set(own))
    assert set(own) <= set(filled)
    assert multi_vocabulary(_data("licht aus"), known, 10) == own
