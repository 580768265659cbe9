"""The gate refuses what is wrong, at any width; golden rows reach every graph."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conversion.check.answers import Answers, Array, LatticeAnswers, Prefix, load, prefixes_of, save
from conversion.check.golden import Form, choose, golden_bytes, of_each_length
from conversion.check.parity import Rules, bounds_of, chosen_exits, combinations, compare, faults
from conversion.data.sentence import Sentence
from firmware_py.contracts.golden import parse_golden
from firmware_py.contracts.run import GraphKey
from firmware_py.tasks.text import WordPiece

RULES = Rules((1.0, 1.0, 1.0), (0.8, 0.8, 0.0), 0.5, None)


def answers(seed: int = 0, rows: int = 200) -> LatticeAnswers:
    random = np.random.default_rng(seed)
    prefixes = prefixes_of(combinations(3))
    logits = {one: random.normal(size=(rows, 5)).astype(np.float32) * 4 for one in prefixes}
    tags = {one: random.integers(0, 7, (rows, 8)).astype(np.int16) for one in prefixes}
    for tagged in tags.values():
        tagged[:, 6:] = -1
    return LatticeAnswers(logits, tags, slots_sure={one: random.random(rows) for one in prefixes})


def changed(
    said: LatticeAnswers, prefixes: Sequence[Prefix], change: Callable[[Array], Array]
) -> LatticeAnswers:
    return replace(said, logits={p: change(one) if p in prefixes else one for p, one in said.logits.items()})


def test_the_gate_lets_rounding_pass() -> None:
    torch = answers()
    random = np.random.default_rng(1)
    noisy = changed(torch, list(torch.logits), lambda one: one + random.normal(size=one.shape) * 0.01)
    parity = compare("dyn8", "here", noisy, torch, RULES)
    assert faults(parity, bounds_of("dyn8")) == []
    assert parity.same_tags == 1.0
    assert parity.max_logit_error < 0.06
    assert set(parity.by_widths) == set(combinations(3))
    assert json.loads(json.dumps(parity.to_dict()))["by_prefix"]["4-4"][0] == pytest.approx(1.0, abs=0.02)


FAULTS: dict[str, Callable[[Array], Array]] = {
    "permuted": lambda one: np.roll(one, 1, axis=-1),
    "scaled": lambda one: one * 0.5,
    "nan": lambda one: np.full_like(one, np.nan),
}


def test_a_stage_that_does_nothing_is_refused_where_activations_have_8_bits() -> None:
    """Its labels and exits nearly all agree; logits are off by more than rounding moves them."""
    torch = answers()
    random = np.random.default_rng(2)

    def off(share: float) -> LatticeAnswers:
        return changed(
            torch, [(4, 4, 4)], lambda one: one + random.normal(size=one.shape) * one.std() * share
        )

    for share, passes in ((0.05, True), (0.16, False)):
        parity = compare("vx", "here", off(share), torch, RULES)
        bound = replace(bounds_of("vx"), agreement=0.0, exits=0.0)
        assert (faults(parity, bound) == []) == passes


@pytest.mark.parametrize("prefix", [(), (4,), (4, 4, 4)])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_gate_refuses_what_runs_and_is_wrong(fault: str, prefix: Prefix) -> None:
    torch = answers()
    wrong = changed(torch, [prefix], FAULTS[fault])
    assert faults(compare("dyn8", "here", wrong, torch, RULES), bounds_of("dyn8"))


@pytest.mark.parametrize("fault", ["permuted", "nan"])
def test_one_wrong_narrow_graph_is_enough(fault: str) -> None:
    torch = answers()
    found = faults(
        compare("dyn8", "here", changed(torch, [(2, 3)], FAULTS[fault]), torch, RULES), bounds_of("dyn8")
    )
    assert found
    assert all("narrow" in one or "finite" in one for one in found)


@pytest.mark.parametrize(("prefix", "passes"), [((), False), ((3,), True), ((4,), False)])
def test_a_narrow_graph_may_flip_more_often(prefix: Prefix, passes: bool) -> None:
    torch = answers()
    few = changed(torch, [prefix], lambda one: np.vstack((np.roll(one[:6], 1, axis=-1), one[6:])))  # of 200
    assert (faults(compare("dyn8", "here", few, torch, RULES), bounds_of("dyn8")) == []) == passes


def test_the_gate_refuses_other_tags() -> None:
    torch = answers()
    tags = dict(torch.tags)
    tags[4, 4, 4] = np.where(tags[4, 4, 4] > 0, 0, tags[4, 4, 4])
    found = faults(compare("dyn8", "here", replace(torch, tags=tags), torch, RULES), bounds_of("dyn8"))
    assert len(found) == 1
    assert found[0].startswith("tags agree")


def test_answers_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    said = replace(
        answers(), ops={GraphKey(8, 1, 4): {"ADD": 3}}, seconds={GraphKey(8, 1, 4): (0.001, 0.002)}
    )
    save(said, tmp_path / "a.npz")
    back = load(tmp_path / "a.npz")
    assert back.ops == said.ops
    assert back.seconds == said.seconds
    assert list(back.logits) == list(said.logits)
    assert all(np.array_equal(back.logits[one], said.logits[one]) for one in said.logits)
    assert all(np.array_equal(back.tags[one], said.tags[one]) for one in said.tags)
    assert all(np.array_equal(back.slots_sure[one], said.slots_sure[one]) for one in said.logits)
    along = said.part(slice(0, 7)).along((4, 1, 4))
    assert along.logits.shape == (7, 3, 5)
    assert np.array_equal(along.tags[:, 1], said.tags[4, 1][:7])
    assert np.array_equal(along.slots_sure[:, 2], said.slots_sure[4, 1, 4][:7])


def test_golden_rows_know_their_widths_and_the_zeroth_exit() -> None:
    tokenizer = WordPiece(["[PAD]", "[UNK]", *"abcdefgh"])
    texts = [" ".join("abcdefgh"[: 2 + n % 5]) for n in range(10)]
    said = answers(rows=10)
    form = Form(tokenizer, 0.7, mixed=((4, 3, 2), (1, 1, 1)))
    rows = parse_golden(golden_bytes(texts, said, form))
    assert len(rows) == 10 + 2 * 4
    assert {row.widths for row in rows} == {(), (4, 3, 2), (1, 1, 1)}
    assert {row.atol for row in rows} == {0.7}
    mixed = next(row for row in rows if row.widths == (4, 3, 2))
    place = texts.index(mixed.text)
    np.testing.assert_allclose(mixed.logits, said.along((4, 3, 2)).logits[place], atol=1e-4)
    np.testing.assert_allclose(mixed.zeroth, said.logits[()][place], atol=1e-4)
    assert mixed.tags == tuple(said.tags[4, 3, 2][place, : len(mixed.ids)])


def test_the_first_confident_exit_answers_and_the_last_always() -> None:
    sure, unsure = [9.0, 0.0, 0.0], [0.1, 0.0, 0.0]
    logits = np.array([[sure, sure, sure], [unsure, sure, sure], [unsure, unsure, unsure]], np.float32)
    said = Answers(logits, np.zeros((3, 3, 0), np.int16), np.ones((3, 3)))
    assert chosen_exits(said, RULES) == [0, 1, 2]


def test_where_exits_ask_slots_an_unsure_word_sends_a_text_on_unless_it_is_turned_away() -> None:
    """Three rows of which each exit is sure: of label and slots, of the label alone, of its being foreign."""
    mine, foreign = [9.0, 0.0, 0.0], [0.0, 0.0, 9.0]
    logits = np.array([[mine] * 3, [mine] * 3, [foreign] * 3], np.float32)
    sure = np.array([[0.9, 0.9, 0.9], [0.79, 0.8, 0.1], [0.1, 0.1, 0.1]])
    said = Answers(logits, np.zeros((3, 3, 0), np.int16), sure)
    rules = replace(RULES, scope_index=2)
    assert chosen_exits(said, rules) == [0, 0, 0]
    assert chosen_exits(said, replace(rules, asks_slots=True)) == [0, 1, 0]


def test_probes_reach_every_length_and_golden_rows_every_intent() -> None:
    """A graph that no probe reaches would ship untried."""
    words = ["[PAD]", "[UNK]", *"abcdefgh"]
    tokenizer, buckets = WordPiece(words), (8, 16, 32, 64)
    rows = [Sentence(" ".join("abcdefgh"[: 3 + n % 6]), f"i{n % 5}", template=n) for n in range(40)]

    def reached(texts: list[str]) -> set[int]:
        return {next(b for b in buckets if b >= len(tokenizer.encode(text).ids)) for text in texts}

    assert reached(of_each_length(rows, tokenizer, buckets, 0, 5)) == set(buckets)
    chosen = choose(rows, tokenizer, buckets, 0)
    assert reached(chosen) == set(buckets)
    assert {row.intent for row in rows if row.text in chosen} == {row.intent for row in rows}
