"""What a node says of itself: its birth (retained), its state (retained, with a will), its heartbeat, its joules."""

from __future__ import annotations

from dataclasses import asdict, field
from typing import Any, Literal

from firmware_py.contracts.records import record
from firmware_py.contracts.request import MAX_PAYLOAD_BYTES, WIRE_VERSION

Lifecycle = Literal["init", "ready", "disconnected", "lost"]


@record(frozen=True, slots=True)
class CostLine:
    """A published cost: mean and spread (one standard deviation) of seconds and joules.

    `bundle_sha256` says whose it is, as in the birth's tasks: two bundles may have the same configuration.
    """

    configuration: str
    run_s: float
    run_sd_s: float
    energy_j: float | None = None
    energy_sd_j: float | None = None
    bundle_sha256: str | None = None


@record(frozen=True, slots=True)
class ServedTask:
    """One task of this node and the bundle behind it."""

    name: str
    kind: str
    languages: tuple[str, ...]
    model: str
    version: str
    sha256: str


@record(frozen=True, slots=True)
class Birth:
    """Published once a session, retained. `epoch` grows with every start, so a late will is told apart."""

    node: str
    epoch: int
    profile: str
    simulated: bool
    tasks: tuple[ServedTask, ...]
    started_at: str
    versions: tuple[int, ...] = (WIRE_VERSION,)
    content_types: tuple[str, ...] = ("application/json", "application/msgpack")
    max_payload_bytes: int = MAX_PAYLOAD_BYTES

    def to_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {"v": WIRE_VERSION, **asdict(self)}


@record(frozen=True, slots=True)
class State:
    """Retained; the will carries `lost` with the epoch of its birth."""

    node: str
    epoch: int
    state: Lifecycle

    def to_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {"v": WIRE_VERSION, **asdict(self)}


@record(frozen=True, slots=True)
class Heartbeat:
    """Twice a second, not retained: load, power and cost lines.

    `queue` waits now; `answered`, `refused`, `failed` and `dropped` are counted since the start, the last being messages
    that named nobody to answer, and packets of whatever topic that could not be read. `power_source` is the meter's name, `none` until its sensor answered once. `energy_method` is how joules are known at this moment, as in a reply.
    """

    node: str
    epoch: int
    queue: int
    answered: int
    refused: int
    failed: int
    power_w: float | None
    power_source: str
    simulated: bool
    energy_method: str = "none"
    costs: tuple[CostLine, ...] = field(default=())
    dropped: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {"v": WIRE_VERSION, **asdict(self)}


@record(frozen=True, slots=True)
class Reconciled:
    """Joules above idle, metered beside charged: of the busy windows of a stretch, and of all since the start.

    A window is busy when something ran in it and the idle draw around it is known; `window_s` are their seconds. Of a
    run that lies in two windows each has its part. `u95_j` is the half-width of the 95 % interval of `metered_j`.
    """

    windows: int
    window_s: float
    runs: float
    metered_j: float
    u95_j: float
    charged_j: float
    total_metered_j: float
    total_charged_j: float


@record(frozen=True, slots=True)
class EnergyReport:
    """Every 10 s while a meter reads, not retained: how well charges agree with the meter.

    `source` is the meter's name, `method` how joules of answers are known at this moment, as in a reply.
    """

    node: str
    epoch: int
    reconciled: Reconciled
    source: str
    method: str
    simulated: bool

    def to_dict(self) -> dict[str, Any]:
        """The wire form: flat."""
        return {
            "v": WIRE_VERSION,
            "node": self.node,
            "epoch": self.epoch,
            **asdict(self.reconciled),
            "source": self.source,
            "method": self.method,
            "simulated": self.simulated,
        }
