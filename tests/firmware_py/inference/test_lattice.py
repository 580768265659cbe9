"""Exit 0 and widths per stage: the cheap ways through a bundle, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from firmware_py.backends.health import DelegateHealth
from firmware_py.backends.scripted import ScriptedGraph, pass_through
from firmware_py.bundles.read import Unpacked
from firmware_py.caches.models import ModelCache
from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import ConfigError, GoldenTestError, GraphError
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.manifest import Graph, parse_manifest
from firmware_py.contracts.reply import UNKNOWN_ENERGY
from firmware_py.contracts.run import GraphKey
from firmware_py.contracts.seams import Tensors
from firmware_py.inference.calibration import Calibration
from firmware_py.inference.engine import Engine, Outcome, Weights
from firmware_py.inference.golden import check_rows, load_rows
from firmware_py.inference.graph import DynamicComputingGraph
from firmware_py.inference.tensors import Embedding
from firmware_py.tasks.intent import IntentTask
from firmware_py.testing.tiny_bundle import WORDS
from tests.firmware_py.inference.costs import Costs

STAGE_S = 0.010
SURE, UNSURE, STRANGE, LONG = "turn on the kitchen light", "on", "sing a song", "on " * 12


class Rig:
    """An engine over scripted graphs in virtual time; graphs of the names in `broken` fail."""

    def __init__(self, unpacked: Unpacked, broken: tuple[str, ...] = (), costs: Any = None) -> None:
        self.clock = VirtualClock()
        self.ran: list[str] = []
        self.task = IntentTask(unpacked.manifest, unpacked.read(unpacked.manifest.tokenizer.name))

        def timed(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
            self.ran.append(str(graph.key))
            self.clock.advance(STAGE_S)
            if str(graph.key) in broken:
                raise RuntimeError
            return pass_through(graph, tensors)

        runner = ModelCache(unpacked.manifest.graphs, lambda graph: ScriptedGraph(graph, timed), "cpu")
        health = DelegateHealth(self.clock)
        self.engine = Engine(Weights.load(unpacked), [runner], self.clock, health, costs)

    def run(self, text: str, rule: str = "balanced", due_s: float = 10.0, **limits: Any) -> Outcome:
        return self.engine.run(self.task.encode({"text": text}), Limits(due_s, rule, **limits))


# --- exit 0 ----------------------------------------------------------------------------------------


def test_exit_0_answers_without_a_stage(rich: Unpacked) -> None:
    rig = Rig(rich)
    outcome = rig.run(SURE, "thrifty")
    assert rig.ran == []
    assert (outcome.record.exit, outcome.record.stages, outcome.widths) == (0, (), ())
    assert (outcome.delegate, outcome.accepted, outcome.record.fallback) == ("host", True, None)
    assert outcome.record.configuration == "8/w4-4-4/thrifty/fp32"
    result = rig.task.decode(rig.task.encode({"text": SURE}), outcome.verdict, outcome.tags)
    assert (result["label"], [slot["value"] for slot in result["slots"]]) == ("turn_on", ["kitchen"])


def test_exit_0_may_say_out_of_scope(rich: Unpacked) -> None:
    outcome = Rig(rich).run(STRANGE, "thrifty")
    assert (outcome.record.exit, outcome.verdict.out_of_scope, outcome.tags) == (0, True, ())


def test_an_unsure_exit_0_hands_on(rich: Unpacked) -> None:
    rig = Rig(rich)
    outcome = rig.run(UNSURE, "thrifty")
    assert (outcome.record.exit, rig.ran, outcome.delegate) == (1, ["8/s1w4"], "cpu")


def test_only_rules_that_name_exit_0_ask_it(rich: Unpacked) -> None:
    assert Rig(rich).run(SURE, "balanced").record.exit == 1


def test_where_limits_end_the_run_exit_0_answers_unaccepted(rich: Unpacked) -> None:
    """Deadline, joules, a failed stage 1: the deepest exit so far answers, and says why it was none deeper."""
    late = Rig(rich, costs=Costs(run_s=0.5)).run(UNSURE, "thrifty", due_s=0.4)
    assert (late.record.exit, late.accepted) == (0, False)
    assert late.record.fallback == "exit 0: no time for the next stage"
    broke = Rig(rich, broken=tuple(f"8/s1w{width}" for width in (1, 2, 3, 4))).run(UNSURE, "thrifty")
    assert (broke.record.exit, broke.accepted) == (0, False)
    assert "exit 0: stage 1 failed on every rung" in str(broke.record.fallback)
    costs = Costs(energy_j=0.001, host_j=0.0002)
    cheap = Rig(rich, costs=costs).run(UNSURE, "thrifty", energy_j=0.0005)
    assert (cheap.record.exit, cheap.accepted, cheap.over_budget) == (0, False, False)
    assert cheap.record.fallback == "exit 0: no joules for the next stage"
    nothing = Rig(rich, costs=costs).run(UNSURE, "thrifty", energy_j=0.0001)
    assert (nothing.record.exit, nothing.over_budget) == (0, True)
    untimed = Rig(rich, costs=Costs(host_j=0.0002)).run(UNSURE, "thrifty", energy_j=0.0001)
    assert (untimed.record.exit, untimed.over_budget) == (
        0,
        True,
    )  # whatever a stage costs: it is spent already
    with pytest.raises(GraphError):
        Rig(rich, broken=tuple(f"8/s1w{width}" for width in (1, 2, 3, 4))).run(UNSURE)


def test_a_hot_board_still_asks_exit_0_first(rich: Unpacked) -> None:
    assert Rig(rich).run(SURE, "thrifty", max_stages=1).record.exit == 0
    assert Rig(rich).run(UNSURE, "thrifty", max_stages=1).record.exit == 1


def test_exit_0_asks_slots_where_exits_do(rich: Unpacked) -> None:
    """It is sure of the label, and of the kitchen by half a point, which is 0.62."""
    assert Rig(rich).run(SURE, "thrifty").record.exit == 0
    asking = Rig(replace(rich, manifest=replace(rich.manifest, exit_confidence="least_sure")))
    outcome = asking.run(SURE, "thrifty")
    assert outcome.record.exit == 1
    assert outcome.tags


def test_a_broken_exit_0_neither_answers_nor_ends_the_run(rich: Unpacked) -> None:
    rig = Rig(rich)
    nan = np.full(len(WORDS), np.nan, np.float32)
    silly = replace(rig.engine.weights, embedding=Embedding(np.ones((len(WORDS), 16), np.int8), nan))
    engine = Engine(silly, list(rig.engine.runners.values()), rig.clock, rig.engine.health)
    with pytest.raises(GraphError):  # the stages get the same rows, so no exit is left
        engine.run(rig.task.encode({"text": SURE}), Limits(10.0, "thrifty"))


def test_exit_0_is_asked_alone_and_so_are_the_others(rich: Unpacked, tiny: Unpacked) -> None:
    rig = Rig(rich)
    encoded = rig.task.encode({"text": SURE})
    zeroth = rig.engine.zeroth(encoded)
    assert zeroth is not None
    assert rig.ran == []
    full = rig.engine.every_exit(encoded)
    assert zeroth.confidence < full[0].confidence < full[1].confidence
    assert Rig(tiny).engine.zeroth(encoded) is None


def test_calibration_rows_go_through_the_stages(rich: Unpacked) -> None:
    """A rule that may end at exit 0 would teach the cost model nothing of the graphs."""
    rig = Rig(rich)
    manifest = replace(
        rig.engine.weights.manifest, exit_rules={"thrifty": (0.9, 0.9, 0.0), "balanced": (0.5, 0.5, 0.0)}
    )
    engine = Engine(
        replace(rig.engine.weights, manifest=manifest),
        list(rig.engine.runners.values()),
        rig.clock,
        rig.engine.health,
    )
    charged: list[Any] = []

    def charge(record: Any) -> Any:
        charged.append(record)
        return UNKNOWN_ENERGY

    Calibration(lambda: [rig.task.encode({"text": SURE})], charge, 5.0).step(engine)
    assert [record.exit for record in charged] == [1]


# --- widths ----------------------------------------------------------------------------------------


def test_any_widths_compose(rich: Unpacked) -> None:
    """All 64 combinations have a way at a length that has every graph."""
    graph = DynamicComputingGraph(rich.manifest, ["cpu"])
    every = [(a, b, c) for a in range(1, 5) for b in range(1, 5) for c in range(1, 5)]
    ways = [graph.path(3, widths).rungs[0] for widths in every]
    assert [rung.widths for rung in ways] == every
    assert [tuple(key.width for key in rung.graphs) for rung in ways] == every


def test_asked_widths_run_and_are_said(rich: Unpacked) -> None:
    rig = Rig(rich)
    outcome = rig.run(UNSURE, "careful", widths=(1, 3, 2))
    assert rig.ran == ["8/s1w1", "8/s2w3", "8/s3w2"]
    assert (outcome.widths, outcome.record.configuration) == ((1, 3, 2), "8/w1-3-2/careful/fp32")


def test_a_length_without_narrow_graphs_runs_the_nearest_wider(rich: Unpacked) -> None:
    rig = Rig(rich)
    outcome = rig.run(LONG, widths=(1, 3, 2))
    assert set(rig.ran) <= {"16/s1w4", "16/s2w4", "16/s3w4"}
    assert outcome.record.configuration == "16/w4-4-4/balanced/fp32"


def test_a_graph_of_no_bucket_is_no_way(rich: Unpacked) -> None:
    """A stray length has one stage only; a text that it would fit goes to the next bucket."""
    manifest = rich.manifest
    stray = replace(manifest.graphs[0], key=GraphKey(12, 1, 4))
    manifest = parse_manifest(replace(manifest, graphs=(*manifest.graphs, stray)).to_dict())
    way = DynamicComputingGraph(manifest, ["scripted"]).path(10)
    assert way.bucket == 16
    assert [key.bucket for key in way.rungs[0].graphs] == [16, 16, 16]


def test_a_graph_with_a_past_does_not_stand_for_its_whole_text_form(rich: Unpacked) -> None:
    """Both have one key; wider ones with a past are no full width."""
    graphs = rich.manifest.graphs
    past = tuple(replace(graph, past=8) for graph in graphs)
    narrow = tuple(graph for graph in graphs if graph.key.width == 3)
    loaded: list[Graph] = []

    def load(graph: Graph) -> ScriptedGraph:
        loaded.append(graph)
        return ScriptedGraph(graph, pass_through)

    ModelCache((*graphs, *past), load, "scripted").load([graphs[0].key])
    assert loaded == [graphs[0]]
    assert replace(rich.manifest, graphs=(*narrow, *past)).full_widths == (3, 3, 3)


def test_per_stage_the_nearest_wider_graph_runs(rich: Unpacked) -> None:
    """A lattice with holes: stage 2 has widths 2 and 4 only, stage 3 only 4."""
    kept = [
        graph
        for graph in rich.manifest.graphs
        if (graph.key.stage, graph.key.width) not in {(2, 1), (2, 3), (3, 1), (3, 2), (3, 3)}
    ]
    graph = DynamicComputingGraph(replace(rich.manifest, graphs=tuple(kept), variants=()), ["cpu"])
    assert graph.path(3, (1, 1, 1)).rungs[0].widths == (1, 2, 4)
    assert graph.path(3, (2, 3, 2)).rungs[0].widths == (2, 4, 4)


def test_widths_use_the_calibration_that_was_found_for_them(rich: Unpacked) -> None:
    """At 4-2-2 exit 1's temperature is 1 instead of 3, and `careful` asks 0.9 instead of 0.999."""
    assert Rig(rich).run(UNSURE, "balanced").record.exit == 2
    assert Rig(rich).run(UNSURE, "balanced", widths=(4, 2, 2)).record.exit == 1
    assert Rig(rich).run(UNSURE, "careful").record.exit == 3
    assert Rig(rich).run(UNSURE, "careful", widths=(4, 2, 2)).record.exit == 1
    assert Rig(rich).run(UNSURE, "careful", widths=(4, 2, 1)).record.exit == 3  # not calibrated: full width's
    encoded = Rig(rich).task.encode({"text": UNSURE})
    narrow, full = (Rig(rich).engine.every_exit(encoded, widths)[0] for widths in ((4, 2, 2), None))
    assert narrow.confidence > full.confidence


