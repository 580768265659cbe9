"""DynamicPriorityQueue against a brute-force model, and its promises one by one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random
from statistics import fmean

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import DeadlineUnreachableError, ShuttingDownError
from firmware_py.scheduling.admission import MeanSeconds, check_deadline
from firmware_py.scheduling.queue import Claim, DynamicPriorityQueue

BOUND = 4
AGEING_S = 0.5


@dataclass
class Waiting:
    """What the model knows of an entry."""

    name: int
    priority: int
    due_s: float
    epoch: int
    ticket: int | None = None

    @property
    def kind(self) -> str:
        return "odd" if self.name % 2 else "even"

    @property
    def order(self) -> tuple[int, float, int]:
        return (self.epoch - self.priority, self.due_s, self.name)


class QueueMachine(RuleBasedStateMachine):
    """A sorted list is the model; every answer of the queue must be its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.queue: DynamicPriorityQueue[int] = DynamicPriorityQueue(self.clock, BOUND, AGEING_S)
        self.model: list[Waiting] = []
        self.names = 0

    def _expire(self) -> list[tuple[int, str]]:
        gone = [w for w in self.model if w.due_s <= self.clock.now_s()]
        self.model = [w for w in self.model if w.due_s > self.clock.now_s()]
        return sorted((w.name, "deadline_passed") for w in gone)

    @rule(priority=st.integers(0, 9), left_s=st.sampled_from([-1.0, 0.0, 0.1, 0.4, 2.0, 2.0, 30.0]))
    def push(self, priority: int, left_s: float) -> None:
        self.names += 1
        now_s = self.clock.now_s()
        new = Waiting(self.names, priority, now_s + left_s, int(now_s / AGEING_S))
        if left_s <= 0.0:
            expected = [(new.name, "deadline_passed")]
        else:
            expected = self._expire() if len(self.model) >= BOUND else []
            self.model.append(new)
            if len(self.model) > BOUND:
                worst = max(self.model, key=lambda w: w.order)
                self.model.remove(worst)
                expected.append((worst.name, "queue_full" if worst is new else "shed"))
        ticket, dropped = self.queue.push(new.name, Claim(priority, new.due_s, kind=new.kind), 0.25)
        assert sorted((d.item, d.error.code) for d in dropped) == sorted(expected)
        assert (ticket is not None) == (new in self.model)
        assert all(d.error.retry_after_s == 0.25 for d in dropped if d.error.code in {"queue_full", "shed"})
        new.ticket = ticket

    @rule()
    def pop(self) -> None:
        item, dropped = self.queue.pop()
        passed = []
        expected = None
        for waiting in sorted(self.model, key=lambda w: w.order):
            self.model.remove(waiting)
            if waiting.due_s > self.clock.now_s():
                expected = waiting.name
                break
            passed.append(waiting.name)
        assert item == expected
        assert [d.item for d in dropped] == passed

    @rule(duration_s=st.sampled_from([0.01, 0.2, 0.5, 1.7]))
    def wait(self, duration_s: float) -> None:
        self.clock.advance(duration_s)

    @rule()
    def expire(self) -> None:
        assert sorted((d.item, d.error.code) for d in self.queue.expired()) == self._expire()

    @rule(which=st.integers(0, BOUND - 1))
    def cancel(self, which: int) -> None:
        if which < len(self.model):
            waiting = self.model.pop(which)
            assert waiting.ticket is not None
            assert self.queue.cancel(waiting.ticket) == waiting.name
            assert self.queue.cancel(waiting.ticket) is None

    @rule(priority=st.integers(0, 9))
    def count_ahead(self, priority: int) -> None:
        epoch = int(self.clock.now_s() / AGEING_S)
        expected = Counter(w.kind for w in self.model if w.priority - w.epoch >= priority - epoch)
        assert self.queue.ahead(priority) == expected
        assert sum(self.queue.ahead(0).values()) == len(self.queue)

    @invariant()
    def never_over_the_bound(self) -> None:
        assert len(self.queue) == len(self.model) <= BOUND


TestQueueAgainstModel = QueueMachine.TestCase
TestQueueAgainstModel.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)


def test_higher_priority_then_earlier_deadline_then_arrival() -> None:
    queue: DynamicPriorityQueue[str] = DynamicPriorityQueue(VirtualClock())
    for name, priority, due_s in (("c", 5, 9.0), ("b", 5, 3.0), ("a", 7, 9.0), ("d", 5, 9.0)):
        queue.push(name, Claim(priority, due_s), 0.0)
    assert [queue.pop()[0] for _ in range(5)] == ["a", "b", "c", "d", None]


def test_nobody_starves() -> None:
    """One entry of the lowest priority under an endless stream of the highest is served in time."""
    clock = VirtualClock()
    queue: DynamicPriorityQueue[str] = DynamicPriorityQueue(clock, bound=8, ageing_s=AGEING_S)
    queue.push("patient", Claim(0, 3600.0), 0.0)
    while queue.push("urgent", Claim(9, clock.now_s() + 10.0), 0.0)[0] and queue.pop()[0] != "patient":
        clock.advance(0.1)
        assert clock.now_s() <= 10 * AGEING_S + 0.2


