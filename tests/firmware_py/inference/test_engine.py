"""The engine stops where it may, falls back where it must, and says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from firmware_py.backends.scripted import Script, pass_through
from firmware_py.bundles.read import Unpacked
from firmware_py.contracts.errors import (
    DeadlinePassedError,
    DelegateError,
    GraphError,
    UnknownRuleError,
)
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.manifest import Graph
from firmware_py.contracts.reply import Reply, Route, parse_reply
from firmware_py.contracts.run import GraphKey, RunRecord, StageRun
from firmware_py.contracts.seams import Tensors
from firmware_py.costs import BundleCosts, CostModel
from firmware_py.inference.graph import DynamicComputingGraph
from firmware_py.watts import Equation
from tests.firmware_py.inference.costs import Costs
from tests.firmware_py.inference.engine_rig import (
    STAGE_S,
    STRANGE,
    SURE,
    UNSURE,
    Rig,
    absent,
    broken,
    from_stage,
    not_a_number,
)


def test_a_sure_text_leaves_at_the_first_exit(tiny: Unpacked) -> None:
    rig = Rig(tiny)
    outcome = rig.run(SURE)
    assert (outcome.record.exit, outcome.accepted, rig.ran) == (1, True, [("cpu", "8/s1w4")])
    assert outcome.record.configuration == "8/w4-4-4/balanced/fp32"
    assert outcome.record.run_s == pytest.approx(STAGE_S)
    assert outcome.record.stages[0].run_s == pytest.approx(STAGE_S)
    result = rig.task.decode(rig.task.encode({"text": SURE}), outcome.verdict, outcome.tags)
    assert (result["label"], [slot["value"] for slot in result["slots"]]) == ("turn_on", ["kitchen"])


@pytest.mark.parametrize(("rule", "depth"), [("thrifty", 1), ("balanced", 2), ("careful", 3)])
def test_the_rule_decides_the_depth(tiny: Unpacked, rule: str, depth: int) -> None:
    outcome = Rig(tiny).run(UNSURE, rule=rule)
    assert (outcome.record.exit, len(outcome.record.stages), outcome.widths) == (depth, depth, (4,) * depth)
    assert outcome.accepted
    assert outcome.record.fallback is None


def test_a_text_without_a_known_word_is_out_of_scope_and_runs_nothing(tiny: Unpacked) -> None:
    """What heads make of unknown words alone is a guess: a foreign text must not start a machine."""
    rig = Rig(tiny)
    assert rig.run("turn on the 灯").record.exit > 0  # most of it is known
    rig.ran.clear()
    outcome = rig.run("开灯 zzz, the")
    assert (outcome.verdict.out_of_scope, outcome.accepted, outcome.delegate) == (True, True, "host")
    assert (outcome.record.exit, outcome.record.stages, rig.ran) == (0, (), [])


def test_a_strange_text_is_out_of_scope(tiny: Unpacked) -> None:
    outcome = Rig(tiny).run(STRANGE)
    assert outcome.verdict.out_of_scope
    assert outcome.record.exit == 1


def test_the_bucket_is_the_smallest_that_fits(tiny: Unpacked) -> None:
    rig = Rig(tiny)
    rig.run("on " * 9)
    rig.run("on " * 30)
    assert {key for _, key in rig.ran if key.endswith("s1w4")} == {"16/s1w4"}


def test_every_exit_is_asked_whatever_it_says(tiny: Unpacked) -> None:
    rig = Rig(tiny)
    verdicts = rig.engine.every_exit(rig.task.encode({"text": SURE}))
    assert [verdict.label_index for verdict in verdicts] == [0, 0, 0]
    assert verdicts[0].confidence < verdicts[1].confidence


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_asking_every_exit_fails_where_a_stage_fails_on_every_rung(tiny: Unpacked, stage: int) -> None:
    rig = Rig(tiny, {"tpu": from_stage(stage, absent), "cpu": from_stage(stage, broken)})
    with pytest.raises(GraphError, match=f"stage {stage} failed on every rung"):
        rig.engine.every_exit(rig.task.encode({"text": SURE}))


# --- limits ----------------------------------------------------------------------------------------


def test_no_stage_is_begun_that_would_pass_the_deadline(tiny: Unpacked) -> None:
    """The best exit so far answers, and the reply says why it was not a deeper one."""
    outcome = Rig(tiny).run(UNSURE, due_s=1.5 * STAGE_S)
    assert (outcome.record.exit, outcome.accepted) == (1, False)
    assert outcome.record.fallback == "exit 1: no time for the next stage"


def test_known_costs_stand_above_the_last_stages_time(tiny: Unpacked) -> None:
    assert Rig(tiny, costs=Costs(run_s=0.5)).run(UNSURE, due_s=0.3).record.exit == 1
    assert Rig(tiny, costs=Costs(run_s=0.001)).run(UNSURE, due_s=1.5 * STAGE_S).record.exit == 2


def test_nothing_runs_after_the_deadline(tiny: Unpacked) -> None:
    rig = Rig(tiny)
    with pytest.raises(DeadlinePassedError):
        rig.run(SURE, due_s=0.0)
    assert rig.ran == []


def test_the_energy_budget_bounds_the_depth(tiny: Unpacked) -> None:
    """Within the budget the rule decides; where not even one stage fits, the cheapest path runs."""
    costs = Costs(energy_j=0.001)
    full = Rig(tiny, costs=costs).run(UNSURE, energy_j=0.0021)
    assert (full.record.exit, full.over_budget) == (2, False)
    short = Rig(tiny, costs=costs).run(UNSURE, energy_j=0.0015)
    assert (short.record.exit, short.over_budget, short.accepted) == (1, False, False)
    assert short.record.fallback == "exit 1: no joules for the next stage"
    assert full.record.fallback is None
    none = Rig(tiny, costs=costs).run(SURE, energy_j=0.0005)
    assert (none.record.exit, none.over_budget) == (1, True)


def test_the_hosts_work_counts_against_the_energy_budget(tiny: Unpacked) -> None:
    """What is charged contains it."""
    costs = Costs(energy_j=0.001, host_j=0.0003)
    assert Rig(tiny, costs=costs).run(UNSURE, energy_j=0.0024).record.exit == 2
    short = Rig(tiny, costs=costs).run(UNSURE, energy_j=0.0022)
    assert (short.record.exit, short.over_budget) == (1, False)
    assert Rig(tiny, costs=costs).run(SURE, energy_j=0.0012).over_budget


@pytest.mark.parametrize("costs", [None, CostModel(None).of("sha")])
def test_unknown_joules_bound_nothing(tiny: Unpacked, costs: BundleCosts | None) -> None:
    """Neither a profile nor a window told this board's watts."""
    outcome = Rig(tiny, costs=costs).run(UNSURE, energy_j=1e-9)
    assert (outcome.record.exit, outcome.over_budget) == (2, False)


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize(
    ("energy_j", "exit_", "over_budget"), [(0.041, 2, False), (0.039, 1, False), (0.019, 1, True)]
)
def test_stages_that_never_ran_are_priced_by_the_stage_before(
    tiny: Unpacked, energy_j: float, exit_: int, over_budget: bool, taught: bool
) -> None:
    """2 W for 10 ms a stage: from the profile, or from a board's windows where the profile knows no watts."""
    costs = CostModel(None if taught else 2.0)
    half_each = {(tiny.sha256, GraphKey(8, stage, 4), "cpu"): 0.25 for stage in (1, 2)}
    for _ in range(50 if taught else 0):
        costs.learn_window(Equation(half_each, 1e-3, 1.0, 0.001))
    outcome = Rig(tiny, costs=costs.of(tiny.sha256)).run(UNSURE, energy_j=energy_j)
    assert (outcome.record.exit, outcome.over_budget) == (exit_, over_budget)
    assert outcome.accepted is (exit_ == 2)
    assert outcome.record.fallback == (None if exit_ == 2 else "exit 1: no joules for the next stage")


