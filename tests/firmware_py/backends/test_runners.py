"""One contract for every runner; what the real runtime adds: delegates and their ways to fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from firmware_py.backends.litert import CPU, check_runtime, installed
from firmware_py.backends.opening import DelegateSpec, open_loader, runtime_of
from firmware_py.backends.scripted import ScriptedGraph
from firmware_py.backends.simulated import SimulatedRunner
from firmware_py.bundles.read import Unpacked
from firmware_py.caches.models import ModelCache
from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import BundleRuntimeError, DelegateError, GraphError
from firmware_py.contracts.manifest import Graph
from firmware_py.contracts.seams import Tensors
from firmware_py.testing.runner_contract import PATIENT_S, Bench, RunnerContract, feeds


def cpu_runner(unpacked: Unpacked, budget_bytes: int = 2**30) -> ModelCache:
    """The bundle's graphs on the processor."""
    name, loader = open_loader(unpacked.folder, unpacked.manifest, DelegateSpec())
    return ModelCache(unpacked.manifest.graphs, loader, name, budget_bytes)


class TestScripted(RunnerContract):
    """The fake keeps the rules."""

    @pytest.fixture
    def bench(self, tiny: Unpacked) -> Iterator[Bench]:
        runner = cpu_runner(tiny)
        yield Bench(runner, tiny.manifest.graphs)
        runner.close()


class TestSimulated(RunnerContract):
    """Stretching time changes nothing else."""

    @pytest.fixture
    def bench(self, tiny: Unpacked) -> Iterator[Bench]:
        runner = SimulatedRunner(cpu_runner(tiny), 4.0, VirtualClock())
        yield Bench(runner, tiny.manifest.graphs)
        runner.close()


class TestRuntime(RunnerContract):
    """The installed runtime on the shipped bundle."""

    @pytest.fixture
    def bench(self, shipped: Unpacked) -> Iterator[Bench]:
        runner = cpu_runner(shipped)
        yield Bench(runner, shipped.manifest.graphs)
        runner.close()


class TestRuntimeInLittleMemory(RunnerContract):
    """With room for one graph at a time every graph still runs."""

    @pytest.fixture
    def bench(self, shipped: Unpacked) -> Iterator[Bench]:
        runner = cpu_runner(shipped, budget_bytes=1)
        yield Bench(runner, shipped.manifest.graphs)
        runner.close()


