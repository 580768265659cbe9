"""The wire between a simulated board and its plant: fixed frames over a Unix packet socket.

The plant runs in its own process, as a real supply rail would: what it does costs the node nothing
and what it knows is out of reach. When it dies the sensor is absent and the node goes on.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import SensorAbsentError

Span = tuple[float, float]

_LOG = logging.getLogger(__name__)
_BUSY = struct.Struct("<Bdi")  # kind, at_s, CRC-32 of the graph's key (as signed)
_IDLE = struct.Struct("<Bd")
_ASK = struct.Struct("<B")  # kind, then spans
_SPAN = struct.Struct("<dd")
_MAX_SPANS = 16
_FRAME_BYTES = _ASK.size + _MAX_SPANS * _SPAN.size
_KIND_BUSY, _KIND_IDLE, _KIND_MEANS, _KIND_ENERGY = 1, 2, 3, 4
_ANSWER_TIMEOUT_S = 10.0  # covers the start of the plant's interpreter on a busy host; then microseconds
_STOP_TIMEOUT_S = 2.0


class Truth(Protocol):
    """What a served plant offers (see `plant.Plant`)."""

    def busy_code(self, at_s: float, code: int) -> None:
        """A stage began."""

    def idle(self, at_s: float) -> None:
        """It ended."""

    def means(self, spans: Sequence[Span]) -> list[tuple[float, float]]:
        """Mean volt and ampere per span."""

    def energy_j(self, begin_s: float, end_s: float) -> float:
        """Integrated joules."""

    def net_j(self, begin_s: float, end_s: float) -> float:
        """Integrated joules owed to stages."""


def serve(link: socket.socket, plant: Truth) -> None:
    """Answer frames until the other end closes; a frame of unknown form ends the service."""
    while True:
        try:
            frame = link.recv(_FRAME_BYTES)
        except InterruptedError:
            continue
        except (KeyboardInterrupt, OSError):
            return
        if not frame:
            return
        kind = frame[0]
        if kind == _KIND_BUSY:
            _, at_s, code = _BUSY.unpack(frame)
            plant.busy_code(at_s, code & 0xFFFFFFFF)
        elif kind == _KIND_IDLE:
            plant.idle(_IDLE.unpack(frame)[1])
        else:
            spans = list(_SPAN.iter_unpack(frame[_ASK.size :]))
            if kind == _KIND_MEANS:
                pairs = plant.means(spans)
            else:
                pairs = [(plant.energy_j(*span), plant.net_j(*span)) for span in spans]
            link.send(b"".join(_SPAN.pack(*pair) for pair in pairs))


@dataclass(frozen=True, slots=True)
class PlantSetup:
    """The board figures a plant starts from (profile: `idle_w`, `simulation.busy_w`, `supply_v`)."""

    idle_w: float
    busy_w: float
    supply_v: float
    seed: int = 0


class PlantClient:
    """The node's end: a load listener for its runner and the supply of its simulated bus.

    `busy` and `idle` never block and never fail: a plant that lags misses an edge, one that is gone only ends the
    measuring.
    Thread-safe.
    """

    def __init__(self, link: socket.socket, process: subprocess.Popen[bytes] | None = None) -> None:
        self._link = link
        self._process = process
        self._lock = threading.Lock()  # one question and its answer at a time
        self._codes: dict[object, int] = {}
        self._alive = True
        # Not by a timeout: under one, a send waits for room before MSG_DONTWAIT is looked at.
        link.setblocking(False)

    @classmethod
    def start(cls, setup: PlantSetup, clock: Clock) -> Self:
        """Start a plant process; returns at once, its first answer may take its start-up time."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [
                sys.executable, "-m", "firmware_py.energy.plant", "--fd", str(theirs.fileno()),
                "--now-s", repr(clock.now_s()), "--idle-w", repr(setup.idle_w), "--busy-w", repr(setup.busy_w),
                "--supply-v", repr(setup.supply_v), "--seed", str(setup.seed),
            ]  # fmt: skip
            # A process group of its own: ^C ends the node, which closes the link, which ends the plant.
            process = subprocess.Popen(
                command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, process_group=0
            )
        return cls(ours, process)

    def busy(self, at_s: float, key: object = "") -> None:
        """A stage began at a monotonic second; `key` names what runs (its graph)."""
        code = self._codes.get(key)
        if code is None:
            code = self._codes[key] = zlib.crc32(str(key).encode())
        self._tell(_BUSY.pack(_KIND_BUSY, at_s, code - (code >> 31 << 32)))

    def idle(self, at_s: float) -> None:
        """The stage ended."""
        self._tell(_IDLE.pack(_KIND_IDLE, at_s))

    def means(self, spans: Sequence[Span]) -> list[tuple[float, float]]:
        """Mean volt and ampere over spans of the past.

        Raises:
            SensorAbsentError: the plant is gone.
        """
        return self._ask(_KIND_MEANS, spans)

    def truth(self, spans: Sequence[Span]) -> list[tuple[float, float]]:
        """True joules through the rail and those owed to stages, per span; for tests and reports.

        Raises:
            SensorAbsentError: the plant is gone.
        """
        return self._ask(_KIND_ENERGY, spans)

    def close(self) -> None:
        """Close the link, which ends the plant; a second call does nothing."""
        self._alive = False
        self._link.close()
        process, self._process = self._process, None
        if process is not None:
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, frame: bytes) -> None:
        if self._alive:
            try:
                self._link.send(frame)
            except BlockingIOError:
                _LOG.debug("the plant lags; a load edge is lost")
            except OSError as error:
                self._lost(error)

    def _ask(self, kind: int, spans: Sequence[Span]) -> list[tuple[float, float]]:
        frame = _ASK.pack(kind) + b"".join(_SPAN.pack(*span) for span in spans[:_MAX_SPANS])
        if self._alive:
            with self._lock:
                try:
                    self._send(frame)
                    self._await(select.POLLIN)
                    answer = self._link.recv(_FRAME_BYTES)
                except (OSError, ValueError) as error:  # ValueError: closed meanwhile
                    self._lost(error)
                else:
                    if len(answer) == _SPAN.size * len(spans):
                        return list(_SPAN.iter_unpack(answer))
                    self._lost(None)
        msg = "the simulated board's plant process is gone"
        raise SensorAbsentError(msg, hint="Restart the node; answers go on without measured joules.")

    def _send(self, frame: bytes) -> None:
        """A question, which unlike a load edge must not be lost; another thread's edge may take the room it saw."""
        while True:
            self._await(select.POLLOUT)
            with contextlib.suppress(BlockingIOError):
                self._link.send(frame)
                return

    def _await(self, event: int) -> None:
        """Until the link has room or an answer; an end that is gone shows in the call that follows."""
        poll = select.poll()
        poll.register(self._link, event)
        if not poll.poll(_ANSWER_TIMEOUT_S * 1000.0):
            raise TimeoutError

    def _lost(self, error: Exception | None) -> None:
        self._alive = False
        _LOG.debug("plant gone: %s", error or "its answer was cut short")
