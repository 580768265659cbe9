"""Plays a recorded trace as if its meter were here: for tests of what reads meters, against a real board's samples.

No node plays one: a trace knows nothing of what the node runs, so its joules would teach wrong watts.

A trace is a header and rows. As JSON lines: the header object first, then `[second, volt, ampere]`; as CSV:
`# {header}` first, then the columns `t_s,voltage_v,current_a`. A row without ampere was over range. The header
names where it comes from: `{"v": 1, "board", "date", "source", "simulated", "rate_hz", "duty", "accuracy":
{gain_voltage, gain_current, offset_a, shunt}}`.
"""

from __future__ import annotations

import csv
import json
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware_py.contracts.check import Fields
from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import DataInvalidError, DataMissingError, SensorBusError
from firmware_py.energy.meters.base import Accuracy, Cadence, Capabilities, Meter, Pace, Sample

TRACE_VERSION = 1
_MAX_BYTES = 64 * 2**20
_ROUNDING_S = 1e-9  # who waits exactly until a sample is due must find it
_COLUMNS = ["t_s", "voltage_v", "current_a"]
_ACCURACY = ("gain_voltage", "gain_current", "offset_a", "shunt")
_FORM_HINT = "See docs/explanation-energy-accounting.md for the form of a trace."


@dataclass(frozen=True, slots=True)
class Trace:
    """A recording: where it comes from, its cadence and accuracy, samples from second 0 on."""

    board: str
    date: str
    source: str
    simulated: bool
    cadence: Cadence
    accuracy: Accuracy
    samples: tuple[Sample, ...]


class ReplayMeter(Meter):
    """Plays a trace against a clock; what the reader comes too late for is lost, as on a real sensor.

    Args:
        trace: what to play.
        clock: time runs by it, from the first `start` on.
        loop: begin again at the end instead of failing.
    """

    def __init__(self, trace: Trace, clock: Clock, *, loop: bool = True) -> None:
        self._trace = trace
        self._clock = clock
        self._loop = loop
        self._capabilities = Capabilities(
            "replay", trace.simulated, trace.accuracy, trace.cadence, trace.cadence
        )
        self._times = [sample.at_s for sample in trace.samples]
        self._length_s = self._times[-1] + trace.cadence.period_s
        self._begin_s: float | None = None
        self._done = 0

    @property
    def capabilities(self) -> Capabilities:
        """See `Meter.capabilities`; a trace has one pace."""
        return self._capabilities

    @property
    def due_s(self) -> float:
        """See `Meter.due_s`."""
        rounds, at = divmod(self._done, len(self._times))
        return (self._begin_s or 0.0) + rounds * self._length_s + self._times[at]

    def start(self, pace: Pace) -> None:  # noqa: ARG002 (a recording has the pace it was made at)
        """See `Meter.start`: the trace goes on, what was not read is gone."""
        if self._begin_s is None:
            self._begin_s = self._clock.now_s()
        self._done = self._past()

    def read(self) -> Sample | None:
        """See `Meter.read`."""
        past = self._past()
        if past <= self._done:
            return None
        self._done = past
        now_s = self._clock.now_s()
        sample = self._trace.samples[(past - 1) % len(self._times)]
        return sample._replace(at_s=now_s)

    def check(self) -> None:
        """See `Meter.check`; a recording does not change."""

    def close(self) -> None:
        """See `Meter.close`."""

    def _past(self) -> int:
        """How many samples lie before now, over all rounds."""
        if self._begin_s is None:
            msg = "a replayed meter is read before it was started"
            raise SensorBusError(msg)
        rounds, at_s = divmod(self._clock.now_s() - self._begin_s, self._length_s)
        if rounds >= 1.0 and not self._loop:
            msg = "the replayed trace has ended"
            raise SensorBusError(msg)
        return int(rounds) * len(self._times) + bisect_right(self._times, at_s + _ROUNDING_S)


