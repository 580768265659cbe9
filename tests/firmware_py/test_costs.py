"""The cost model: robust seconds, watts from windows, null before anything is known."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_py.contracts.run import HOST, HOST_KEY, GraphKey, RunRecord, StageRun
from firmware_py.costs import CostModel
from firmware_py.watts import Equation

ONE, TWO = GraphKey(16, 1, 4), GraphKey(16, 2, 4)
FIRST, SECOND = ("sha", ONE, "xnnpack"), ("sha", TWO, "xnnpack")
CONFIG = "16/w4-4/balanced/dyn8"


def run_of(*stages_s: float, host_s: float = 0.001, start_s: float = 0.0, sha256: str = "sha") -> RunRecord:
    stages = []
    at_s = start_s
    for number, run_s in enumerate(stages_s, start=1):
        stages.append(StageRun(GraphKey(16, number, 4), "xnnpack", at_s, run_s))
        at_s += run_s
    return RunRecord(sha256, CONFIG, tuple(stages), len(stages), start_s, at_s + host_s, 5)


def test_nothing_is_known_of_a_stage_that_never_ran() -> None:
    costs = CostModel(1.0)
    assert costs.of("sha").stage_s(ONE, "xnnpack") is None
    assert costs.of("sha").stage_j(ONE, "xnnpack") is None
    assert costs.lines() == ()


def test_a_stage_that_never_ran_is_priced_for_the_seconds_that_it_may_take() -> None:
    costs = CostModel(2.0)
    assert costs.of("sha").stage_j(ONE, "xnnpack", 0.01) == pytest.approx(0.02)
    assert CostModel(None).of("sha").stage_j(ONE, "xnnpack", 0.01) is None
    costs.learn(run_of(0.004))
    assert costs.of("sha").stage_j(ONE, "xnnpack", 0.01) == pytest.approx(0.008), (
        "its own seconds count from then on"
    )


def test_seconds_converge_to_the_mean_with_its_spread() -> None:
    rng, costs = random.Random(0), CostModel(1.0)
    for _ in range(2000):
        costs.learn(run_of(rng.gauss(0.004, 0.0004)))
    cost = costs.of("sha").stage(ONE, "xnnpack")
    assert cost.run_s == pytest.approx(0.004, rel=0.03)
    assert cost.run_sd_s == pytest.approx(0.0004, rel=0.3)


def test_one_page_fault_does_not_make_a_stage_slow() -> None:
    costs = CostModel(1.0)
    for _ in range(200):
        costs.learn(run_of(0.004))
    costs.learn(run_of(0.4))
    assert costs.of("sha").stage_s(ONE, "xnnpack") == pytest.approx(0.004, rel=0.1)


def test_a_lasting_slowdown_is_followed() -> None:
    costs = CostModel(1.0)
    for run_s in [0.004] * 200 + [0.008] * 400:
        costs.learn(run_of(run_s))
    assert costs.of("sha").stage_s(ONE, "xnnpack") == pytest.approx(0.008, rel=0.1)


def test_delegates_are_told_apart() -> None:
    costs = CostModel(1.0)
    costs.learn(run_of(0.004))
    assert costs.of("sha").stage_s(ONE, "edgetpu") is None


def test_without_a_prior_joules_are_null_until_windows_taught_them() -> None:
    costs = CostModel(None)
    run = run_of(0.01)
    costs.learn(run)
    assert costs.charge(run) is None
    assert costs.lines()[0].energy_j is None
    for _ in range(30):
        costs.learn_window(Equation({FIRST: 0.5}, 0.01, 1.0, 0.02))
    charge = costs.charge(run)
    assert charge is not None
    assert charge.energy_j / 0.011 == pytest.approx(2.0, rel=0.2)
    assert charge.reconciled


def test_bundles_with_graphs_of_the_same_names_are_told_apart() -> None:
    costs, runs = CostModel(2.0), {"home": (0.001, 0.0005), "big": (0.020, 0.0030)}
    for _ in range(200):
        for sha256, (stage_s, host_s) in runs.items():
            costs.learn(run_of(stage_s, host_s=host_s, sha256=sha256))
    lines = {line.bundle_sha256: line for line in costs.lines()}
    assert (len(costs.lines()), set(lines)) == (2, set(runs))
    for sha256, (stage_s, host_s) in runs.items():
        own, line = costs.of(sha256), lines[sha256]
        assert own.stage_s(ONE, "xnnpack") == pytest.approx(stage_s)
        assert own.stage_j(ONE, "xnnpack") == pytest.approx(2.0 * stage_s)
        assert own.stage_j(*HOST) == pytest.approx(2.0 * host_s)
        assert line.configuration == CONFIG
        assert line.run_s == pytest.approx(stage_s + host_s)
        assert line.energy_j == pytest.approx(2.0 * line.run_s)
        assert line.run_sd_s < 0.1 * line.run_s
    assert costs.of("new").stage_s(ONE, "xnnpack") is None


def test_watts_of_one_graph_in_two_bundles_are_told_apart() -> None:
    """The host's watts are common to both: the same code runs there."""
    rng, costs, other = random.Random(1), CostModel(1.0), ("other", ONE, "xnnpack")
    for _ in range(300):
        first_s, second_s, host_s = (rng.uniform(0.0, 0.3) for _ in range(3))
        net_j = 1.3 * first_s + 0.8 * second_s + host_s + rng.gauss(0.0, 0.01)
        costs.learn_window(Equation({FIRST: first_s, other: second_s, HOST_KEY: host_s}, 1e-3, net_j, 0.01))
    for sha256, watt in (("sha", 1.3), ("other", 0.8)):
        charge = costs.charge(run_of(0.020, host_s=0.010, sha256=sha256))
        assert charge is not None
        assert charge.energy_j == pytest.approx(0.020 * watt + 0.010, rel=0.05)
        assert charge.reconciled


