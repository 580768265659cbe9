"""The suite that every Runner passes: subclass it and give a `bench` fixture.

It runs on ai-edge-litert, tflite-runtime, the scripted fake and their simulated wrapper alike.
"""

# ruff: noqa: D102, S101 - a test suite: names say what is proved, and it asserts

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from firmware_py.contracts.errors import GraphError
from firmware_py.contracts.manifest import Graph
from firmware_py.contracts.run import GraphKey
from firmware_py.contracts.seams import Runner

PATIENT_S = 60.0
NOWHERE = GraphKey(3, 16, 1)


@dataclass(frozen=True, slots=True)
class Bench:
    """A runner and the graphs that it can run."""

    runner: Runner
    graphs: tuple[Graph, ...]


def feeds(graph: Graph, seed: int = 0) -> dict[str, Any]:
    """Inputs of the right form: small rows, no bias, plausible tables."""
    rng = np.random.default_rng(seed)
    out = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in graph.inputs}
    out["h"] = rng.normal(0.0, 0.5, out["h"].shape).astype(out["h"].dtype)
    for name in ("cos", "sin"):
        if name in out:
            out[name] += 0.7
    return out


class RunnerContract:
    """What callers rely on."""

    def test_outputs_are_those_of_the_manifest(self, bench: Bench) -> None:
        for graph in bench.graphs:
            out = bench.runner.run(graph.key, feeds(graph), PATIENT_S)
            for spec in graph.outputs:
                assert out[spec.name].shape == spec.shape
                assert out[spec.name].dtype == spec.dtype
                assert np.isfinite(out[spec.name]).all()

    def test_the_same_inputs_give_the_same_outputs(self, bench: Bench) -> None:
        graph = bench.graphs[0]
        first = np.array(bench.runner.run(graph.key, feeds(graph), PATIENT_S)["h_out"])
        bench.runner.run(graph.key, feeds(graph, seed=1), PATIENT_S)
        again = bench.runner.run(graph.key, feeds(graph), PATIENT_S)["h_out"]
        np.testing.assert_array_equal(first, again)

    def test_outputs_depend_on_inputs(self, bench: Bench) -> None:
        graph = bench.graphs[0]
        first = np.array(bench.runner.run(graph.key, feeds(graph), PATIENT_S)["h_out"])
        other = bench.runner.run(graph.key, feeds(graph, seed=1), PATIENT_S)["h_out"]
        assert not np.array_equal(first, other)

    def test_inputs_are_left_as_they_were(self, bench: Bench) -> None:
        graph = bench.graphs[0]
        given = feeds(graph)
        bench.runner.run(graph.key, given, PATIENT_S)
        for name, value in feeds(graph).items():
            np.testing.assert_array_equal(given[name], value)

    def test_further_inputs_are_ignored(self, bench: Bench) -> None:
        """The engine feeds every stage from one mapping."""
        graph = bench.graphs[0]
        bench.runner.run(graph.key, feeds(graph) | {"other": np.zeros(3)}, PATIENT_S)

    def test_an_unknown_graph_is_refused(self, bench: Bench) -> None:
        with pytest.raises(GraphError):
            bench.runner.run(NOWHERE, feeds(bench.graphs[0]), PATIENT_S)

    def test_a_missing_input_is_refused_and_the_graph_lives_on(self, bench: Bench) -> None:
        graph = bench.graphs[0]
        given = feeds(graph)
        del given["h"]
        with pytest.raises(GraphError):
            bench.runner.run(graph.key, given, PATIENT_S)
        bench.runner.run(graph.key, feeds(graph), PATIENT_S)

    def test_an_input_of_another_shape_or_type_is_refused(self, bench: Bench) -> None:
        graph = bench.graphs[0]
        given = feeds(graph)
        for wrong in (given["h"][:-1], given["h"].astype(np.float64)):
            with pytest.raises(GraphError):
                bench.runner.run(graph.key, given | {"h": wrong}, PATIENT_S)

    def test_closing_twice_is_allowed_and_then_nothing_runs(self, bench: Bench) -> None:
        graph = bench.graphs[0]
        bench.runner.close()
        bench.runner.close()
        with pytest.raises(GraphError):
            bench.runner.run(graph.key, feeds(graph), PATIENT_S)

    def test_it_says_who_does_the_work(self, bench: Bench) -> None:
        assert bench.runner.delegate
