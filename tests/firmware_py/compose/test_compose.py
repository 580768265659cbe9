"""Real parts from a profile and a configuration: verified, tested, metered; refused when not."""

from __future__ import annotations

import logging
import math
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from device_profiles.loader import load_profile
from device_profiles.profile import PowerRail, ProfileError
from firmware_py.backends.scripted import ScriptedGraph
from firmware_py.bundles import sign
from firmware_py.bundles.write import member, write_bundle
from firmware_py.compose import CHECKOUT, assembled, board_of, build_node, node_name, profile_values, shipped
from firmware_py.compose.models import open_slot
from firmware_py.config import AgentConfig
from firmware_py.contracts.clock import Clock, SystemClock, VirtualClock
from firmware_py.contracts.errors import (
    BundleError,
    BundleMissingError,
    BundleUnsignedError,
    BundleUntrustedError,
    ConfigError,
    GoldenTestError,
    GraphError,
    HardwareError,
    SensorAbsentError,
    SensorBusError,
)
from firmware_py.contracts.golden import parse_golden, write_golden
from firmware_py.contracts.reply import Route
from firmware_py.contracts.request import Qos, Request
from firmware_py.contracts.seams import Tensors
from firmware_py.energy.integrate import Span
from firmware_py.energy.meters.base import Meter
from firmware_py.energy.meters.ina219 import Ina219
from firmware_py.energy.open import SimulatedBoard, open_meter, wiring_of
from firmware_py.energy.simulated_bus import Chip, SimulatedBus
from firmware_py.energy.watch import EnergyWatch
from firmware_py.node_parts import Slot
from firmware_py.resources.governor import Ask
from firmware_py.testing.tiny_bundle import tiny_files, write_tiny_bundle

CLOCK = SystemClock()


@pytest.fixture
def config(tiny_path: Path, tmp_path: Path) -> AgentConfig:
    """The tiny bundle on the simulated board, without a meter."""
    return AgentConfig(
        node="n1",
        profile="simulated",
        model=(str(tiny_path),),
        store=str(tmp_path / "store"),
        allow_unsigned=True,
        meter="off",
    )


def ask(text: str = "turn on the light", energy_j: float | None = None) -> Request:
    """A request whose deadline is beyond the test's patience."""
    return Request("1", "home", {"text": text}, Qos(60.0, energy_j=energy_j), arrived_s=CLOCK.now_s())


def until(condition: Callable[[], bool]) -> None:
    """Wait for what a metered second brings; on a busy machine many are dropped for want of samples."""
    for _ in range(1200):
        if condition():
            return
        threading.Event().wait(0.05)
    pytest.fail("the condition did not come true")


def test_a_node_answers_and_says_that_it_is_simulated(config: AgentConfig) -> None:
    with build_node(config) as node:
        reply = node.answer(ask())
        assert (reply.status, reply.route.simulated, reply.route.node) == ("ok", True, "n1")
        assert (node.board.profile, node.board.simulated) == ("simulated", True)
        assert reply.energy.method == "estimated"
        assert reply.energy.simulated
        assert node.board.cost_lines()[0].configuration == "8/w4-4-4/balanced/fp32"


def test_a_simulated_board_is_metered_through_its_plant(config: AgentConfig) -> None:
    """The real driver reads the simulated sensor; closing the node ends the plant's process."""
    with build_node(replace(config, meter="auto")) as node:
        until(lambda: node.answer(ask()) is not None and 1.0 < (node.board.power_w() or 0.0) < 15.0)
        assert node.board.power_source() == "ina219"


def test_asked_joules_bind_the_first_time_that_a_stage_could_run(config: AgentConfig) -> None:
    """A metered node that has timed nothing yet: its profile's watts and the stage before price the next."""
    with build_node(replace(config, meter="auto", calibrate_s=0.0, cache_entries=0)) as node:

        def route(text: str, energy_j: float | None) -> Route:
            return node.answer(ask(text, energy_j)).route

        first = route("on", 1e-12)  # not sure at exit 1
        assert (first.exit, first.over_budget) == (1, True)
        assert first.fallback == "exit 1: no joules for the next stage"
        longer = route("on " * 9, 1e-12)  # the next length, where nothing ran either
        assert (longer.exit, longer.over_budget, longer.configuration) == (1, True, "16/w4-4-4/balanced/fp32")
        for energy_j in (None, 10.0):
            full = route("on", energy_j)
            assert (full.exit, full.over_budget, full.fallback) == (2, False, None)


