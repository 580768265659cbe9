"""The engine reads the answering exit's own slots, and asks how sure they are where the bundle says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from firmware_py.backends.scripted import Script
from firmware_py.bundles.read import Unpacked
from firmware_py.contracts.errors import (
    BundleFormatError,
)
from firmware_py.contracts.slot_sets import SlotSets
from firmware_py.inference.engine import Engine, Weights
from firmware_py.inference.heads import ExitHead
from tests.firmware_py.inference.engine_rig import (
    STAGE_S,
    STRANGE,
    SURE,
    Rig,
    from_stage,
    not_a_number,
)


def test_slots_are_chosen_together_where_the_bundle_knows_which_go_together(tiny: Unpacked) -> None:
    """The tiny head has the kitchen for an area, by half a point; no text of this label had one in training."""
    sets = SlotSets(1.0, {0: {(): 1000}})
    strict = Rig(replace(tiny, manifest=replace(tiny.manifest, slot_sets=sets)))
    assert list(Rig(tiny).run(SURE).tags) == [0, 0, 0, 1, 0]
    assert list(strict.run(SURE).tags) == [0, 0, 0, 0, 0]


@pytest.mark.parametrize(("rule", "depth"), [("thrifty", 1), ("balanced", 3)])
def test_where_exits_ask_slots_an_unsure_word_sends_a_sure_label_on(
    tiny: Unpacked, rule: str, depth: int
) -> None:
    """The tiny head is sure of the label at once, and of the kitchen by half a point, which is 0.62 at every exit."""
    asking = Rig(replace(tiny, manifest=replace(tiny.manifest, exit_confidence="least_sure")))
    outcome = asking.run(SURE, rule=rule)
    assert Rig(tiny).run(SURE, rule=rule).record.exit == 1
    assert (outcome.record.exit, outcome.accepted) == (depth, True)
    assert list(outcome.tags) == [0, 0, 0, 1, 0]
    away = Rig(tiny).run(STRANGE, rule=rule), asking.run(STRANGE, rule=rule)
    assert away[0].verdict == away[1].verdict
    assert away[0].record.exit == away[1].record.exit


class Hesitant:
    """An exit's head that is sure of its label as before, and says of each word what it is told to."""

    def __init__(self, head: Any, row: tuple[float, float]) -> None:
        self._head, self._row = head, row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._head, name)

    def scores_of(self, said: Any, pooled: Any) -> Any:
        return np.full_like(self._head.scores_of(said, pooled), self._row)


AREA, OUTSIDE, NEITHER = (0.0, 5.0), (5.0, 0.0), (0.0, 0.1)


def hesitant(tiny: Unpacked, *rows: tuple[float, float], **scripts: Script) -> Rig:
    """A rig whose exits ask slots and say such rows, from the first."""
    rig = Rig(replace(tiny, manifest=replace(tiny.manifest, exit_confidence="least_sure")), scripts or None)
    heads = tuple(Hesitant(*pair) for pair in zip(rig.engine.weights.heads, rows, strict=True))
    rig.engine.weights = replace(rig.engine.weights, heads=cast("Any", heads))
    return rig


def test_the_answering_exit_s_own_slots_are_read(tiny: Unpacked) -> None:
    """What an exit said of words before is neither taken for a later one's, nor lost when the later one breaks."""
    second = hesitant(tiny, NEITHER, OUTSIDE, AREA).run(SURE)
    assert (second.record.exit, set(second.tags)) == (2, {0})
    third = hesitant(tiny, NEITHER, NEITHER, OUTSIDE).run(SURE)
    assert (third.record.exit, set(third.tags)) == (3, {0})
    broken_second = hesitant(tiny, NEITHER, OUTSIDE, OUTSIDE, cpu=from_stage(2, not_a_number)).run(SURE)
    assert (broken_second.record.exit, set(broken_second.tags)) == (1, {1})
    late = hesitant(tiny, NEITHER, OUTSIDE, OUTSIDE).run(SURE, due_s=1.5 * STAGE_S)
    assert (late.record.exit, late.accepted, set(late.tags)) == (1, False, {1})


def test_an_exit_that_a_rule_skips_is_read_when_the_run_ends_there(tiny: Unpacked) -> None:
    rig = hesitant(tiny, NEITHER, OUTSIDE, AREA)
    rule = {"patient": (0.4, 2.0, 0.0)}
    rig.engine = Engine(
        replace(rig.engine.weights, manifest=replace(rig.engine.weights.manifest, exit_rules=rule)),
        list(rig.engine.runners.values()),
        rig.clock,
        rig.health,
    )
    deep = rig.run(SURE, rule="patient")
    assert (deep.record.exit, set(deep.tags)) == (1, {1})  # half sure meets 0.4
    rule["patient"] = (0.9, 2.0, 0.0)
    ended = rig.run(SURE, rule="patient", due_s=rig.clock.now_s() + 2.5 * STAGE_S)
    assert (ended.record.exit, set(ended.tags)) == (2, {0})


@pytest.mark.parametrize(
    "asked", [{"slot_sets": SlotSets(1.0, {0: {(): 1}})}, {"exit_confidence": "least_sure"}]
)
def test_what_asks_for_slots_beside_tags_of_the_first_version_is_refused(
    tiny: Unpacked, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    read = ExitHead.from_bytes

    def first(npz: bytes, temperature: float) -> ExitHead:
        head = read(npz, temperature)
        head.tag_count = 2 * len(tiny.manifest.slots) + 1
        return head

    monkeypatch.setattr(ExitHead, "from_bytes", first)
    assert Weights.load(tiny).bio_tags
    told = replace(tiny, manifest=replace(tiny.manifest, **asked))
    with pytest.raises(BundleFormatError):
        Weights.load(told)
