"""The cost model where the board's draw changes: it follows, and its intervals keep their word."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from firmware_py.contracts.run import HOST, HOST_KEY, CostKey, GraphKey, RunRecord, StageRun
from firmware_py.costs import CostModel
from firmware_py.watts import Charge, Equation

WATTS, METER_SD_J, RUN_SD = 2.0, 0.02, 0.1
STAGES = tuple(("sha", GraphKey(16, number, 4), "xnnpack") for number in (1, 2))
STAGE_S, HOST_S, DEEPER = 0.002, 0.001, 0.4


def run_of(stages: int) -> RunRecord:
    runs = tuple(StageRun(*STAGES[at][1:], at * STAGE_S, STAGE_S) for at in range(stages))
    return RunRecord("sha", "config", runs, stages, 0.0, stages * STAGE_S + HOST_S, 5)


@dataclass(slots=True)
class Board:
    """A board whose every stage and host draw the same watts, and a model that meters its windows."""

    rng: random.Random
    costs: CostModel = field(default_factory=lambda: CostModel(WATTS))
    covered: list[bool] = field(default_factory=list)

    def charge(self, stages: int) -> Charge:
        charge = self.costs.charge(run_of(stages))
        assert charge is not None
        assert charge.energy_j >= 0.0
        return charge

    def window(self, factor: float, runs: int = 100) -> float:
        """One window of runs of which some go deeper; the charge of all over the truth."""
        deeper = sum(self.rng.random() < DEEPER for _ in range(runs))
        seconds: dict[CostKey, float] = {}
        squares = charged = true = metered = 0.0
        for stages, count in ((1, runs - deeper), (2, deeper)):
            charge, truth = self.charge(stages), factor * WATTS * run_of(stages).run_s
            self._cover(charge, truth)
            squares += count * charge.energy_j**2
            charged += count * charge.energy_j
            true += count * truth
            metered += count * truth + self.rng.gauss(0.0, RUN_SD * truth * math.sqrt(count))
            for key in STAGES[:stages]:
                seconds[key] = seconds.get(key, 0.0) + count * STAGE_S
            seconds[HOST_KEY] = seconds.get(HOST_KEY, 0.0) + count * HOST_S
        net_j = metered + self.rng.gauss(0.0, METER_SD_J)
        self.costs.learn_window(Equation(seconds, squares, net_j, METER_SD_J))
        return charged / true

    def play(self, windows: int, factor: Callable[[int], float] = lambda _: 1.0) -> list[float]:
        self.covered.clear()
        return [self.window(factor(at)) for at in range(windows)]

    def _cover(self, charge: Charge, truth: float) -> None:
        half_j = 1.96 * math.hypot(charge.run_sd_j, charge.parameter_sd_j)
        self.covered.append(abs(charge.energy_j - truth * self.rng.gauss(1.0, RUN_SD)) <= half_j)


@pytest.fixture(params=[1, 2, 3])
def board(request: pytest.FixtureRequest) -> Board:
    made = Board(random.Random(request.param))
    assert made.play(200)[-1] == pytest.approx(1.0, abs=0.03)
    return made


def share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.7, 0.85, 0.9, 1.1, 1.5, 2.0, 3.0])
def test_a_lasting_step_is_followed(board: Board, factor: float) -> None:
    ratios = board.play(900, lambda _: factor)
    assert ratios[0] == pytest.approx(1.0 / factor, rel=0.05)
    assert ratios[12:20] == pytest.approx([1.0] * 8, abs=0.1)
    assert ratios[20:] == pytest.approx([1.0] * 880, abs=0.1)
    assert share(board.covered[40:]) >= 0.9
    assert board.charge(1).reconciled


@pytest.mark.parametrize("end", [0.8, 1.25])
def test_a_slow_drift_is_followed(board: Board, end: float) -> None:
    ratios = board.play(1800, lambda at: 1.0 + (end - 1.0) * min(1.0, at / 900))
    assert ratios == pytest.approx([1.0] * 1800, abs=0.1)
    assert ratios[950:] == pytest.approx([1.0] * 850, abs=0.06)
    assert share(board.covered) >= 0.9


@pytest.mark.parametrize("end", [0.8, 1.25])
def test_after_a_drift_a_new_graph_is_charged_as_the_others(board: Board, end: float) -> None:
    """What windows cannot tell apart, the common watts and each graph's own, must not move against each other."""
    board.play(1800, lambda at: 1.0 + (end - 1.0) * min(1.0, at / 900))
    assert board.costs.watt(("sha", GraphKey(32, 1, 4), "xnnpack")) == pytest.approx(end * WATTS, rel=0.15)
    for key in (*STAGES, HOST_KEY):
        assert board.costs.watt(key) == pytest.approx(end * WATTS, rel=0.15)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.3])