def test_a_board_whose_watts_nobody_knows_bounds_nothing(config: AgentConfig) -> None:
    with build_node(replace(config, profile="coral-dev-board")) as node:
        reply = node.answer(ask("on", 1e-12))
        assert (reply.route.exit, reply.route.over_budget, reply.energy.energy_j) == (2, False, None)


def test_a_board_without_a_readable_sensor_says_so_once(
    config: AgentConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING),
        build_node(replace(config, meter="auto", profile="coral-dev-board")) as node,
    ):
        assert node.board.power_source() == "none"
        node.answer(ask())
    said = [r.message for r in caplog.records if "joules are estimated" in r.message]
    assert len(said) == 1


@pytest.mark.parametrize("profile", ["simulated", "raspberry-pi-5", "raspberry-pi-zero-2w"])
def test_slower_boards_take_longer(
    config: AgentConfig, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    """Each stage takes the profile's factor times what it took here: 2 ms of a clock that nothing else moves."""
    clock, run = VirtualClock(), ScriptedGraph.run

    def timed(graph: ScriptedGraph, tensors: Tensors) -> Tensors:
        clock.advance(0.002)
        return run(graph, tensors)

    monkeypatch.setattr(ScriptedGraph, "run", timed)
    factor = load_profile(profile).simulation.speed_factor
    assert factor is not None
    assert (factor > 1.0) == (profile != "simulated")
    with build_node(replace(config, profile=profile), clock) as node:
        reply = node.answer(Request("1", "home", {"text": "on"}, arrived_s=clock.now_s()))
    assert (reply.status, reply.route.simulated, reply.route.exit) == ("ok", True, 2)
    assert reply.time.run_s == pytest.approx(2 * factor * 0.002)


def test_a_board_that_no_source_times_cannot_be_simulated(config: AgentConfig) -> None:
    with pytest.raises(ConfigError, match="cannot be simulated"):
        build_node(replace(config, profile="qemu-virt"))
    with pytest.raises(ProfileError, match="no-such-board"):
        build_node(replace(config, profile="no-such-board"))


def test_unsigned_untrusted_and_missing_bundles_are_refused(config: AgentConfig, tmp_path: Path) -> None:
    path = tmp_path / "own.bundle"
    write_tiny_bundle(path)
    strict = replace(config, model=(str(path),), allow_unsigned=False)
    with pytest.raises(BundleUnsignedError):
        build_node(strict)
    sign.sign_file(path, sign.new_key(tmp_path / "keys", "me"))
    with pytest.raises(BundleUntrustedError):
        build_node(strict)
    with build_node(replace(strict, trust=str(tmp_path / "keys"))) as node:
        assert node.answer(ask()).status == "ok"
    with pytest.raises(BundleMissingError):
        build_node(replace(config, model=(str(tmp_path / "none.bundle"),)))
    with pytest.raises(ConfigError, match="trust folder"):
        build_node(replace(config, trust=str(tmp_path / "nowhere")))


def test_a_bundle_that_answers_wrongly_is_refused_at_start(config: AgentConfig, tmp_path: Path) -> None:
    manifest, files = tiny_files()
    rows = [replace(row, logits=((9.0, 9.0, 9.0),) * 3) for row in parse_golden(files["golden.jsonl"])]
    files["golden.jsonl"] = write_golden(rows)
    manifest = replace(manifest, golden=member("golden.jsonl", files["golden.jsonl"]))
    write_bundle(tmp_path / "wrong.bundle", manifest, files)
    wrong = replace(config, model=(str(tmp_path / "wrong.bundle"),))
    with pytest.raises(GoldenTestError):
        build_node(wrong)
    with build_node(replace(wrong, self_test="never")) as node:
        assert node.answer(ask()).status == "ok"


def test_two_bundles_of_one_task_are_refused(config: AgentConfig) -> None:
    with pytest.raises(ConfigError, match="serve the task"):
        build_node(replace(config, model=config.model * 2))


def test_names_fit_a_topic_level(config: AgentConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "My Pi_5.local")
    assert node_name(replace(config, node="")) == "my-pi-5-local"
    assert node_name(config) == "n1"


def test_the_machine_decides_what_is_simulated(tmp_path: Path) -> None:
    """A board that this machine is, is real; any other is played."""
    tree = tmp_path / "proc/device-tree"
    tree.mkdir(parents=True)
    (tree / "compatible").write_bytes(b"raspberrypi,5-model-b\0brcm,bcm2712\0")
    assert (board_of("", tmp_path)[0].name, board_of("", tmp_path)[1]) == ("raspberry-pi-5", False)
    assert board_of("raspberry-pi-4", tmp_path)[1]
    assert board_of("", tmp_path / "none")[0].name == "simulated"


def test_small_boards_hold_fewer_graphs() -> None:
    assert profile_values("raspberry-pi-zero-2w")["memory_bytes"] < 48 * 2**20
    assert profile_values("raspberry-pi-5") == {}


def test_an_assembly_is_closed_with_its_block(config: AgentConfig) -> None:
    with assembled(config) as assembly:
        engine = assembly.slots[0].engines["home"]
        encoded = assembly.served["home"].task.encode({"text": "on"})
        assert len(engine.every_exit(encoded)) == 3


def test_the_agent_imports_no_training_broker_or_bus_library() -> None:
    """What a node need not load, it does not load."""
    code = (
        "import sys, firmware_py.agent, firmware_py.compose\n"
        "bad = {'torch', 'onnx', 'paho', 'smbus2', 'cryptography', 'pytest', 'ai_edge_litert', 'tflite_runtime'}\n"
        "print(sorted(bad & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_meter_begins_when_the_start_is_over(
    config: AgentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unpacking, self-test and loading keep a slow board busy for seconds, and no run of theirs is charged."""
    order: list[str] = []
    start, slot = EnergyWatch.start, open_slot

    def noted_slot(*parts: Any) -> Slot:
        made = slot(*parts)
        order.append("graphs")
        return made

    def noted_start(watch: EnergyWatch) -> None:
        order.append("meter")
        start(watch)

    monkeypatch.setattr("firmware_py.compose.node.open_slot", noted_slot)
    monkeypatch.setattr(EnergyWatch, "start", noted_start)
    with assembled(replace(config, meter="auto")) as assembly:
        assert order == ["graphs", "meter"]
        assert assembly.ground.energy.watch is not None


def test_a_node_that_checked_its_bundle_holds_no_cryptography(tmp_path: Path) -> None:
    """The library for signatures would take 10 MB of every board for one check at the start."""
    bundle = CHECKOUT / "models" / "home-en.bundle"
    code = (
        "import sys\nfrom pathlib import Path\nfrom firmware_py.bundles.read import unpack\n"
        "from firmware_py.compose import trust_of\nfrom firmware_py.config import AgentConfig\n"
        f"unpack(Path({str(bundle)!r}), trust_of(AgentConfig()), Path({str(tmp_path)!r}))\n"
        "print('cryptography' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
    assert any(tmp_path.iterdir())


def test_over_the_power_limit_only_the_first_exit_runs(config: AgentConfig) -> None:
    """The rail's power reaches the governor; a limit of a milliwatt is passed by any board."""
    with assembled(replace(config, meter="auto", power_limit_w=0.001)) as assembly:
        ask_ = Ask(Qos(), CLOCK.now_s() + 60.0, "balanced")
        until(lambda: assembly.limits(ask_, 3).max_stages == 1)
    with assembled(config) as assembly:
        assert assembly.limits(ask_, 3).max_stages is None


@pytest.mark.parametrize("error", [GraphError("out"), RuntimeError("a defect")])
def test_a_calibration_row_that_fails_is_told_to_the_ledger(
    config: AgentConfig, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with assembled(replace(config, meter="auto")) as assembly:
        uncharged, ever = assembly.ground.energy.ledger.uncharged, Span(0.0, math.inf)
        (slot,) = assembly.slots
        assert assembly.ground.energy.watch is not None
        assembly.ground.energy.watch.answered = True
        assembly.calibrate(slot)
        assert not uncharged.touches(ever)

        def broken(*_: object) -> None:
            CLOCK.sleep(0.002)
            raise error

        monkeypatch.setattr(slot.engines["home"], "run", broken)
        with pytest.raises(type(error)):
            assembly.calibrate(slot)
        assert uncharged.touches(ever)


@pytest.mark.parametrize("error", [SensorAbsentError("gone later"), SensorBusError("stuck bus")], ids=str)
def test_answers_go_on_whatever_the_sensor_does(
    config: AgentConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: HardwareError,
) -> None:
    """Said once with what it means; no joules are claimed as measured."""
    said, reads = threading.Event(), 0

    def opened(rail: PowerRail, clock: Clock, board: SimulatedBoard | None) -> Meter | None:
        meter = open_meter(rail, clock, board)
        assert meter is not None

        def read() -> None:
            nonlocal reads
            reads += 1
            if reads > 1:
                said.set()
            raise error

        monkeypatch.setattr(meter, "read", read)
        return meter

    monkeypatch.setattr("firmware_py.compose.energy.late_meter", opened)
    with build_node(replace(config, meter="auto")) as node:
        assert said.wait(60.0)
        reply = node.answer(ask())
        assert (reply.status, reply.energy.method, reply.energy.source) == ("ok", "estimated", "none")
        assert node.board.power_w() is None
    assert len([record for record in caplog.records if error.message in record.getMessage()]) == 1


class Supply:
    """Five volt, half an ampere."""

    def means(self, spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(5.0, 0.5)] * len(spans)


class Adapters:
    """What opening an I2C bus of this machine gives: an error, until the test plugs a sensor in."""

    def __init__(self, error: HardwareError, clock: Clock) -> None:
        self.error: HardwareError | None = error
        self.clock = clock
        self.tries: list[float] = []
        self.refused = threading.Event()

    def open(self, number: int) -> SimulatedBus:
        assert number == 1
        self.tries.append(self.clock.now_s())
        if self.error is not None:
            if len(self.tries) > 1:
                self.refused.set()
            raise self.error
        return SimulatedBus(Supply(), Chip(0.1), self.clock, random.Random(0))


LATE = [SensorAbsentError("no such bus"), SensorBusError("the bus is busy")]


@pytest.mark.parametrize("error", LATE, ids=str)
def test_a_sensor_that_comes_after_the_node_is_read_from_then_on(
    config: AgentConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: HardwareError,
) -> None:
    """A kernel module may load later. Its absence is said once with code and hint, its coming once."""
    adapters = Adapters(error, CLOCK)
    real = (load_profile("raspberry-pi-4"), False)
    monkeypatch.setattr("firmware_py.compose.ground.board_of", lambda _: real)
    monkeypatch.setattr("firmware_py.energy.open.LinuxBus", adapters.open)
    with build_node(replace(config, meter="auto", calibrate_s=0.0)) as node:
        board = node.board
        assert adapters.refused.wait(10.0)
        energy = node.answer(ask()).energy
        assert (energy.method, energy.source) == ("estimated", "none")
        assert (board.power_source(), board.power_w(), board.energy_method()) == ("none", None, "estimated")
        assert board.reconciled is not None
        assert board.reconciled() is None
        adapters.error = None
        power_w = None
        for _ in range(1200):  # a host that is busy with other things may starve some windows
            power_w = board.power_w()
            if power_w is not None:
                break
            threading.Event().wait(0.05)
        assert power_w == pytest.approx(2.5, rel=0.05)
        assert board.power_source() == "ina219"
        assert board.reconciled() is not None
        assert node.answer(ask()).status == "ok"
    absent, *between, came = [r.getMessage() for r in caplog.records if r.name == "firmware_py.energy.watch"]
    assert not any(error.message in words for words in between)
    for words in (error.message, f"[{error.code}]", error.hint, "no joules are measured"):
        assert words in absent
    assert came == "power meter ina219 reads now"


def test_a_sensor_that_is_not_there_is_asked_for_with_pauses_and_not_worked_for(
    config: AgentConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The watch's turns in virtual time: three minutes without the bus, then a minute with it."""
    clock = VirtualClock()
    adapters = Adapters(LATE[0], clock)
    monkeypatch.setattr(
        "firmware_py.compose.ground.board_of", lambda _: (load_profile("raspberry-pi-4"), False)
    )
    monkeypatch.setattr("firmware_py.energy.open.LinuxBus", adapters.open)
    monkeypatch.setattr(EnergyWatch, "start", lambda _: None)
    with assembled(replace(config, meter="auto"), clock) as assembly:
        watch, (slot,) = assembly.ground.energy.watch, assembly.slots
        assert watch is not None
        while clock.now_s() < 180.0:
            watch.step()
        pauses_s = [after_s - before_s for before_s, after_s in pairwise(adapters.tries)]
        assert 30 < len(adapters.tries) < 50
        assert pauses_s[:3] == pytest.approx([0.1, 0.2, 0.4])
        assert max(pauses_s) == pytest.approx(5.0)
        assert assembly.calibrate(slot) > 0.0
        assert math.isinf(assembly.ground.energy.ledger.last_charge_s)
        adapters.error = None
        while clock.now_s() < 240.0:
            watch.step()
        assert 50 <= watch.windows <= 60
        assert len(caplog.records) == 2
        assert assembly.calibrate(slot) == 0.0
        assert assembly.ground.energy.ledger.last_charge_s >= 240.0


def test_a_rail_that_cannot_be_ends_the_start(config: AgentConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waiting cannot mend is no sensor that may come later."""
    profile = load_profile("raspberry-pi-4")
    rail = replace(profile.rails[0], shunt_ohm=1.0)
    monkeypatch.setattr(
        "firmware_py.compose.ground.board_of", lambda _: (replace(profile, rails=(rail,)), False)
    )
    with pytest.raises(ConfigError, match="shunt of 1 ohm"):
        build_node(replace(config, meter="auto"))


class HangingBus:
    """Its first transfer of a reading comes back when the test says so, as with a clock line that is held low."""

    def __init__(self) -> None:
        self.entered, self.released = threading.Event(), threading.Event()
        self.reader: threading.Thread | None = None

    def read(self, address: int, registers: Sequence[int]) -> tuple[int, ...]:
        self.reader = threading.current_thread()
        self.entered.set()
        self.released.wait(60.0)
        return (0,) * len(registers)

    def write(self, address: int, register: int, value: int) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_transfer_that_never_returns_holds_neither_answers_nor_the_end(
    config: AgentConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The bus hangs from before the first answer until after the node has closed."""
    bus = HangingBus()

    def opened(rail: PowerRail, clock: Clock, _: SimulatedBoard | None) -> Meter | None:
        wiring = wiring_of(rail)
        assert wiring is not None
        return Ina219(bus, wiring, clock)

    monkeypatch.setattr("firmware_py.compose.energy.late_meter", opened)
    monkeypatch.setattr("firmware_py.energy.watch._JOIN_S", 0.05)
    try:
        with build_node(replace(config, meter="auto")) as node:
            assert bus.entered.wait(10.0)
            reply = node.answer(ask())
            assert (reply.status, reply.energy.method) == ("ok", "estimated")
            assert node.board.power_w() is None
        assert bus.reader is not None
        assert bus.reader.is_alive()
        assert [r.getMessage() for r in caplog.records if "left behind" in r.getMessage()] != []
    finally:
        bus.released.set()
    bus.reader.join(10.0)
    assert not bus.reader.is_alive()


def test_one_slots_worker_calibrates(config: AgentConfig) -> None:
    """Another would work through its rests, and two at a time would share its state."""
    with assembled(replace(config, meter="auto", slots=2)) as assembly:
        first, second = assembly.slots
        assert math.isinf(assembly.calibrate(second))
        assert math.isfinite(assembly.calibrate(first))


def test_a_bundle_whose_graph_kills_its_interpreter_is_refused_at_start(
    config: AgentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child dies of it, this process hears which signal it was."""
    (tmp_path / "sitecustomize.py").write_text(
        "import firmware_py.backends.scripted as s, os\n"
        "s.ScriptedGraph.run = lambda *_: os.kill(os.getpid(), 11)\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[3]}")
    with pytest.raises(GoldenTestError, match="SIGSEGV") as caught:
        build_node(config)
    assert caught.value.code == "golden_failed"
    assert caught.value.hint


@pytest.mark.parametrize("damage", ["corrupt", "truncated"])
def test_a_damaged_bundle_is_refused_at_start(config: AgentConfig, tmp_path: Path, damage: str) -> None:
    data = Path(config.model[0]).read_bytes()
    middle = len(data) // 2
    bad = (
        data[:middle]
        if damage == "truncated"
        else data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
    )
    (tmp_path / "bad.bundle").write_bytes(bad)
    with pytest.raises(BundleError) as caught:
        build_node(replace(config, model=(str(tmp_path / "bad.bundle"),)))
    assert caught.value.code.startswith("bundle_")
    assert caught.value.hint


def test_no_bundle_is_a_setting_at_fault(config: AgentConfig) -> None:
    with pytest.raises(ConfigError, match="no bundle"):
        build_node(replace(config, model=()))


def test_a_shipped_bundle_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped("models/home-en.bundle") == CHECKOUT / "models" / "home-en.bundle"
    assert shipped("models/none.bundle") == Path("models/none.bundle")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "home-en.bundle").write_bytes(b"mine")
    assert shipped("models/home-en.bundle") == Path("models/home-en.bundle")