def test_a_stage_that_ran_at_this_length_keeps_its_own_joules(tiny: Unpacked) -> None:
    """Stage 2 was timed at 40 ms, four times stage 1: its own mean counts, not the stage before."""
    costs = CostModel(2.0).of("sha")
    long = StageRun(GraphKey(8, 2, 4), "cpu", 0.0, 4.0 * STAGE_S)
    costs.learn(RunRecord("sha", "8/w4-4-4/balanced/fp32", (long,), 2, 0.0, 4.0 * STAGE_S, 1))
    assert Rig(tiny, costs=costs).run(UNSURE, energy_j=0.09).record.exit == 1
    assert Rig(tiny, costs=costs).run(UNSURE, energy_j=0.11).record.exit == 2


def test_the_first_host_work_of_a_node_is_priced_by_its_own_seconds(tiny: Unpacked) -> None:
    """The tokenizer took 10 ms before the run: with the stage 0.04 J at 2 W, as will be charged."""
    for energy_j, over_budget in ((0.041, False), (0.039, True)):
        rig = Rig(tiny, costs=CostModel(2.0).of(tiny.sha256))
        begin_s = rig.clock.now_s()
        rig.clock.advance(STAGE_S)
        limits = Limits(10.0, "balanced", energy_j=energy_j)
        outcome = rig.engine.run(rig.task.encode({"text": SURE}), limits, begin_s)
        assert (outcome.record.exit, outcome.over_budget) == (1, over_budget)


