"""What a broker kind is: how it is started and what it cannot do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the listeners go; one port for both versions where the broker tells them apart itself."""

    v5: int
    v311: int


@dataclass(frozen=True, slots=True)
class BrokerKind:
    """A kind of broker.

    `write` puts the configuration into a folder and returns the command line. `one_port` says that
    one listener speaks both versions. `delayed_qos1` marks a broker without TCP_NODELAY, where a
    QoS 1 round trip costs up to 45 ms.
    """

    name: str
    available: Callable[[], bool]
    write: Callable[[Path, Ports], list[str]]
    one_port: bool
    delayed_qos1: bool
    missing: tuple[str, ...] = ()
