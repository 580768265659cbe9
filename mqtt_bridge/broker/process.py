"""A broker as a child process on loopback: free port, ready when it answers, ends with its parent."""

from __future__ import annotations

import contextlib
import errno
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from firmware_py.children import tied
from firmware_py.contracts.errors import BrokerUnreachableError, ConfigError, ToolMissingError
from mqtt_bridge.broker import iotcore, mosquitto
from mqtt_bridge.broker.kind import HOST, BrokerKind, Ports

KINDS: dict[str, BrokerKind] = {kind.name: kind for kind in (mosquitto.KIND, iotcore.KIND)}
_READY_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 5.0
_TRIES = 3


def choose(kind: str | None = None) -> BrokerKind:
    """The asked kind, or mosquitto where it is installed, else iotcore.

    Raises:
        ToolMissingError: there is none.
    """
    for found in KINDS.values() if kind is None else [KINDS[kind]] if kind in KINDS else []:
        if found.available():
            return found
    msg = f"no broker to start: {kind or 'neither mosquitto nor iotcore'} is not installed"
    raise ToolMissingError(msg, hint="Install mosquitto, or `pip install iotcore`, or give --broker URL.")


class BrokerProcess:
    """One running broker. `kill` and `start` on the same ports make an outage."""

    def __init__(self, kind: BrokerKind, folder: Path, ports: Ports) -> None:
        self.kind = kind
        self.ports = ports
        self._log = folder / "broker.log"
        self._command = kind.write(folder, ports)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where MQTT 5 clients connect."""
        return f"mqtt://{HOST}:{self.ports.v5}"

    @property
    def url_v311(self) -> str:
        """Where MQTT 3.1.1 clients connect; the same unless the broker needs a listener each."""
        return f"mqtt://{HOST}:{self.ports.v311}"

    @property
    def urls(self) -> tuple[str, ...]:
        """The broker list for a client that speaks MQTT 5."""
        return (self.url,)

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start and wait until every listener accepts a connection; on a thread that lives as long as the broker shall.

        Raises:
            BrokerUnreachableError: it ended, or did not listen within 10 s, or somebody else listens there.
        """
        for port in {self.ports.v5, self.ports.v311}:
            if _accepts(port):
                msg = f"{self.kind.name} cannot listen on port {port}: another process does"
                raise BrokerUnreachableError(msg)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                tied(self._command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for who started it, and who then ends it in order
            )
        deadline_s = time.monotonic() + _READY_TIMEOUT_S
        for port in {self.ports.v5, self.ports.v311}:
            while not _accepts(port):
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    self._give_up()
                time.sleep(0.01)
        if self._process.poll() is not None:  # then it was another process that answered
            self._give_up()

    def check(self) -> None:
        """Whether it still runs, where it should.

        Raises:
            BrokerUnreachableError: it ended by itself, or somebody else ended it.
        """
        if self._process is not None and self._process.poll() is not None:
            msg = f"{self.kind.name} ended by itself: {self._last_words()}"
            raise BrokerUnreachableError(msg)

    def _give_up(self) -> NoReturn:
        msg = f"{self.kind.name} did not come up: {self._last_words()}"
        self.stop()
        raise BrokerUnreachableError(msg)

    def stop(self) -> None:
        """End it politely, then not; a second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_TIMEOUT_S)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(_STOP_TIMEOUT_S)

    def _last_words(self) -> str:
        text = self._log.read_text(encoding="utf-8", errors="replace").strip()
        return text.splitlines()[-1] if text else "it wrote no reason"


@contextmanager
def start_broker(kind: str | BrokerKind | None = None, port: int = 0) -> Iterator[BrokerProcess]:
    """A broker on loopback for the length of a block, on free ports unless one is given.

    The kind is named, or given as it is where its configuration is another than ours. One with a listener per
    MQTT version takes 3.1.1 on the next port.

    Raises:
        ToolMissingError: none is installed.
        ConfigError: the given port, or the next, cannot be had.
        BrokerUnreachableError: it does not come up.
    """
    chosen = kind if isinstance(kind, BrokerKind) else choose(kind)
    with tempfile.TemporaryDirectory(prefix="ciuic-broker-") as folder:
        broker = _started_at(chosen, Path(folder), port) if port else _started(chosen, Path(folder))
        try:
            yield broker
        finally:
            broker.stop()


def _started(kind: BrokerKind, folder: Path) -> BrokerProcess:
    """Another process may take a free port before the broker does; then take others."""
    for attempt in range(_TRIES):
        first = free_port()
        broker = BrokerProcess(kind, folder, Ports(first, first if kind.one_port else free_port()))
        with contextlib.suppress(*((BrokerUnreachableError,) if attempt < _TRIES - 1 else ())):
            broker.start()
            return broker
    raise AssertionError  # the last attempt raises its own


def _started_at(kind: BrokerKind, folder: Path, port: int) -> BrokerProcess:
    ports = Ports(port, port if kind.one_port else port + 1)
    for wanted in (ports.v5, ports.v311):
        _check_port(wanted)
    broker = BrokerProcess(kind, folder, ports)
    broker.start()
    return broker


def _check_port(port: int) -> None:
    """Try the port as a broker would.

    Raises:
        ConfigError: it is no port, or taken, or not for this user.
    """
    try:
        with socket.socket() as probe:
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # as brokers do: old connections may linger
            probe.bind((HOST, port))
    except OverflowError as error:
        msg = f"{port} is no port"
        raise ConfigError(msg, hint="Ports go from 1 to 65535; 0 takes a free one.") from error
    except OSError as error:
        msg = f"port {port} of {HOST} cannot be had: {error.strerror}"
        there = f" If a broker is there already, use it: --broker mqtt://{HOST}:{port}."
        hint = f"Choose another --port; 0 takes a free one.{there if error.errno == errno.EADDRINUSE else ''}"
        raise ConfigError(msg, hint=hint) from error


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=0.2).close()
    except OSError:
        return False
    return True