def test_exit_0_goes_before_any_widths(rich: Unpacked) -> None:
    assert Rig(rich).run(SURE, "thrifty", widths=(1, 1, 1)).record.exit == 0


def test_a_variants_own_rule_asks_exit_0_only_by_its_own_threshold(rich: Unpacked) -> None:
    """Thresholds that were found together hold together: full width's exit 0 is no part of them."""
    manifest = rich.manifest
    (variant,) = manifest.variants
    row = {"thrifty": (0.4, 0.4, 0.0)}
    without = replace(variant, exit_rules=row)
    own = replace(variant, exit_rules=row, zeroth_rules={"thrifty": 0.9})
    for changed, threshold in ((without, None), (own, 0.9), (variant, 0.7)):
        graph = DynamicComputingGraph(replace(manifest, variants=(changed,)), ["cpu"])
        assert graph.path(3, variant.widths).rungs[0].zeroth.get("thrifty") == threshold
        assert graph.path(3).rungs[0].zeroth == {"thrifty": 0.7}
    weights = replace(Rig(rich).engine.weights, manifest=replace(manifest, variants=(without,)))
    rig = Rig(rich)
    engine = Engine(weights, list(rig.engine.runners.values()), rig.clock, rig.engine.health)
    encoded = rig.task.encode({"text": SURE})
    assert engine.run(encoded, Limits(10.0, "thrifty", widths=variant.widths)).record.exit == 1
    assert engine.run(encoded, Limits(10.0, "thrifty")).record.exit == 0