def test_turning_a_text_away_has_its_joules_too(tiny: Unpacked) -> None:
    assert Rig(tiny, costs=Costs(host_j=0.001)).run("zzz", energy_j=0.0005).over_budget
    assert not Rig(tiny, costs=Costs(host_j=0.001)).run("zzz", energy_j=0.002).over_budget
    assert not Rig(tiny).run("zzz", energy_j=0.0).over_budget


def test_a_hot_board_answers_from_an_earlier_exit(tiny: Unpacked) -> None:
    outcome = Rig(tiny).run(UNSURE, max_stages=1)
    assert (outcome.record.exit, outcome.accepted) == (1, False)
    assert outcome.record.fallback == "exit 1: the board allows no deeper stage now"
    assert Rig(tiny).run(SURE, max_stages=1).record.fallback is None


def test_an_unknown_rule_is_the_askers_error(tiny: Unpacked) -> None:
    with pytest.raises(UnknownRuleError):
        Rig(tiny).run(SURE, rule="fastest")


# --- rungs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (broken, "tpu: graph 8/s1w4 failed on scripted"),
        (absent, "tpu: tpu: unplugged"),
        (not_a_number, "tpu: its output is not a number"),
    ],
)
def test_a_failed_rung_is_out_and_the_next_answers(tiny: Unpacked, script: Script, reason: str) -> None:
    rig = Rig(tiny, {"tpu": script, "cpu": pass_through})
    outcome = rig.run(SURE)
    assert (outcome.delegate, outcome.record.fallback) == ("cpu", reason)
    assert outcome.verdict.label_index == 0
    assert not rig.health.usable("tpu")
    rig.ran.clear()
    second = rig.run(SURE)
    assert rig.ran == [("cpu", "8/s1w4")]
    assert second.record.fallback == "tpu: out"


def test_a_librarys_pages_do_not_make_the_reply_unreadable(tiny: Unpacked) -> None:
    def wordy(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        msg = "driver trace " * 500
        raise DelegateError(msg)

    first = Rig(tiny, {"tpu": wordy, "cpu": pass_through}).run(SURE).record.fallback
    ended = Rig(tiny, {"tpu": from_stage(2, wordy)}).run(UNSURE).record.fallback
    for fallback, begin in ((first, "tpu: driver trace"), (ended, "exit 1: stage 2 failed on every rung")):
        assert fallback is not None
        assert fallback.startswith(begin)
        assert len(fallback) == 200
        reply = Reply("a1", "ok", Route("pi", fallback=fallback))
        assert parse_reply(reply.to_dict()).route.fallback == fallback


def test_a_run_changes_rungs_between_stages(tiny: Unpacked) -> None:
    rig = Rig(tiny, {"tpu": from_stage(2, broken), "cpu": pass_through})
    outcome = rig.run(UNSURE)
    assert [stage.delegate for stage in outcome.record.stages] == ["tpu", "cpu"]
    assert outcome.record.exit == 2


def test_when_no_rung_is_left_the_best_exit_answers(tiny: Unpacked) -> None:
    outcome = Rig(tiny, {"cpu": from_stage(2, broken)}).run(UNSURE)
    assert (outcome.record.exit, outcome.accepted) == (1, False)
    assert "stage 2 failed on every rung" in str(outcome.record.fallback)


def test_rows_that_are_not_numbers_leave_the_answering_exits_tags_alone(tiny: Unpacked) -> None:
    """The reader's buffers are shared by all exits of a slot."""
    text = "turn the kitchen"  # not sure at exit 1
    wanted = Rig(tiny).run(text, max_stages=1)
    outcome = Rig(tiny, {"cpu": from_stage(2, not_a_number)}).run(text)
    assert (outcome.record.exit, outcome.accepted) == (1, False)
    assert "its output is not a number" in str(outcome.record.fallback)
    assert (list(outcome.tags), list(wanted.tags)) == ([0, 0, 1], [0, 0, 1])


class Heard:
    """An exit's head that counts how often it is asked."""

    def __init__(self, head: Any) -> None:
        self._head, self.asked = head, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._head, name)

    def answer(self, said: Any) -> Any:
        self.asked += 1
        return self._head.answer(said)