def read_trace(path: Path) -> Trace:
    """Read a `.csv` or JSON-lines trace.

    Raises:
        DataMissingError: there is no such file.
        DataInvalidError: it has another form, does not rise in time, or is over 64 MiB.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            msg = f"{path}: a trace is at most {_MAX_BYTES} bytes"
            raise DataInvalidError(msg, hint=_FORM_HINT)
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        msg = f"{path}: no such trace"
        raise DataMissingError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path}: not UTF-8"
        raise DataInvalidError(msg, hint=_FORM_HINT) from error
    is_csv = path.suffix == ".csv"
    try:
        header = json.loads(lines[0].removeprefix("#")) if lines else None
        rows = _csv_rows(lines[1:]) if is_csv else (json.loads(line) for line in lines[1:] if line)
        samples = tuple(_samples(rows, path))
    except (ValueError, TypeError) as error:
        msg = f"{path}: {error}"
        raise DataInvalidError(msg, hint=_FORM_HINT) from error
    return _trace(header, samples, path)


def write_trace(path: Path, trace: Trace) -> None:
    """Write a trace as JSON lines (suffix `.jsonl`); `read_trace` gives the same back."""
    accuracy = {key: getattr(trace.accuracy, key) for key in _ACCURACY}
    header = {
        "v": TRACE_VERSION,
        "board": trace.board,
        "date": trace.date,
        "source": trace.source,
        "simulated": trace.simulated,
        "rate_hz": trace.cadence.rate_hz,
        "duty": trace.cadence.duty,
        "accuracy": accuracy,
    }
    lines = [json.dumps(header)]
    lines += [
        json.dumps([s.at_s, None, None] if s.over_range else [s.at_s, s.voltage_v, s.current_a])
        for s in trace.samples
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _csv_rows(lines: Sequence[str]) -> Iterator[list[float | None]]:
    rows = csv.reader(lines)
    if next(rows, None) != _COLUMNS:
        msg = f"the columns are not {','.join(_COLUMNS)}"
        raise ValueError(msg)
    for row in rows:
        yield [float(cell) if cell else None for cell in row]


def _samples(rows: Iterable[Any], path: Path) -> Iterator[Sample]:
    before_s = -math.inf
    for number, row in enumerate(rows, start=2):
        at_s, voltage_v, current_a = row
        if not math.isfinite(at_s) or at_s <= before_s or at_s < 0.0:
            msg = f"{path}, row {number}: seconds must rise from 0 on"
            raise DataInvalidError(msg, hint=_FORM_HINT)
        before_s = at_s
        if voltage_v is None or current_a is None:
            yield Sample(at_s, math.nan, math.nan, over_range=True)
        elif math.isfinite(voltage_v) and math.isfinite(current_a):
            yield Sample(float(at_s), float(voltage_v), float(current_a))
        else:
            msg = f"{path}, row {number}: not finite"
            raise DataInvalidError(msg, hint=_FORM_HINT)


def _trace(data: Any, samples: tuple[Sample, ...], path: Path) -> Trace:
    header = Fields(data, f"{path}: header", DataInvalidError)
    version = header.integer("v")
    if version != TRACE_VERSION:
        header.fail(f"{path}: trace version {version}, this build reads {TRACE_VERSION}")
    if len(samples) < 2:
        header.fail(f"{path}: a trace has at least two samples")
    accuracy = Fields(header.object("accuracy"), f"{path}: accuracy", DataInvalidError)
    return Trace(
        board=header.text("board"),
        date=header.text("date"),
        source=header.text("source"),
        simulated=header.flag("simulated", default=False),
        cadence=Cadence(
            1.0 / header.number("rate_hz", low=1e-3, high=1e6), header.number("duty", low=0.01, high=1.0)
        ),
        accuracy=Accuracy(**{key: accuracy.number(key, low=0.0) for key in _ACCURACY}),
        samples=samples,
    )
