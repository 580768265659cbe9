"""An accelerator whose device is absent, comes, and goes again: said once, served below, let in when it answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from firmware_py.caches.models import ModelCache
from firmware_py.compose import Assembly, assembled
from firmware_py.config import AgentConfig
from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.limits import Limits
from firmware_py.inference.engine import Outcome

BOARD = Path(__file__).resolve().parents[3] / "device_profiles" / "boards" / "simulated.toml"
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class ShiftedClock(SystemClock):
    """Set forward by hand. Of the machine's own time a hundredth counts: a slow one must not end a pause."""

    __slots__ = ("_start_s", "ahead_s")

    def __init__(self) -> None:
        self._start_s = super().now_s()
        self.ahead_s = 0.0

    def now_s(self) -> float:
        return self._start_s + 0.01 * (super().now_s() - self._start_s) + self.ahead_s


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """Where the double looks for its device; nothing is there yet."""
    return tmp_path / "device"


@pytest.fixture
def config(shipped_path: Path, double: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AgentConfig:
    """A board that has the double above its processor."""
    from firmware_py.bundles.read import read_bundle
    from firmware_py.bundles.verify import Trust

    recipe = read_bundle(shipped_path, Trust(None, allow_unsigned=True)).manifest.recipe
    rung = (
        f'[[delegates]]\nname = "edgetpu"\nlibrary = "{double}"\nrecipe = "{recipe}"\nsource = "a test double"\n'
        f'options = {{ device = "{tmp_path}/device" }}\n\n'
    )
    text = BOARD.read_text(encoding="utf-8").replace('name = "simulated"', 'name = "doubled"')
    profile = tmp_path / "doubled.toml"
    profile.write_text(text.replace("[[delegates]]", rung + "[[delegates]]", 1), encoding="utf-8")
    monkeypatch.setattr("firmware_py.compose.detect", lambda root: "doubled")
    return AgentConfig(
        profile=str(profile), model=(str(shipped_path),), store=str(tmp_path / "store"), meter="off"
    )


@pytest.fixture
def board(config: AgentConfig, clock: ShiftedClock) -> Iterator[Assembly]:
    """The board's parts."""
    with assembled(config, clock) as assembly:
        yield assembly


def run(assembly: Assembly) -> Outcome:
    encoded = assembly.served["home"].task.encode({"text": "turn on the kitchen light"})
    due_s = assembly.ground.clock.now_s() + 60.0
    return assembly.slots[0].engines["home"].run(encoded, Limits(due_s, "balanced"))


def test_absent_then_there_then_served_by_it(
    board: Assembly, clock: ShiftedClock, device: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(board)
    assert (first.delegate, first.record.fallback) == ("xnnpack", "edgetpu: out")
    assert any("no device on the bus" in record.getMessage() for record in caplog.get_records("setup"))

    board.heal(board.slots[0])  # its pause is not over: nothing is tried
    clock.ahead_s += 5.0
    board.heal(board.slots[0])  # tried, still absent, a longer pause
    clock.ahead_s += 5.0
    device.touch()
    board.heal(board.slots[0])
    assert run(board).delegate == "xnnpack"

    clock.ahead_s += 5.0
    with caplog.at_level(logging.WARNING):
        board.heal(board.slots[0])
    assert "delegate edgetpu is back" in caplog.text
    again = run(board)
    assert (again.delegate, again.record.fallback) == ("edgetpu", None)
    assert again.verdict.label_index == first.verdict.label_index


def test_all_rungs_together_stay_within_the_memory_budget(config: AgentConfig, device: Path) -> None:
    device.touch()
    budget_bytes = 16 * 2**20
    with assembled(replace(config, memory_bytes=budget_bytes)) as assembly:
        engine = assembly.slots[0].engines["home"]
        runners = [runner for runner in engine.runners.values() if isinstance(runner, ModelCache)]
        for runner in runners:
            runner.load(graph.key for graph in engine.weights.manifest.graphs)
        assert [runner.delegate for runner in runners] == ["edgetpu", "xnnpack"]
        assert sum(runner.resident_bytes for runner in runners) <= budget_bytes