def patient(tiny: Unpacked, **scripts: Script) -> tuple[Rig, tuple[Heard, ...]]:
    """A rig whose rule `last` lets no exit but the last one answer, and its heads."""
    manifest = replace(tiny.manifest, exit_rules={**tiny.manifest.exit_rules, "last": (2.0, 2.0, 0.0)})
    rig = Rig(replace(tiny, manifest=manifest), scripts or None)
    heads = tuple(Heard(head) for head in rig.engine.weights.heads)
    rig.engine.weights = replace(rig.engine.weights, heads=cast("Any", heads))
    return rig, heads


def test_an_exit_that_may_not_answer_is_not_asked(tiny: Unpacked) -> None:
    rig, heads = patient(tiny)
    outcome = rig.run(SURE, rule="last")
    assert (outcome.record.exit, outcome.accepted) == (3, True)
    assert [head.asked for head in heads] == [0, 0, 1]
    every = Rig(tiny).engine.every_exit(rig.task.encode({"text": SURE}))
    assert (outcome.verdict, outcome.tags) == (every[-1], Rig(tiny).run(SURE).tags)


def test_an_exit_that_may_not_answer_does_where_the_run_ends(tiny: Unpacked) -> None:
    rig, heads = patient(tiny)
    outcome = rig.run(SURE, rule="last", max_stages=2)
    assert (outcome.record.exit, outcome.accepted) == (2, False)
    assert [head.asked for head in heads] == [0, 1, 0]
    assert len(outcome.tags) == len(rig.task.encode({"text": SURE}).ids)


@pytest.mark.parametrize("stage", [1, 2])
def test_rows_that_are_not_numbers_are_seen_where_no_exit_is_asked(tiny: Unpacked, stage: int) -> None:
    rig, heads = patient(tiny, npu=from_stage(stage, not_a_number), cpu=pass_through)
    outcome = rig.run(SURE, rule="last")
    assert outcome.record.fallback == "npu: its output is not a number"
    assert (outcome.record.exit, outcome.delegate) == (3, "cpu")
    assert [head.asked for head in heads[1:]] == [0, 1]


def test_when_the_first_stage_fails_everywhere_it_is_an_error(tiny: Unpacked) -> None:
    rig = Rig(tiny, {"tpu": broken, "cpu": broken})
    for _ in range(2):  # the last rung is tried again each time, though it failed before
        with pytest.raises(GraphError, match="stage 1 failed on every rung"):
            rig.run(SURE)
    assert [name for name, _ in rig.ran] == ["tpu", "cpu", "cpu"]


def test_narrower_graphs_are_rungs_below_all_delegates(tiny: Unpacked) -> None:
    """The ladder is data: a bundle with more widths has more rungs."""
    manifest = tiny.manifest
    narrow = tuple(replace(g, key=GraphKey(g.key.bucket, g.key.stage, 2)) for g in manifest.graphs)
    graph = DynamicComputingGraph(replace(manifest, graphs=manifest.graphs + narrow), ["tpu", "cpu"])
    way = graph.path(3)
    assert [(r.delegate, r.widths[0]) for r in way.rungs] == [("tpu", 4), ("cpu", 4), ("tpu", 2), ("cpu", 2)]
    assert graph.path(5) is way
    assert graph.configuration(way, way.rungs[-1], "thrifty") == "8/w2-2-2/thrifty/fp32"
