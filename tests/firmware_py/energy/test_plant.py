"""The simulated board's truth: consistent, seeded, and out of the predictor's reach."""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware_py
from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.errors import SensorAbsentError
from firmware_py.contracts.run import GraphKey
from firmware_py.energy.plant import Plant, PlantSpec
from firmware_py.energy.plant_link import PlantClient, PlantSetup

SPEC = PlantSpec(idle_w=3.0, busy_w=1.0, supply_v=5.0, seed=7)


def test_energy_is_the_sum_of_its_parts() -> None:
    plant = Plant(SPEC)
    whole = plant.energy_j(0.0, 3.0)
    assert whole == pytest.approx(sum(plant.energy_j(i / 10, (i + 1) / 10) for i in range(30)), rel=1e-9)
    assert 2.0 < whole / 3.0 < 4.5


def test_volt_times_ampere_is_the_power_of_short_spans() -> None:
    plant = Plant(SPEC)
    plant.busy(0.5, "a")
    plant.idle(0.7)
    plant.advance(1.0)
    for i in range(1000):
        span = (i * 1e-3, i * 1e-3 + 1e-5)
        ((volts, amperes),) = plant.means([span])
        assert volts * amperes == pytest.approx(plant.energy_j(*span) / 1e-5, rel=0.05)


def test_nothing_is_owed_to_stages_while_none_runs() -> None:
    plant = Plant(SPEC)
    assert plant.net_j(0.0, 2.0) == 0.0
    plant.busy(2.0, "a")
    plant.idle(2.5)
    assert plant.net_j(2.0, 2.5) > 0.2
    assert plant.net_j(2.5, 4.0) == 0.0


def test_the_same_seed_gives_the_same_truth_and_another_another() -> None:
    def run(seed: int) -> float:
        plant = Plant(PlantSpec(3.0, 1.0, 5.0, seed=seed))
        plant.busy(0.3, "g")
        plant.idle(0.9)
        return plant.energy_j(0.0, 2.0)

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_asking_changes_nothing() -> None:
    asked, quiet = Plant(SPEC), Plant(SPEC)
    for i in range(200):
        asked.means([(i * 0.005, i * 0.005 + 0.002)])
    assert asked.energy_j(0.0, 1.0) == pytest.approx(quiet.energy_j(0.0, 1.0), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 2.0), st.booleans()), max_size=20))
def test_any_order_of_edges_keeps_the_truth_rising(edges: list[tuple[float, bool]]) -> None:
    """Late, repeated and unmatched edges come from preempted threads; power stays positive."""
    plant = Plant(SPEC)
    for at_s, begins in edges:
        plant.busy(at_s, "g") if begins else plant.idle(at_s)
    before = 0.0
    for i in range(1, 60):
        total = plant.energy_j(0.0, i * 0.05)
        assert total > before
        before = total


def test_history_is_bounded() -> None:
    plant = Plant(SPEC)
    for i in range(60_000):
        plant.advance(i * 0.01)
    assert len(plant._times) < 45_000
    assert plant.means([(599.0, 599.5)])


def test_the_predictor_cannot_know_the_plant() -> None:
    """Design rule 3: what predicts imports neither the physics nor its process."""
    root = Path(firmware_py.__file__).parent
    files = [root / "costs.py"]
    files += [
        p for p in (root / "energy").rglob("*.py") if p.name not in {"plant.py", "plant_link.py", "open.py"}
    ]
    assert len(files) > 10
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("firmware_py.energy.plant"), path
            elif isinstance(node, ast.Import):
                assert not any(name.name.startswith("firmware_py.energy.plant") for name in node.names), path


def test_a_plant_in_its_own_process() -> None:
    clock = SystemClock()
    begin_s = clock.now_s()
    with PlantClient.start(PlantSetup(3.0, 1.0, 5.0, seed=7), clock) as client:
        client.busy(begin_s + 0.01, GraphKey(16, 1, 4))
        client.idle(begin_s + 0.03)
        ((volts, amperes),) = client.means([(begin_s, begin_s + 0.05)])
        ((gross_j, net_j),) = client.truth([(begin_s, begin_s + 0.05)])
        assert volts * amperes * 0.05 == pytest.approx(gross_j, rel=0.01)
        assert 0.0 < net_j < gross_j


def test_a_plant_that_dies_is_an_absent_sensor_and_no_more() -> None:
    clock = SystemClock()
    with PlantClient.start(PlantSetup(3.0, 1.0, 5.0), clock) as client:
        now_s = clock.now_s()
        client.means([(now_s, now_s + 0.01)])
        assert client._process is not None
        os.kill(client._process.pid, signal.SIGKILL)
        client._process.wait(10.0)
        for _ in range(3):
            client.busy(clock.now_s(), "g")
            client.idle(clock.now_s())
        with pytest.raises(SensorAbsentError, match="gone"):
            client.means([(now_s, now_s + 0.01)])


def test_a_plant_that_lags_costs_load_edges_and_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage's begin and end are told on the request path: a full link must neither hold it up nor end the metering."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr("firmware_py.energy.plant_link._ANSWER_TIMEOUT_S", 0.01)
    with theirs, PlantClient(ours) as client:
        for number in range(5000):  # far more frames than a socket holds
            client.busy(float(number), "g")
        told = 0
        theirs.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while theirs.recv(64):
                told += 1
        assert 0 < told < 5000
        client.idle(5000.0)
        assert theirs.recv(64)[0] == 2  # told again as soon as there is room


@pytest.mark.parametrize("frames", [0, 5000])
def test_a_plant_that_never_answers_is_an_absent_sensor(monkeypatch: pytest.MonkeyPatch, frames: int) -> None:
    """No answer, or no room for the question: either way the wait ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr("firmware_py.energy.plant_link._ANSWER_TIMEOUT_S", 0.01)
    with theirs, PlantClient(ours) as client:
        for number in range(frames):
            client.busy(float(number), "g")
        with pytest.raises(SensorAbsentError, match="gone"):
            client.means([(0.0, 1.0)])


def test_the_plant_ends_with_its_node() -> None:
    client = PlantClient.start(PlantSetup(3.0, 1.0, 5.0), SystemClock())
    process = client._process
    assert process is not None
    client.close()
    client.close()
    assert process.returncode == 0


def test_ctrl_c_at_a_terminal_reaches_the_node_only() -> None:
    """A terminal interrupts the whole process group; a plant that ended first would be a lost sensor."""
    with PlantClient.start(PlantSetup(3.0, 1.0, 5.0), SystemClock()) as client:
        assert client._process is not None
        assert os.getpgid(client._process.pid) != os.getpgrp()