def test_after_a_dip_the_old_watts_return(board: Board, factor: float) -> None:
    board.play(30, lambda _: factor)
    ratios = board.play(300)
    assert ratios[12:] == pytest.approx([1.0] * 288, abs=0.1)
    assert ratios[30:] == pytest.approx([1.0] * 270, abs=0.05)
    assert share(board.covered[40:]) >= 0.9


@pytest.mark.parametrize("factor", [-1.0, 0.01, 0.3, 3.0, 30.0])
def test_single_outlying_windows_change_little(board: Board, factor: float) -> None:
    ratios = board.play(200, lambda at: factor if at % 10 == 5 else 1.0)
    usual = [ratio for at, ratio in enumerate(ratios) if at % 10 != 5]
    assert usual == pytest.approx([1.0] * len(usual), abs=0.08)


def test_nothing_given_out_is_negative_where_the_state_is(board: Board) -> None:
    for _ in range(60):
        seconds = {STAGES[0]: 0.2, HOST_KEY: 0.1}
        board.costs.learn_window(Equation(seconds, 1e-4, 0.0, 0.001))
        board.costs.learn_window(Equation({STAGES[0]: 0.3}, 1e-4, 0.3, 0.001))
    assert board.costs._watts.of(HOST_KEY)[0] < 0.0
    assert board.costs.watt(HOST_KEY) == 0.0
    assert board.costs.of("sha").stage_j(*HOST) in {None, 0.0}
    board.costs.learn(run_of(1))
    assert board.costs.of("sha").stage_j(*HOST) == 0.0
    charge = board.costs.charge(RunRecord("sha", "config", (), 0, 0.0, 0.01, 5))
    assert charge is not None
    assert charge.energy_j == 0.0
    assert not charge.reconciled


def test_many_hours_without_a_change_leave_the_covariance_one() -> None:
    """What rounding does to the covariance must not add up: after some hours a variance was negative."""
    costs, rng = CostModel(WATTS), random.Random(4)
    for _ in range(15_000):
        seconds = {STAGES[0]: 0.2, STAGES[1]: rng.uniform(0.05, 0.11), HOST_KEY: 0.1}
        net_j = WATTS * sum(seconds.values()) + rng.gauss(0.0, METER_SD_J)
        costs.learn_window(Equation(seconds, 5e-3, net_j, METER_SD_J))
    p = costs._watts._p
    size = len(p)
    assert all(p[at][other] == p[other][at] for at in range(size) for other in range(at))
    charge = costs.charge(run_of(2))
    assert charge is not None
    assert charge.energy_j == pytest.approx(WATTS * run_of(2).run_s, rel=0.05)


def test_hours_of_metering_teach_no_smaller_scatter_than_runs_have() -> None:
    """What a window says of single runs drowns in the meter's noise; in the mean it must still be right."""
    board = Board(random.Random(6))
    board.play(2000)
    board.play(6000)
    assert 0.92 <= share(board.covered) <= 0.99
