"""Which slots go together is counted over training's rows in scope, and tags are read by it as in a node."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conversion.check.slot_reading import WEIGHT, SlotReading, TagReader
from conversion.data.sentence import Sentence
from conversion.data.task import TaskData
from firmware_py.contracts.slot_sets import SlotSets
from firmware_py.tasks.text import WordPiece
from firmware_py.tasks.values import TASK
from firmware_py.testing.tiny_bundle import tiny_files

ON = Sentence("turn on lamp in kitchen", "on", ((16, 23, "area"), (8, 12, "name")))
OFF = Sentence("turn off fan", "off", ((9, 12, "name"),))
STRANGE = Sentence("sing", "oos")
LABELS, SLOTS = ("off", "on", "oos"), ("area", "name")
DATA = TaskData("t", "t", ("en",), LABELS, SLOTS, (ON, OFF, ON, STRANGE), (), (), (), (OFF,) * 9)
SETS = SlotSets(WEIGHT, {0: {(1,): 1}, 1: {(0, 1): 2}})


def test_sets_are_of_training_s_rows_in_scope() -> None:
    assert SlotReading.of(DATA) == SlotReading(SETS, 2)
    assert SlotReading.of(replace(DATA, slots=())) == SlotReading()


def test_neighbours_of_one_slot_are_one_as_tags_can_say_it() -> None:
    """Where marks are no tokens they keep nothing apart."""
    pair = Sentence("on lamp, fan", "on", ((3, 7, "name"), (9, 12, "name")))
    beside = Sentence("on lamp fan", "on", ((3, 7, "name"), (8, 11, "name")))
    house = replace(DATA, train=(pair, beside), task=TASK)
    assert house.skips_punctuation
    assert SlotReading.of(house).sets == SlotSets(WEIGHT, {1: {(1,): 2}})
    assert SlotReading.of(replace(DATA, train=(pair, beside))).sets == SlotSets(
        WEIGHT, {1: {(1,): 1, (1, 1): 1}}
    )


def test_it_goes_to_a_child_and_comes_back() -> None:
    for how in (SlotReading(SETS, 2), SlotReading(None, None)):
        assert SlotReading.from_dict(how.to_dict(), 3, 2) == how


def test_a_bundle_says_it_of_itself() -> None:
    manifest = tiny_files()[0]
    sets = SlotSets(0.5, {0: {(0,): 1}})
    assert SlotReading.of_manifest(manifest) == SlotReading(None, 2)
    assert SlotReading.of_manifest(replace(manifest, slot_sets=sets, labels=("a", "b"))) == SlotReading(sets)


def test_torch_says_how_sure_the_least_sure_word_is() -> None:
    """Each letter is a word: what the model's own tag scores say of it, by hand."""
    torch = pytest.importorskip(
        "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
    )
    from conversion.check.reference import torch_answers
    from conversion.nets.deepseek_lite import Dims
    from tests.conversion.small import PIECES, student

    model = student(Dims(len(PIECES), d=32, heads=4, latent=8, rope=8, ffn=16, stages=2))
    texts = ["a b c", "d", "e f g h i"]
    said = torch_answers(model, WordPiece(list(PIECES)), texts, [(4,), (4, 4)])
    for row, text in enumerate(texts):
        ids = torch.tensor([[PIECES.index(letter) for letter in text.split()]])
        with torch.no_grad():
            exits = model(ids, torch.ones(ids.shape))
        for number, prefix in ((1, (4,)), (2, (4, 4))):
            after, best = np.sort(exits[number].tags[0].numpy(), 1)[:, -2:].T
            exact = float((1.0 / (1.0 + np.exp(after - best))).min())
            assert said.slots_sure[prefix][row] == pytest.approx(exact, rel=1e-4)


def test_the_label_is_the_best_one_in_scope() -> None:
    """As in a reply: what is foreign, but not foreign enough, is answered with the best label in scope."""
    reader = TagReader(SlotReading(SlotSets(1.0, {1: {(0,): 500}}), 2), frozenset())
    pieces = WordPiece(["[PAD]", "[UNK]", "lamp"]).encode("lamp")
    scores = np.array([[0.0, 1.0, 2.0]], np.float32)
    for logits, tags in (([0.0, 1.0, 9.0], [1]), ([1.0, 0.0, 9.0], [2]), ([0.0, 1.0, 0.5], [1])):
        given = np.array(logits, np.float32)
        assert reader.tags(given, reader.words(scores, pieces)) == tags
        assert given.tolist() == logits
