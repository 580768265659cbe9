"""Joules name their source, follow the seconds, and are unknown where the profile has no figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conversion.study.joules import joules
from device_profiles.loader import load_profile

PI = load_profile("raspberry-pi-4")
SECONDS = np.random.default_rng(0).uniform(2e-4, 2e-3, 200)


def test_an_estimate_is_the_profile_s_watts_times_stretched_seconds_and_says_so() -> None:
    found = joules(PI, SECONDS, "estimated")
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
    found = joules(PI, SECONDS, "simulated", seed=1)
    estimate = joules(PI, SECONDS, "estimated").energy_j
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
    assert joules(PI, SECONDS, "simulated", 2) == joules(PI, SECONDS, "simulated", 2)


def test_twice_the_seconds_cost_about_twice_the_joules_on_the_same_board() -> None:
    once, twice = (joules(PI, SECONDS * times, "simulated", 3).energy_j for times in (1, 2))
    assert once is not None
    assert twice is not None
    assert twice / once == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("method", ["estimated", "simulated"])
def test_without_figures_there_are_no_joules(method: str) -> None:
    blind = replace(PI, simulation=replace(PI.simulation, busy_w=None))
    found = joules(blind, SECONDS, method)  # type: ignore[arg-type]  # both are methods
    assert found.energy_j is None
    assert found.method == "none"
    assert "busy_w" in found.source


def test_without_a_sensor_nothing_is_metered() -> None:
    bare = replace(PI, rails=(replace(PI.rails[0], sensor="none"),))
    assert joules(bare, SECONDS, "simulated").energy_j is None
    assert joules(bare, SECONDS, "estimated").energy_j is not None
