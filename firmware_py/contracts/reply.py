"""What is answered. Unknown is null, never 0. Wire form: `docs/ref-wire-format.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Literal

from firmware_py.contracts.check import Fields
from firmware_py.contracts.errors import CiuicError, VersionError
from firmware_py.contracts.records import record
from firmware_py.contracts.request import MAX_ID_CHARS, WIRE_VERSION

Status = Literal["ok", "out_of_scope", "refused", "failed"]
Method = Literal["metered", "predicted", "estimated", "none"]
STATUSES: tuple[str, ...] = ("ok", "out_of_scope", "refused", "failed")
METHODS: tuple[str, ...] = ("metered", "predicted", "estimated", "none")


@record(frozen=True, slots=True)
class Energy:
    """Joules of one answer, above idle (`basis` net), with the half-width of the 95 % interval.

    `method`: `metered` windows of repeated runs; `predicted` by a cost model reconciled with this
    board's meter; `estimated` by one that never was; `none` = unknown. `rate_hz` and `samples` are
    those of the metered windows that the figure rests on. `simulated` marks a simulated board.
    """

    energy_j: float | None = None
    u95_j: float | None = None
    basis: str = "net"
    method: Method = "none"
    source: str = "none"
    simulated: bool = False
    rate_hz: float | None = None
    samples: int | None = None


UNKNOWN_ENERGY = Energy()


@record(frozen=True, slots=True)
class ModelRef:
    """Which model answered."""

    name: str
    version: str
    sha256: str


@record(frozen=True, slots=True)
class Route:
    """Which way the answer took.

    `exit`: stages run before the answer, 0 = none (embedded words only). `widths` are the width groups of each
    stage that ran. `cache` is `hit`, `miss` or `off`. `fallback`: what kept the run from going as planned: the rung
    that failed last, else the limit that ended it (deadline, joules, board). `truncated_tokens` counts what did not
    fit the largest length bucket.
    """

    node: str
    exit: int | None = None
    exits: int | None = None
    widths: tuple[int, ...] = ()
    delegate: str | None = None
    cache: str | None = None
    fallback: str | None = None
    configuration: str | None = None
    truncated_tokens: int = 0
    over_budget: bool = False
    simulated: bool = False


@record(frozen=True, slots=True)
class Timing:
    """Seconds on the node: waiting, and being worked on."""

    queue_s: float | None = None
    run_s: float | None = None


@record(frozen=True, slots=True)
class ErrorInfo:
    """Why nothing was answered; `code` is stable."""

    code: str
    message: str
    hint: str
    retry_after_s: float | None = None


@record(frozen=True, slots=True)
class Reply:
    """One answer to one request id. `result` is null unless `status` is `ok`."""

    id: str | None
    status: Status
    route: Route
    result: Mapping[str, Any] | None = None
    model: ModelRef | None = None
    time: Timing = field(default_factory=Timing)
    energy: Energy = UNKNOWN_ENERGY
    error: ErrorInfo | None = None

    def to_dict(self) -> dict[str, Any]:
        """The wire form."""
        route, energy = self.route, self.energy
        out: dict[str, Any] = {
            "v": WIRE_VERSION,
            "id": self.id,
            "status": self.status,
            "result": self.result,
            "model": None
            if self.model is None
            else {"name": self.model.name, "version": self.model.version, "sha256": self.model.sha256},
            "route": {
                "node": route.node,
                "exit": route.exit,
                "exits": route.exits,
                "widths": list(route.widths),
                "delegate": route.delegate,
                "cache": route.cache,
                "fallback": route.fallback,
                "configuration": route.configuration,
                "truncated_tokens": route.truncated_tokens,
                "over_budget": route.over_budget,
                "simulated": route.simulated,
            },
            "time": {"queue_s": self.time.queue_s, "run_s": self.time.run_s},
            "energy": {
                "energy_j": energy.energy_j,
                "u95_j": energy.u95_j,
                "basis": energy.basis,
                "method": energy.method,
                "source": energy.source,
                "simulated": energy.simulated,
                "rate_hz": energy.rate_hz,
                "samples": energy.samples,
            },
        }
        if self.error is not None:
            error: dict[str, Any] = {
                "code": self.error.code,
                "message": self.error.message,
                "hint": self.error.hint,
            }
            if self.error.retry_after_s is not None:
                error["retry_after_s"] = self.error.retry_after_s
            out["error"] = error
        return out


def error_reply(
    request_id: str | None,
    error: CiuicError,
    *,
    node: str,
    status: Status = "refused",
    simulated: bool = False,
) -> Reply:
    """The reply that carries an error: `refused` was not run, `failed` broke while it ran."""
    info = ErrorInfo(error.code, error.message, error.hint, error.retry_after_s)
    route, energy = Route(node=node, simulated=simulated), replace(UNKNOWN_ENERGY, simulated=simulated)
    return Reply(id=request_id, status=status, route=route, energy=energy, error=info)


def parse_reply(data: Any) -> Reply:
    """Check a decoded reply payload; unknown fields are ignored.

    Raises:
        SchemaError: a field is missing, of the wrong type or out of range.
        VersionError: `v` is another major version.
    """
    top = Fields(data, "reply")
    if top.integer("v", low=0) != WIRE_VERSION:
        msg = f"the reply is not of version {WIRE_VERSION}"
        raise VersionError(msg)
    return Reply(
        id=top.text("id", None, limit=MAX_ID_CHARS),
        status=top.choice("status", STATUSES),
        result=top.object("result", None),
        model=_parse_model(top.object("model", None)),
        route=_parse_route(top.object("route")),
        time=_parse_timing(top.object("time", None)),
        energy=_parse_energy(top.object("energy", None)),
        error=_parse_error(top.object("error", None)),
    )


def _parse_model(data: Mapping[str, Any] | None) -> ModelRef | None:
    if data is None:
        return None
    model = Fields(data, "reply.model")
    return ModelRef(model.text("name"), model.text("version"), model.text("sha256"))


def _parse_route(data: Mapping[str, Any]) -> Route:
    route = Fields(data, "reply.route")
    widths: Sequence[Any] = route.array("widths", (), limit=64)
    if not all(isinstance(width, int) and not isinstance(width, bool) for width in widths):
        route.fail("reply.route.widths holds something other than integers")
    return Route(
        node=route.text("node"),
        exit=route.integer("exit", None),
        exits=route.integer("exits", None),
        widths=tuple(widths),
        delegate=route.text("delegate", None),
        cache=route.text("cache", None),
        fallback=route.text("fallback", None, limit=1024),
        configuration=route.text("configuration", None),
        truncated_tokens=route.integer("truncated_tokens", 0),
        over_budget=route.flag("over_budget", default=False),
        simulated=route.flag("simulated", default=False),
    )


def _parse_timing(data: Mapping[str, Any] | None) -> Timing:
    if data is None:
        return Timing()
    timing = Fields(data, "reply.time")
    return Timing(timing.number("queue_s", None, low=0.0), timing.number("run_s", None, low=0.0))


def _parse_energy(data: Mapping[str, Any] | None) -> Energy:
    if data is None:
        return UNKNOWN_ENERGY
    energy = Fields(data, "reply.energy")
    return Energy(
        energy_j=energy.number("energy_j", None),
        u95_j=energy.number("u95_j", None, low=0.0),
        basis=energy.text("basis", "net"),
        method=energy.choice("method", METHODS, "none"),
        source=energy.text("source", "none"),
        simulated=energy.flag("simulated", default=False),
        rate_hz=energy.number("rate_hz", None, low=0.0),
        samples=energy.integer("samples", None),
    )


def _parse_error(data: Mapping[str, Any] | None) -> ErrorInfo | None:
    if data is None:
        return None
    error = Fields(data, "reply.error")
    return ErrorInfo(
        code=error.text("code"),
        message=error.text("message", limit=4096),
        hint=error.text("hint", "", limit=4096),
        retry_after_s=error.number("retry_after_s", None, low=0.0),
    )
