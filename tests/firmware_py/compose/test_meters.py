"""A composed node and its sensor: metered, late, gone, stuck, never there; the node answers all the same."""

from __future__ import annotations

import logging
import math
import random
import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from device_profiles.loader import load_profile
from device_profiles.profile import PowerRail
from firmware_py.black_box import BlackBox
from firmware_py.compose import assembled, build_node
from firmware_py.compose.models import open_slot
from firmware_py.config import AgentConfig
from firmware_py.contracts.clock import Clock, VirtualClock
from firmware_py.contracts.errors import (
    ConfigError,
    GraphError,
    HardwareError,
    SensorAbsentError,
    SensorBusError,
)
from firmware_py.energy.integrate import Span
from firmware_py.energy.meters.base import Meter
from firmware_py.energy.meters.ina219 import Ina219
from firmware_py.energy.open import SimulatedBoard, open_meter, wiring_of
from firmware_py.energy.simulated_bus import Chip, SimulatedBus
from firmware_py.energy.watch import EnergyWatch
from firmware_py.inference.engine import Engine, Outcome
from firmware_py.keeper import MEMORY_BYTES
from firmware_py.node_parts import Slot
from firmware_py.tasks.intent import Encoded
from tests.firmware_py.compose.rig import CLOCK, ask, until


def test_a_simulated_board_is_metered_through_its_plant(config: AgentConfig) -> None:
    """The real driver reads the simulated sensor; closing the node ends the plant's process."""
    with build_node(replace(config, meter="auto")) as node:
        until(lambda: node.answer(ask()) is not None and 1.0 < (node.board.power_w() or 0.0) < 15.0)
        assert node.board.power_source() == "ina219"


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


def test_a_calibration_row_that_ends_the_process_is_left_out_by_the_next(
    config: AgentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = bytearray(MEMORY_BYTES)
    found = bytearray()  # the memory as the next process finds it
    monkeypatch.setattr(BlackBox, "adopt", lambda: BlackBox(memory))
    run = Engine.run
    texts: list[str] = []

    def noted(self: Engine, encoded: Encoded, *rest: Any) -> Outcome:
        texts.append(encoded.text)
        found[:] = memory
        return run(self, encoded, *rest)

    monkeypatch.setattr(Engine, "run", noted)

    def calibrate(steps: int) -> list[str]:
        texts.clear()
        with assembled(replace(config, meter="auto")) as assembly:
            assert assembly.ground.energy.watch is not None
            assembly.ground.energy.watch.answered = True
            for _ in range(steps):
                assembly.calibrate(assembly.slots[0])
        return list(texts)

    (deadly,) = calibrate(1)
    assert not BlackBox(memory).suspects  # it ran to its end
    memory[:] = found
    assert deadly not in calibrate(60)
    assert texts


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