@pytest.mark.parametrize("waited_s", [0.0, 3 * AGEING_S])
def test_a_flood_of_one_asker_costs_a_quiet_one_nothing(waited_s: float) -> None:
    """Also when the flood has been waiting for some time: only what is within an asker's share has an age."""
    clock = VirtualClock()
    queue: DynamicPriorityQueue[str] = DynamicPriorityQueue(clock, bound=8, ageing_s=AGEING_S)
    for number in range(8):
        queue.push(f"loud {number}", Claim(5, 100.0 + number, asker="loud"), 0.1)
    clock.advance(waited_s)
    ticket, dropped = queue.push("quiet", Claim(5, 200.0, asker="quiet"), 0.1)
    assert ticket is not None
    assert [(gone.item, gone.error.code) for gone in dropped] == [("loud 7", "shed")]
    for number in range(8, 40):  # however urgent, they shed each other
        _, dropped = queue.push(f"loud {number}", Claim(5, 50.0, asker="loud"), 0.1)
        assert [gone.item.split()[0] for gone in dropped] == ["loud"]
    assert "quiet" in [queue.pop()[0] for _ in range(8)]


def test_priority_goes_before_shares() -> None:
    queue: DynamicPriorityQueue[str] = DynamicPriorityQueue(VirtualClock(), bound=4)
    for number in range(4):
        queue.push(f"alarm {number}", Claim(9, 100.0, asker="alarms"), 0.1)
    ticket, dropped = queue.push("quiet", Claim(5, 10.0, asker="quiet"), 0.1)
    assert ticket is None
    assert [(gone.item, gone.error.code) for gone in dropped] == [("quiet", "queue_full")]


def test_cancelled_entries_do_not_pile_up() -> None:
    """Heaps stay in proportion to what waits, whatever came and went."""
    queue: DynamicPriorityQueue[int] = DynamicPriorityQueue(VirtualClock(), bound=8)
    for number in range(10_000):
        ticket, _ = queue.push(number, Claim(5, 100.0), 0.0)
        assert ticket is not None
        queue.cancel(ticket)
    assert len(queue._first) + len(queue._by_due) < 400


def test_draining_gives_each_asker_an_error() -> None:
    queue: DynamicPriorityQueue[int] = DynamicPriorityQueue(VirtualClock())
    for number in range(3):
        queue.push(number, Claim(5, 1.0), 0.0)
    gone = queue.drain(lambda: ShuttingDownError("stopping"))
    assert sorted(d.item for d in gone) == [0, 1, 2]
    assert len({id(d.error) for d in gone}) == 3
    assert queue.pop() == (None, [])
    assert queue.ahead(0) == {}


@pytest.mark.parametrize(
    ("left_s", "wait_s", "run_s", "code"),
    [
        (0.1, 0.05, 0.04, None),
        (0.1, 0.05, 0.06, "deadline_unreachable"),
        (0.0, 0.0, 0.0, "deadline_passed"),
        (-1.0, 0.0, 0.0, "deadline_passed"),
    ],
)
def test_admission_is_arithmetic(left_s: float, wait_s: float, run_s: float, code: str | None) -> None:
    if code is None:
        check_deadline(left_s, wait_s, run_s)
        return
    with pytest.raises(Exception, match=code) as raised:
        check_deadline(left_s, wait_s, run_s)
    if isinstance(raised.value, DeadlineUnreachableError):
        assert raised.value.retry_after_s == 0.05


def test_the_mean_of_runs_is_one() -> None:
    """7 of 10 take 1 ms, 3 take 10 ms: those who wait for ten wait 37 ms."""
    random, runs, means = Random(0), MeanSeconds(), []
    for _ in range(20_000):
        runs.learn(0.001 if random.random() < 0.7 else 0.010)
        means.append(runs.mean_s)
    assert fmean(means) == pytest.approx(0.0037, rel=0.03)


def test_loading_graphs_is_not_what_a_run_takes() -> None:
    runs = MeanSeconds()
    assert runs.mean_s == 0.0
    runs.learn(0.5)
    assert runs.mean_s == 0.5
    runs.learn(0.001)
    assert runs.mean_s == 0.001
    for run_s in (0.5, *(0.001 for _ in range(20))):  # a long text's graphs
        runs.learn(run_s)
        assert runs.mean_s < 0.003


@pytest.mark.parametrize(("before_s", "after_s"), [(0.001, 0.02), (0.02, 0.001), (0.0, 0.02)])
def test_a_board_that_changed_is_known_after_some_runs(before_s: float, after_s: float) -> None:
    """It was throttled or let go; even where all runs before took the very same time."""
    runs = MeanSeconds()
    for _ in range(2000):
        runs.learn(before_s)
    for _ in range(100):
        runs.learn(after_s)
    assert runs.mean_s == pytest.approx(after_s, rel=0.25)
