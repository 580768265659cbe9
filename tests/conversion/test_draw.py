"""Draws from the templates: spans fit, names stay on their side, a text means one thing."""

from __future__ import annotations

from random import Random

import pytest

from conversion.data.draw import Drawer, Drawn
from conversion.data.drawing import ambiguous
from conversion.data.names import load_names, number_words
from conversion.data.sentence import Sentence

pytest.importorskip("hassil", reason="needs the Home Assistant templates: run in .venvs/train")
pytest.importorskip(
    "home_assistant_intents", reason="needs the Home Assistant templates: run in .venvs/train"
)

from conversion.data.readings import readings
from conversion.data.templates import Grammar, load_grammar, split_templates


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return load_grammar()


def test_every_template_draws_a_sentence_with_spans_on_word_borders(grammar: Grammar) -> None:
    drawer = Drawer(grammar, load_names("train", ("lorem", "ipsum")))
    for template in grammar.templates:
        row = drawer.draw(template, Random(template.number)).sentence
        assert row.text
        assert row.text == " ".join(row.text.split())
        assert row.intent == template.intent
        for start, end, name in row.slots:
            assert name
            assert row.text[start:end].strip() == row.text[start:end] != ""


def test_a_draw_follows_its_seed(grammar: Grammar) -> None:
    drawer = Drawer(grammar, load_names("eval"))
    one, two = (
        [drawer.draw(t, Random(f"x{t.number}")).sentence.text for t in grammar.templates[:50]]
        for _ in range(2)
    )
    assert one == two


def test_evaluation_values_are_never_trainings(grammar: Grammar) -> None:
    train, held = load_names("train"), load_names("eval")
    for section, values in held.values.items():
        assert not set(values) & set(train.values[section]), section


def test_a_name_is_of_the_templates_own_domain(grammar: Grammar) -> None:
    names = load_names("eval")
    lock = next(t for t in grammar.templates if t.text == "unlock [<the>] {name}")
    drawer = Drawer(grammar, names)
    for number in range(20):
        row = drawer.draw(lock, Random(number)).sentence
        ((start, end, _),) = row.slots
        assert row.text[start:end] in names.values["lock"]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_split_holds_out_a_fifth_and_keeps_skeletons_together(grammar: Grammar, seed: int) -> None:
    templates = grammar.templates
    split = split_templates(templates, seed)
    assert not split.evaluation & split.train
    assert not split.calibration & (split.train | split.evaluation)
    assert len(split.train | split.calibration | split.evaluation) == len(templates)
    side = {n: name for name in ("train", "calibration", "evaluation") for n in getattr(split, name)}
    skeletons: dict[tuple[str, str], set[str]] = {}
    for template in templates:
        skeletons.setdefault((template.intent, template.skeleton), set()).add(side[template.number])
    assert all(len(sides) == 1 for sides in skeletons.values())
    for intent in {template.intent for template in templates}:
        numbers = [template.number for template in templates if template.intent == intent]
        held = sum(number in split.evaluation for number in numbers)
        if intent in split.train_only:
            assert len(numbers) < 5
            assert held == 0
        else:
            assert 0 < held <= len(numbers) / 3


def test_hassil_names_a_second_reading(grammar: Grammar) -> None:
    twice = Drawn(Sentence("each fans on", "HassTurnOn"), "each fans on")
    once = Drawn(Sentence("turn on the fans", "HassTurnOn"), "turn on the fans")
    assert {intent for intent, _ in readings(grammar, twice)} == {"HassTurnOn", "HassGetState"}
    assert {intent for intent, _ in readings(grammar, once)} == {"HassTurnOn"}


def test_equal_forms_of_two_intents_are_removed_even_when_texts_differ() -> None:
    rows = [
        Drawn(Sentence("start rosie", "HassVacuumStart", ((6, 11, "name"),)), "start {vacuum}"),
        Drawn(Sentence("start bob", "HassTurnOn", ((6, 9, "name"),)), "start {vacuum}"),
        Drawn(Sentence("stop", "HassMediaPause"), "stop"),
        Drawn(Sentence("Stop", "HassTurnOff"), "Stop"),
        Drawn(Sentence("go on", "HassMediaUnpause"), "go on"),
    ]
    bad = ambiguous(rows)
    assert [bad(row) for row in rows] == [True, True, True, True, False]


def test_numbers_in_words() -> None:
    assert [number_words(n) for n in (0, 13, 20, 21, 99, 100)] == [
        "zero", "thirteen", "twenty", "twenty one", "ninety nine", "one hundred",
    ]  # fmt: skip
