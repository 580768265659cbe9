"""What `ciuic bench request` measured: filled by the measuring, read by the report."""

from __future__ import annotations

from dataclasses import dataclass, field

QOS = (0, 1)


@dataclass(slots=True)
class Trips:
    """Seconds of one QoS, request by request in the same order."""

    request_s: list[float] = field(default_factory=list)
    echo_s: list[float] = field(default_factory=list)
    bare_s: list[float] = field(default_factory=list)
    tight_s: list[float] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)

    @property
    def floor_s(self) -> list[float]:
        """Echo plus bare interpreter time, per request."""
        return [echo_s + bare_s for echo_s, bare_s in zip(self.echo_s, self.bare_s, strict=True)]

    @property
    def tight_floor_s(self) -> list[float]:
        """The same with interpreters in a tight loop of this process."""
        return [echo_s + tight_s for echo_s, tight_s in zip(self.echo_s, self.tight_s, strict=True)]


@dataclass(slots=True)
class Figures:
    """Everything measured; trips by whether a turn holds many requests, and by QoS."""

    trips: dict[tuple[bool, int], Trips] = field(
        default_factory=lambda: {(many, qos): Trips() for many in (True, False) for qos in QOS}
    )
    hits_s: dict[int, list[float]] = field(default_factory=lambda: {qos: [] for qos in QOS})
    queued_s: dict[int, list[float]] = field(default_factory=lambda: {qos: [] for qos in QOS})
    starts_s: list[float] = field(default_factory=list)
    cold_start_s: float | None = None
    helps_s: list[float] = field(default_factory=list)
    resident_bytes: int = 0
    idle_share: float | None = None
    sha256: str | None = None
    broker: str = ""