def test_a_failed_narrow_graph_falls_back_to_full_width(rich: Unpacked) -> None:
    rig = Rig(rich, broken=("8/s2w3",))
    outcome = rig.run(UNSURE, "careful", widths=(1, 3, 2))
    assert rig.ran == ["8/s1w1", "8/s2w3", "8/s2w4", "8/s3w4"]
    assert (outcome.record.exit, outcome.widths) == (3, (1, 4, 4))
    assert "cpu: graph 8/s2w3 failed" in str(outcome.record.fallback)


@pytest.mark.parametrize(
    ("rule", "stage", "exit_number"), [("careful", 2, 1), ("careful", 3, 2), ("thrifty", 1, 0)]
)
def test_a_stage_that_fails_on_every_rung_names_no_widths_that_never_ran(
    rich: Unpacked, rule: str, stage: int, exit_number: int
) -> None:
    """The last rung that was tried answered nothing: its key must get neither the reply nor its costs."""
    record = Rig(rich, broken=tuple(f"8/s{stage}w{width}" for width in (1, 2, 3, 4))).run(UNSURE, rule).record
    assert f"stage {stage} failed on every rung" in str(record.fallback)
    assert (record.exit, record.configuration) == (exit_number, f"8/w4-4-4/{rule}/fp32")