def test_watts_of_two_graphs_are_told_apart_by_their_mix() -> None:
    rng, costs = random.Random(1), CostModel(1.0)
    for _ in range(300):
        first_s, second_s = rng.uniform(0.0, 0.5), rng.uniform(0.0, 0.5)
        net_j = 1.3 * first_s + 0.8 * second_s + rng.gauss(0.0, 0.01)
        seconds = {FIRST: first_s, SECOND: second_s}
        costs.learn_window(Equation(seconds, 1e-3, net_j, 0.01))
    assert costs.watt(FIRST) == pytest.approx(1.3, rel=0.05)
    assert costs.watt(SECOND) == pytest.approx(0.8, rel=0.05)


def test_what_one_graph_taught_helps_a_new_one() -> None:
    costs = CostModel(1.0)
    for _ in range(100):
        costs.learn_window(Equation({FIRST: 0.5}, 1e-3, 1.0, 0.01))
    assert costs.watt(SECOND) > 1.5


def test_no_graph_gives_energy_back() -> None:
    costs = CostModel(1.0)
    for _ in range(50):
        costs.learn_window(Equation({FIRST: 0.5, HOST_KEY: 0.1}, 1e-3, -1.0, 0.01))
        assert costs.watt(FIRST) >= 0.0
        assert costs.watt(HOST_KEY) >= 0.0


def test_an_outlying_window_is_believed_less() -> None:
    costs = CostModel(1.0)
    equation = Equation({FIRST: 0.5}, 1e-3, 0.5, 0.01)
    for _ in range(50):
        costs.learn_window(equation)
    before = costs.watt(FIRST)
    costs.learn_window(Equation({FIRST: 0.5}, 1e-3, 5.0, 0.01))
    assert abs(costs.watt(FIRST) - before) < 0.25


def test_a_shared_doubt_is_not_averaged_away() -> None:
    exact, doubtful = CostModel(1.0), CostModel(1.0)
    for _ in range(200):
        exact.learn_window(Equation({FIRST: 0.5}, 1e-3, 0.5, 0.01))
        doubtful.learn_window(Equation({FIRST: 0.5}, 1e-3, 0.5, 0.01, shared_sd_j=0.05))
    sure, unsure = exact.charge(run_of(0.01)), doubtful.charge(run_of(0.01))
    assert sure is not None
    assert unsure is not None
    assert unsure.parameter_sd_j**2 - sure.parameter_sd_j**2 == pytest.approx((0.1 * 0.011) ** 2, rel=0.1)


def test_windows_of_milliseconds_say_nothing_of_the_doubt_that_windows_share() -> None:
    """Their joules drown in the idle draw: a quiet hour must not widen what busy windows taught."""
    model, key = CostModel(2.0), FIRST
    for _ in range(20):
        model.learn_window(Equation({key: 0.4}, 0.001, 0.8, 0.01, 0.01))
    before = model.charge(run_of(0.01))
    for _ in range(60):
        model.learn_window(Equation({HOST_KEY: 1e-4}, 1e-8, 2e-4, 0.005, 0.005))
    after = model.charge(run_of(0.01))
    assert before is not None
    assert after is not None
    assert after.reconciled
    assert after.parameter_sd_j == pytest.approx(before.parameter_sd_j, rel=0.25)


def test_a_published_line_is_the_share_weighted_sum() -> None:
    costs = CostModel(2.0)
    for number in range(1000):
        costs.learn(run_of(0.004) if number % 4 else run_of(0.004, 0.006))
    (line,) = costs.lines()
    assert line.configuration == CONFIG
    assert line.run_s == pytest.approx(0.001 + 0.004 + 0.25 * 0.006, rel=0.1)
    assert line.energy_j == pytest.approx(2.0 * line.run_s, rel=0.01)
    assert line.run_sd_s == pytest.approx(0.006 * (0.25 * 0.75) ** 0.5, rel=0.2)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(-5.0, 20.0), st.floats(1e-6, 1.0)),
        max_size=40,
    )
)
def test_any_windows_leave_watts_and_variances_sane(rows: list[tuple[float, float, float, float]]) -> None:
    costs = CostModel(1.0)
    for first_s, second_s, net_j, sd_j in rows:
        seconds = {FIRST: first_s, SECOND: second_s}
        costs.learn_window(Equation(seconds, 0.01, net_j, sd_j))
    charge = costs.charge(run_of(0.01, 0.01))
    assert charge is not None
    assert charge.energy_j >= -1e-12
    assert charge.parameter_sd_j >= 0.0
    p = costs._watts._p
    assert all(p[at][at] >= -1e-9 for at in range(len(p)))


def test_keys_are_bounded() -> None:
    costs = CostModel(1.0)
    for bucket in range(1, 500):
        costs.learn_window(Equation({("sha", GraphKey(bucket, 1, 4), "xnnpack"): 0.5}, 1e-3, 0.5, 0.01))
    assert len(costs._watts._watts) <= 66


def test_threads_may_charge_while_windows_are_learned() -> None:
    costs, run = CostModel(1.0), run_of(0.004, 0.006)
    failures: list[object] = []

    def charge() -> None:
        for _ in range(3000):
            found = costs.charge(run)
            if found is None or not 0.0 <= found.energy_j < 1.0:
                failures.append(found)

    threads = [threading.Thread(target=charge) for _ in range(3)]
    for thread in threads:
        thread.start()
    for bucket in range(1, 40):
        costs.learn_window(Equation({("sha", GraphKey(bucket, 1, 4), "xnnpack"): 0.5}, 1e-3, 0.5, 0.01))
    for thread in threads:
        thread.join()
    assert failures == []
