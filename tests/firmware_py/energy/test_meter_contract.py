"""The meter contract on the driver over a simulated bus, on a replayed trace, and on a real sensor."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware_py.contracts.clock import SystemClock, VirtualClock
from firmware_py.contracts.errors import DataInvalidError, DataMissingError, SensorBusError
from firmware_py.energy.bus import LinuxBus
from firmware_py.energy.meters.base import Pace
from firmware_py.energy.meters.ina219 import Ina219, Wiring, choose_pga
from firmware_py.energy.meters.replay import ReplayMeter, Trace, read_trace, write_trace
from firmware_py.energy.plant import Plant, PlantSpec
from firmware_py.energy.simulated_bus import SimulatedBus, draw_chip
from firmware_py.testing.meter_contract import MeterBench, MeterContract, collect

WIRING = Wiring(0x40, 0.1, 3.0, 5.1)


def simulated(seed: int = 0) -> MeterBench:
    clock, rng = VirtualClock(), random.Random(seed)
    chip = draw_chip(rng, "A", (0.1, 0.01), pga=choose_pga(WIRING))
    bus = SimulatedBus(Plant(PlantSpec(3.0, 1.0, 5.1, seed=seed)), chip, clock, rng)
    return MeterBench(Ina219(bus, WIRING, clock, simulated=True), clock)


def recorded() -> Trace:
    """Two seconds of the simulated INA219."""
    bench = simulated()
    bench.meter.start(Pace.BUSY)
    begin_s = bench.clock.now_s()
    facts = bench.meter.capabilities
    samples = tuple(s._replace(at_s=s.at_s - begin_s) for s in collect(bench, 2.0))
    return Trace("simulated", "2026-11-22", facts.source, True, facts.busy, facts.accuracy, samples)


class TestSimulatedIna219(MeterContract):
    @pytest.fixture(params=range(3))
    def meter_bench(self, request: pytest.FixtureRequest) -> MeterBench:
        return simulated(request.param)


class TestReplay(MeterContract):
    @pytest.fixture
    def meter_bench(self, tmp_path: Path) -> MeterBench:
        write_trace(tmp_path / "trace.jsonl", recorded())
        clock = VirtualClock(now_s=100.0)
        return MeterBench(ReplayMeter(read_trace(tmp_path / "trace.jsonl"), clock), clock)


@pytest.mark.hil
class TestRealIna219(MeterContract):
    """Needs CIUIC_INA219=bus:address:shunt_ohm, for example 1:0x40:0.1; values depend on what is wired."""

    @pytest.fixture
    def meter_bench(self) -> Iterator[MeterBench]:
        where = os.environ.get("CIUIC_INA219")
        if where is None:
            pytest.skip("CIUIC_INA219 names no sensor")
        number, address, shunt = where.split(":")
        wiring = Wiring(int(address, 0), float(shunt), 0.3 / float(shunt), 5.1)
        clock = SystemClock()
        with Ina219(LinuxBus(int(number)), wiring, clock) as meter:
            yield MeterBench(meter, clock)


def test_a_replay_gives_back_what_was_recorded() -> None:
    trace = recorded()
    clock = VirtualClock(now_s=5.0)
    meter = ReplayMeter(trace, clock, loop=False)
    meter.start(Pace.BUSY)
    played = collect(MeterBench(meter, clock), 1.9)
    assert [s[1:] for s in played] == [s[1:] for s in trace.samples[: len(played)]]
    assert meter.capabilities.source == "replay"
    assert meter.capabilities.simulated
    clock.advance(1.0)
    with pytest.raises(SensorBusError, match="ended"):
        meter.read()


def test_an_unstarted_replay_is_an_error() -> None:
    with pytest.raises(SensorBusError, match="before it was started"):
        ReplayMeter(recorded(), VirtualClock()).read()


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    trace = recorded()
    write_trace(tmp_path / "a.jsonl", trace)
    header = (tmp_path / "a.jsonl").read_text().splitlines()[0]
    rows = "\n".join(f"{s.at_s!r},{s.voltage_v!r},{s.current_a!r}" for s in trace.samples)
    (tmp_path / "a.csv").write_text(f"# {header}\nt_s,voltage_v,current_a\n{rows}\n9,5.0,\n")
    first, second = read_trace(tmp_path / "a.jsonl"), read_trace(tmp_path / "a.csv")
    assert second.samples[:-1] == first.samples == trace.samples
    assert second.samples[-1].over_range
    assert first.cadence.rate_hz == pytest.approx(trace.cadence.rate_hz)
    assert first.accuracy.gain == trace.accuracy.gain


HEADER = (
    '{"v":1,"board":"b","date":"d","source":"s","rate_hz":100,"duty":1,'
    '"accuracy":{"gain_voltage":0,"gain_current":0,"offset_a":0,"shunt":0}}'
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json\n[0,5,1]\n",
        "{}\n[0,5,1]\n[1,5,1]\n",
        HEADER.replace('"v":1', '"v":2') + "\n[0,5,1]\n[1,5,1]\n",
        HEADER + "\n[0,5,1]\n",
        HEADER + "\n[1,5,1]\n[0,5,1]\n",
        HEADER + "\n[0,5,1]\n[1,5]\n",
        HEADER + "\n[0,5,1]\n[1,NaN,1]\n",
        HEADER + '\n[0,5,1]\n["x",5,1]\n',
        HEADER.replace('"rate_hz":100', '"rate_hz":0') + "\n[0,5,1]\n[1,5,1]\n",
    ],
)
def test_a_broken_trace_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(text)
    with pytest.raises(DataInvalidError):
        read_trace(path)


def test_a_missing_trace_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError):
        read_trace(tmp_path / "none.jsonl")


@pytest.mark.parametrize("content", [b"\xff\xfe", HEADER.encode() + b"\nx,y\n1,2\n"])
def test_bad_bytes_and_columns_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trace.csv"
    path.write_bytes(content)
    with pytest.raises(DataInvalidError):
        read_trace(path)


def test_benches_are_built_fresh() -> None:
    """The contract's fixtures must not share state: two benches give the same first sample."""
    builders: list[Callable[[], Any]] = [simulated, simulated]
    firsts = []
    for build in builders:
        bench = build()
        bench.meter.start(Pace.BUSY)
        firsts.append(collect(bench, 0.01)[0])
    assert firsts[0] == firsts[1]
