"""Joules name their source, follow the seconds, and are unknown where the profile has no figures."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from conversion.check.hosts import REFERENCE_FAMILY, host_of, other_host
from conversion.study.joules import Method, joules
from device_profiles.loader import list_profiles, load_profile

PI = load_profile("raspberry-pi-4")
HERE = {"arch": "x86_64", "cpu": "AMD EPYC", "cpu_family": 26}
SECONDS = np.random.default_rng(0).uniform(2e-4, 2e-3, 200)


def test_an_estimate_is_the_profile_s_watts_times_stretched_seconds_and_says_so() -> None:
    found = joules(PI, SECONDS, "estimated", HERE)
    busy_w, factor = PI.simulation.busy_w, PI.simulation.speed_factor
    assert busy_w is not None
    assert factor is not None
    assert found.energy_j is not None
    assert found.energy_j == pytest.approx(busy_w * factor * SECONDS.mean())
    assert found.u95_j is not None
    assert 0.5 < found.u95_j / found.energy_j < 1.5
    assert found.method == "estimated"
    assert "raspberry-pi-4" in found.source
    assert found.simulated


def test_the_simulated_sensor_reads_about_the_watts_that_the_plant_may_have() -> None:
    found = joules(PI, SECONDS, "simulated", HERE, seed=1)
    estimate = joules(PI, SECONDS, "estimated", HERE).energy_j
    assert found.energy_j is not None
    assert estimate is not None
    # The plant draws busy watts within 25 %, a graph's own within 15 %, efficiency and ramp on top.
    assert 0.5 < found.energy_j / estimate < 1.8
    assert found.u95_j is not None
    assert 0 < found.u95_j < 0.2 * found.energy_j
    assert found.method == "metered"
    assert found.simulated
    assert "simulated raspberry-pi-4" in found.source


def test_the_same_seed_is_the_same_board() -> None:
    assert joules(PI, SECONDS, "simulated", HERE, 2) == joules(PI, SECONDS, "simulated", HERE, 2)


def test_twice_the_seconds_cost_about_twice_the_joules_on_the_same_board() -> None:
    once, twice = (joules(PI, SECONDS * times, "simulated", HERE, 3).energy_j for times in (1, 2))
    assert once is not None
    assert twice is not None
    assert twice / once == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("method", ["estimated", "simulated"])
def test_without_figures_there_are_no_joules(method: str) -> None:
    blind = replace(PI, simulation=replace(PI.simulation, busy_w=None))
    found = joules(blind, SECONDS, method, HERE)  # type: ignore[arg-type]  # both are methods
    assert found.energy_j is None
    assert found.method == "none"
    assert "busy_w" in found.source


def test_without_a_sensor_nothing_is_metered() -> None:
    bare = replace(PI, rails=(replace(PI.rails[0], sensor="none"),))
    assert joules(bare, SECONDS, "simulated", HERE).energy_j is None
    assert joules(bare, SECONDS, "estimated", HERE).energy_j is not None


@pytest.mark.parametrize("method", ["estimated", "simulated"])
@pytest.mark.parametrize(
    "machine",
    [
        {"arch": "x86_64", "cpu": "AMD EPYC", "cpu_family": 23},
        {"arch": "aarch64", "cpu": None, "cpu_family": None},
        {"arch": "x86_64", "cpu": "?", "cpu_family": None},
        {
            "arch": "x86_64",
            "cpu": "Intel(R) Xeon(R) Processor",
            "cpu_family": 6,
        },  # with which vector units is not said
        {
            "arch": "x86_64",
            "cpu": "11th Gen Intel(R) Core(TM) i7-11700K",
            "cpu_family": 6,
            "cpu_vectors": ["avx512_vnni"],
        },
    ],
)
def test_seconds_of_another_host_than_the_factor_s_give_no_joules(
    method: str, machine: dict[str, object]
) -> None:
    found = joules(PI, SECONDS, method, machine)  # type: ignore[arg-type]  # both are methods
    assert (found.energy_j, found.u95_j, found.method) == (None, None, "none")
    assert "family 26" in found.source


def test_a_file_that_does_not_say_its_processor_s_family_is_of_the_reference_host() -> None:
    assert other_host({"arch": "x86_64", "cpu": "AMD EPYC"}) is None
    assert other_host({}) is None
    assert "family 23" in (other_host({"arch": "x86_64", "cpu": "AMD EPYC", "cpu_family": 23}) or "")


@pytest.mark.parametrize("method", ["estimated", "simulated"])
def test_a_host_that_was_compared_stretches_the_seconds_and_widens_the_interval(method: Method) -> None:
    other = {
        "arch": "x86_64",
        "cpu": "Intel(R) Xeon(R) Processor",
        "cpu_family": 6,
        "cpu_vectors": ["amx_int8"],
    }
    host = host_of(other)
    assert host is not None
    ours, theirs = (joules(PI, seconds, method, machine) for seconds, machine in ((SECONDS * host.stretch, HERE), (SECONDS, other)))  # fmt: skip
    assert theirs.energy_j is not None
    assert ours.u95_j is not None
    assert theirs.energy_j == pytest.approx(ours.energy_j)
    assert theirs.u95_j == pytest.approx(math.hypot(ours.u95_j, host.u95 * theirs.energy_j))
    assert "seconds here x 1.11 ± 30 %" in theirs.source
    assert "±" not in ours.source


def test_every_factor_s_source_names_the_host_that_seconds_are_checked_for() -> None:
    for name in set(list_profiles()) - {"simulated"}:  # which is the host itself
        simulation = load_profile(name).simulation
        if simulation.speed_factor is not None:
            assert f"AMD EPYC family {REFERENCE_FAMILY}" in simulation.source, name