class Listener:
    """Writes down what the plant would be told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float, str]] = []

    def busy(self, at_s: float, key: object = "") -> None:
        self.told.append(("busy", at_s, str(key)))

    def idle(self, at_s: float) -> None:
        self.told.append(("idle", at_s, ""))


def test_a_simulated_stage_takes_factor_times_its_time_and_tells_the_plant(tiny: Unpacked) -> None:
    clock, listener = VirtualClock(), Listener()

    def slow(graph: Graph, tensors: Tensors) -> Tensors:
        clock.advance(0.002)
        return {"h_out": tensors["h"]}

    graph = tiny.manifest.graphs[0]
    inner = ModelCache([graph], lambda g: ScriptedGraph(g, slow), "scripted")
    SimulatedRunner(inner, 4.5, clock, listener).run(graph.key, feeds(graph), PATIENT_S)
    assert clock.now_s() == pytest.approx(0.009)
    assert listener.told == [("busy", 0.0, "8/s1w4"), ("idle", pytest.approx(0.009), "")]


def test_a_failing_stage_leaves_no_load_behind(tiny: Unpacked) -> None:
    """The plant is told that the stage ended, however it ended."""
    clock, listener = VirtualClock(), Listener()

    def broken(graph: Graph, tensors: Tensors) -> Tensors:
        raise RuntimeError

    graph = tiny.manifest.graphs[0]
    inner = ModelCache([graph], lambda g: ScriptedGraph(g, broken), "scripted")
    with pytest.raises(GraphError):
        SimulatedRunner(inner, 4.5, clock, listener).run(graph.key, feeds(graph), PATIENT_S)
    assert [what for what, _, _ in listener.told] == ["busy", "idle"]


def test_graphs_are_loaded_once_and_let_go_by_budget(tiny: Unpacked) -> None:
    loads: list[str] = []

    def loader(graph: Graph) -> ScriptedGraph:
        loads.append(str(graph.key))
        return ScriptedGraph(graph)

    first, second, third = tiny.manifest.graphs[:3]
    runner = ModelCache([first, second, third], loader, "scripted", 2 * first.file.size_bytes)
    for graph in (first, second, first, third, first, second):
        runner.run(graph.key, feeds(graph), PATIENT_S)
    assert loads == [str(g.key) for g in (first, second, third, second)]
    assert runner.resident_bytes <= 2 * first.file.size_bytes


def test_a_bundle_for_another_runtime_is_refused() -> None:
    """The runtime that gave wrong answers without an error (0.17 agreement) must not get the file."""
    runtime = installed()
    if runtime is None:
        pytest.skip("no runtime is installed")
    package, version = runtime
    assert check_runtime({package: "2.0"}) == f"{package} {version}"
    with pytest.raises(BundleRuntimeError, match="runs on other"):
        check_runtime({"other": "1.0"})
    with pytest.raises(BundleRuntimeError, match="needs"):
        check_runtime({package: "99.0"})


def test_the_scripted_runtime_needs_none(tiny: Unpacked) -> None:
    assert runtime_of(tiny.manifest) == "scripted 1"


# --- delegates --------------------------------------------------------------------------------------


def delegate_runner(unpacked: Unpacked, library: Path, act: str) -> ModelCache:
    spec = DelegateSpec("double", str(library), {"act": act})
    name, loader = open_loader(unpacked.folder, unpacked.manifest, spec)
    return ModelCache(unpacked.manifest.graphs, loader, name)


def test_a_graph_runs_through_a_loaded_delegate(shipped: Unpacked, double: Path) -> None:
    graph = shipped.manifest.graphs[0]
    runner = delegate_runner(shipped, double, "ok")
    out = runner.run(graph.key, feeds(graph), PATIENT_S)["h_out"]
    same = cpu_runner(shipped).run(graph.key, feeds(graph), PATIENT_S)["h_out"]
    np.testing.assert_allclose(out, same, atol=0.2)
    assert runner.delegate == "double"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("act", "said"), [("fail", "no device on the bus"), ("fail_prepare", "failed to prepare")]
)
def test_a_delegate_that_fails_is_a_delegate_error(
    shipped: Unpacked, double: Path, act: str, said: str
) -> None:
    """The runtimes print an ignored AttributeError from Delegate.__del__ as well; that is theirs."""
    graph = shipped.manifest.graphs[0]
    with pytest.raises(DelegateError, match=said):
        delegate_runner(shipped, double, act).run(graph.key, feeds(graph), PATIENT_S)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_librarys_pages_are_cut(shipped: Unpacked, double: Path) -> None:
    graph = shipped.manifest.graphs[0]
    with pytest.raises(DelegateError, match=r"refused to start: .*!!!!") as caught:
        delegate_runner(shipped, double, "fail_at_length").run(graph.key, feeds(graph), PATIENT_S)
    assert len(caught.value.message) < 250


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_absent_and_a_foreign_library_are_delegate_errors(shipped: Unpacked, tmp_path: Path) -> None:
    graph = shipped.manifest.graphs[0]
    foreign = next(Path("/").glob("lib*/*/libm.so.6"), None) or next(Path("/usr").glob("lib*/*/libm.so.6"))
    for library, said in ((tmp_path / "none.so", "cannot be loaded"), (foreign, "not a TFLite delegate")):
        with pytest.raises(DelegateError, match=said):
            delegate_runner(shipped, library, "ok").run(graph.key, feeds(graph), PATIENT_S)


def test_a_file_that_is_no_graph_is_a_graph_error(shipped: Unpacked, tmp_path: Path) -> None:
    graph = shipped.manifest.graphs[0]
    (tmp_path / graph.file.name).write_bytes(b"no graph at all " * 100)
    loader = open_loader(tmp_path, shipped.manifest, DelegateSpec(CPU))[1]
    with pytest.raises(GraphError):
        loader(graph)


def test_a_graph_unlike_its_description_is_refused(shipped: Unpacked, tiny: Unpacked) -> None:
    """The manifest's names, shapes and types are checked against the file's signature."""
    real, other = shipped.manifest.graphs[0], tiny.manifest.graphs[0]
    lying = type(real)(real.key, real.role, 0, other.inputs, other.outputs, {}, real.file)
    with pytest.raises(GraphError, match="has no tensor"):
        open_loader(shipped.folder, shipped.manifest, DelegateSpec())[1](lying)
