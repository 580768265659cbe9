"""The report of `ciuic bench request`: rows, the bounds they are held against, and how they came about."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ciuic.bench.compiled import compiled_notes
from ciuic.bench.request_figures import QOS, Figures
from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.measurement import Check, Measurement, Row
from firmware_py.testing.metrics import quantile

_FLOOR_BOUNDS = ((50, 1.25), (95, 1.4))  # percentile, times the floor
_RESIDENT_MB = 90.0
_START_S = 1.5
_HELP_S = 0.150
_IDLE_PERCENT = 1.0


def report(figures: Figures, sentences: int, core: int) -> Measurement:
    """Rows and checks; the notes name this moment's load and policy, so call it right after measuring."""
    return Measurement(
        command="ciuic bench request",
        board="simulated",
        bundle_sha256=figures.sha256,
        date=SystemClock().utc(),
        rows=(*_timed_rows(figures), _start_row(figures), _help_row(figures)),
        checks=(*_floor_checks(figures), *_node_checks(figures)),
        notes=_notes(figures.broker, sentences, core),
    )


def _timed_rows(figures: Figures) -> list[Row]:
    rows = []
    for (many, qos), trips in figures.trips.items():
        where = "" if many else "/alternating"
        for name, seconds in (
            ("request", trips.request_s),
            ("floor", trips.floor_s),
            ("echo", trips.echo_s),
            ("bare", trips.bare_s),
            ("bare, tight loop", trips.tight_s),
            ("floor, tight loop", trips.tight_floor_s),
            ("hit", figures.hits_s[qos] if many else []),
            ("queued", figures.queued_s[qos] if many else []),
        ):
            if seconds:
                extra = {"exit_share": _shares(trips.exits)} if name == "request" else {}
                config = f"{name}/q{qos}{where}"
                rows.append(Row(config, n=len(seconds), latency_s=_spread(seconds), extra=extra))
    return rows


def _start_row(figures: Figures) -> Row:
    return Row(
        "node/start",
        n=len(figures.starts_s),
        latency_s=_spread(figures.starts_s),
        memory_bytes=figures.resident_bytes,
        extra={"first_ever_s": figures.cold_start_s},
    )


def _help_row(figures: Figures) -> Row:
    return Row("ciuic --help", n=len(figures.helps_s), latency_s=_spread(figures.helps_s))


def _floor_checks(figures: Figures) -> list[Check]:
    """Requests in turns of many; those in turns of one are shown, not bound."""
    checks = []
    for qos in QOS:
        trips = figures.trips[True, qos]
        for share, bound in _FLOOR_BOUNDS:
            ratio = quantile(trips.request_s, share / 100) / quantile(trips.floor_s, share / 100)
            checks.append(Check(f"request p{share} over floor, QoS {qos}", ratio, bound, ""))
    return checks


def _node_checks(figures: Figures) -> tuple[Check, ...]:
    idle_percent = None if figures.idle_share is None else figures.idle_share * 100.0
    runs = len(figures.helps_s)
    return (
        Check("node resident after the run", figures.resident_bytes / 1e6, _RESIDENT_MB, "MB"),
        Check("start to first answer, median", quantile(figures.starts_s, 0.5), _START_S, "s"),
        Check(f"ciuic --help, median of {runs} runs", quantile(figures.helps_s, 0.5), _HELP_S, "s"),
        Check("idle processor with 2 Hz heartbeat", idle_percent, _IDLE_PERCENT, "% of a core"),
    )


def _notes(broker: str, sentences: int, core: int) -> tuple[str, ...]:
    return (
        f"{sentences} distinct sentences per QoS, one client, MQTT 5, broker {broker} on loopback",
        "node as a user starts it; for timed rows the meter is off, because on a simulated board each stage tells "
        "the plant of its load, which no real board does; the result cache is on for hits only",
        "resident and idle: meter on, all sentences asked once, then 20 s of rest",
        "floor = echo of the same size by the same transport class + bare interpreter time, per request",
        "bare: the stages that answered, run by a process on the node's core when a message asks for it, as a request "
        "finds them; `tight loop`: twenty at a time on the asker's core, weights in its cache, as 0.1.0 counted them",
        "rows `alternating`: the same with turns of one, so each of the three waits for the other two and its "
        "caches are cold; shown, not bound",
        f"node and echo on core {core}, broker and asker on the others"
        if core >= 0
        else "no process was kept on a core",
        f"scheduling policy {_policy()}, load average {os.getloadavg()[0]:.1f} at the end",
        "p50 < 1 ms is the aim; the ratio is the bound, because machines differ",
        "first_ever_s also unpacks the bundle and runs its golden rows",
        *compiled_notes(),
    )


def _policy() -> str:
    """How the system schedules these processes; real-time priority shields a run from other work."""
    names = {os.SCHED_OTHER: "other", os.SCHED_RR: "real-time round robin", os.SCHED_FIFO: "real-time"}
    return names.get(os.sched_getscheduler(0), "unusual")


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{share}": quantile(seconds, share / 100) for share in (10, 50, 95, 99)}


def _shares(exits: Sequence[int]) -> dict[str, float]:
    return {str(number): exits.count(number) / len(exits) for number in sorted(set(exits))}


def table(measurement: Measurement) -> str:
    """Rows and checks for people."""
    lines = [f"{'':26}{'n':>6}{'p10':>9}{'p50':>9}{'p95':>9}{'p99':>9}  ms"]
    for row in measurement.rows:
        times = (
            "".join(f"{row.latency_s[key] * 1e3:9.3f}" for key in ("p10", "p50", "p95", "p99"))
            if row.latency_s
            else ""
        )
        lines.append(f"{row.config:26}{row.n:>6}{times}")
    for check in measurement.checks:
        value = "unknown" if check.value is None else f"{check.value:.3f}"
        mark = "ok  " if check.ok else "MISS"
        lines.append(f"{mark} {check.name}: {value} {check.relation} {check.bound:g} {check.unit}".rstrip())
    return "\n".join(lines)