@pytest.mark.parametrize("widths", [(4,), (4, 4, 4, 4), (0, 4, 4), (4, 5, 4)])
def test_other_than_one_width_a_stage_is_refused(rich: Unpacked, widths: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="for each of the model's 3 stages"):
        Rig(rich).run(SURE, widths=widths)


# --- golden rows -----------------------------------------------------------------------------------


def test_golden_rows_reach_exit_0_and_mixed_widths(rich: Unpacked) -> None:
    rig, rows = Rig(rich), load_rows(rich)
    check_rows(rig.engine.weights, rig.engine.runners["cpu"], rows)
    assert {"8/s1w1", "8/s2w3", "8/s3w2", "8/s2w2"} <= set(rig.ran)
    assert all(row.zeroth for row in rows)
    wrong = [replace(rows[0], zeroth=(9.0, 0.0, 0.0))]
    with pytest.raises(GoldenTestError, match="row 1, exit 0: a logit is"):
        check_rows(rig.engine.weights, rig.engine.runners["cpu"], wrong)
    narrow = next(row for row in rows if row.widths)
    missing = replace(narrow, ids=narrow.ids * 3, widths=(1, 1, 1))
    with pytest.raises(GoldenTestError, match="widths that the bundle lacks"):
        check_rows(rig.engine.weights, rig.engine.runners["cpu"], [missing])


def test_a_wrong_narrow_graph_is_found(rich: Unpacked) -> None:
    """Only a row of its width can see it."""

    def skewed(graph: Graph, tensors: Tensors) -> Mapping[str, Any]:
        said = pass_through(graph, tensors)
        return {"h_out": said["h_out"] + 1.0} if graph.key.width == 3 else said

    runner = ModelCache(rich.manifest.graphs, lambda graph: ScriptedGraph(graph, skewed), "cpu")
    weights, rows = Weights.load(rich), load_rows(rich)
    check_rows(weights, runner, [row for row in rows if not row.widths])
    with pytest.raises(GoldenTestError, match="exit 2"):
        check_rows(weights, runner, rows)
