"""The demo's nodes: real `ciuic node run` processes on simulated boards."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from firmware_py.children import tied
from firmware_py.contracts.errors import NoReplyError, all_codes
from mqtt_bridge.wire import topics
from mqtt_bridge.wire.codec import decode_payload

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from firmware_py.contracts.errors import CiuicError
    from mqtt_bridge.transport.base import Message, Transport

_STOP_TIMEOUT_S = 5.0
_ERROR = re.compile(r"error: (?P<message>.+) \[(?P<code>\w+)\]")
_SAYS: dict[str, dict[str, str]] = {
    "state": {"state": "ready"},
    "heartbeat": {"energy_method": "predicted"},
}


@dataclass(frozen=True, slots=True)
class Board:
    """One simulated board and the name of its node."""

    node: str
    profile: str
    title: str


BOARDS = (
    Board("pi5", "raspberry-pi-5", "Raspberry Pi 5"),
    Board("zero2w", "raspberry-pi-zero-2w", "Raspberry Pi Zero 2 W"),
    Board("orin", "jetson-orin-nano", "Jetson Orin Nano"),
)


class Nodes:
    """Starts one process a board and ends them all; a context manager."""

    def __init__(self, boards: Sequence[Board], options: Sequence[str], logs: Path) -> None:
        self._boards = boards
        self._options = options
        self._logs = logs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        for board in self._boards:
            command = [sys.executable, "-m", "ciuic", "node", "run", "--id", board.node]
            command += ["--profile", board.profile, "--simulate", *self._options]
            with (self._logs / f"{board.node}.log").open("wb") as log:
                # A session of its own: Ctrl-C is the demo's to hear, which then ends its nodes in order.
                self._processes[board.node] = subprocess.Popen(
                    tied(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is KeyboardInterrupt:
            print("\nstopping the nodes", file=sys.stderr, flush=True)
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kill(self, node: str) -> tuple[int, str]:
        """SIGKILL a node, as a power cut would; returns its process id and what the system says ended it."""
        process = self._processes[node]
        os.kill(process.pid, signal.SIGKILL)
        status = process.wait()
        return process.pid, signal.Signals(-status).name if status < 0 else f"status {status}"

    def check(self) -> None:
        """Tell of the first node that ended by itself.

        Raises:
            CiuicError: the node's own, where it told one.
        """
        for board in self._boards:
            status = self._processes[board.node].poll()
            if status is not None:
                raise _why_ended(board.node, status, self._lines(board))

    def last_words(self) -> str:
        """The error of each node, or the last line of its log where it told none, for an error message."""
        out = []
        for board in self._boards:
            lines = self._lines(board)
            told = [line for line in lines if line.startswith("error: ")] or lines
            out.append(f"{board.node}: {told[-1] if told else 'wrote nothing'}")
        return "; ".join(out)

    def _lines(self, board: Board) -> list[str]:
        return (self._logs / f"{board.node}.log").read_text("utf-8", "replace").strip().splitlines()


def _why_ended(node: str, status: int, lines: Sequence[str]) -> CiuicError:
    """The error that a node's two last lines are, else one of ours with its last line."""
    told = [_ERROR.fullmatch(line) for line in lines]
    found = next((match for match in reversed(told) if match), None)
    if found is None:
        return NoReplyError(
            f"node {node} ended with status {status}: {lines[-1] if lines else 'it wrote nothing'}"
        )
    hints = [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]
    error = all_codes().get(found["code"], NoReplyError)
    return error(f"node {node} ended: {found['message']}", hint=hints[-1] if hints else None)


class NodeLatch:
    """Waits until every node has said the same of itself on a topic of a kind, since it listens."""

    def __init__(self, transport: Transport, kind: topics.Kind, mesh: str, nodes: Sequence[str]) -> None:
        self._missing = set(nodes)
        self._all = threading.Event()
        self._wanted: dict[str, str] = _SAYS[kind]
        transport.subscribe(topics.build_filter(kind, mesh), self._heard)

    @property
    def missing(self) -> tuple[str, ...]:
        """Nodes that have not said it yet."""
        return tuple(sorted(self._missing))

    def _heard(self, message: Message) -> None:
        address = topics.parse(message.topic)
        if address is None or not message.payload:
            return
        data = decode_payload(message.payload, message.content_type)
        if isinstance(data, dict) and self._wanted.items() <= data.items():
            self._missing.discard(address.node)
            if not self._missing:
                self._all.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for all of them; False when some were missing after `timeout_s` seconds."""
        return self._all.wait(timeout_s)
