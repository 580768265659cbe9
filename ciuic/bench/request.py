"""`ciuic bench request`: what a request through a broker costs above what it must.

The floor of one request is an echo through the same transport class, with a reply of the same size,
plus the bare interpreter time of the stages that answered. Requests, echoes and bare runs take turns
in one run, some of each at a time, so that a drift of the machine meets all three; node, echo and bare
interpreters are processes of their own. The result cache is off except in the hit rows.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ciuic.bench.request_echo import MESH, TASK
from ciuic.bench.request_floor import BARE_TASK, BareStages, asked
from ciuic.bench.request_peers import NodeSpec, cpu_s, resident_bytes, running, wait_ready
from ciuic.bench.request_probe import Probe
from firmware_py.bundles.verify import Trust
from firmware_py.compose import SHIPPED_TRUST, shipped
from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.errors import ConfigError
from firmware_py.contracts.measurement import Check, Measurement, Row
from firmware_py.contracts.reply import Reply
from firmware_py.contracts.request import Qos, Request
from firmware_py.testing.metrics import quantile
from mqtt_bridge.broker.process import start_broker
from mqtt_bridge.transport.base import LinkOptions
from mqtt_bridge.transport.mqtt import MqttTransport
from mqtt_bridge.wire.codec import decode_reply, encode_request

MIN_SENTENCES = 1000
_WARM = 60
_HITS = 300
_STARTS = 5
_IDLE_S = 20.0
_SETTLE_S = 20.0  # after its start a node with a meter runs sentences of its own for up to 15 s
_QOS = (0, 1)

_VERBS = ("turn on", "turn off", "switch on", "switch off", "please turn on", "please turn off")
_THINGS = ("light", "lights", "lamp", "fan", "heater", "radio", "ceiling light", "desk lamp", "air purifier")
_PLACES = (
    "kitchen", "garden", "garage", "bedroom", "living room", "hallway", "bathroom", "office", "attic",
    "basement", "dining room", "guest room", "nursery", "porch", "laundry room", "study", "pantry",
)  # fmt: skip
_FORMS = ("{verb} the {thing} in the {place}", "{verb} the {place} {thing}")
_OTHERS = (
    "set the {place} {thing} to {number} percent",
    "what is the temperature in the {place}",
    "is the {thing} in the {place} on",
    "set a timer for {number} minutes",
    "open the blinds in the {place}",
    "make the {place} {number} degrees",
    "how long is the flight to {place} {number}",
    "tell me a story about a {thing} and a {place}",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument(
        "--bundle", type=Path, default=shipped("models/home-en.bundle"), help="model to serve"
    )
    parser.add_argument(
        "-n", type=int, default=1200, help="distinct sentences per QoS (default: %(default)s)"
    )
    parser.add_argument(
        "--turn",
        type=int,
        default=20,
        help="requests, then echoes, then bare runs at a time (default: %(default)s)",
    )
    parser.add_argument("--broker", metavar="URL", help="a broker that runs already (default: start one)")
    parser.add_argument("--kind", choices=("mosquitto", "iotcore"), help="the broker to start")
    parser.add_argument(
        "--allow-unsigned", action="store_true", help="serve a bundle without trusted signature"
    )
    parser.add_argument(
        "--node-option",
        action="append",
        default=[],
        metavar="WORD",
        help="one more word for `ciuic node run`",
    )
    parser.add_argument(
        "--core", type=int, default=-1, help="keep node and echo on this core, broker and asker on the others"
    )
    parser.add_argument("--quick", action="store_true", help="one start, 2 s idle: for tests")
    parser.add_argument("--out", type=Path, default=Path("docs/measurements"), help="folder for request.json")
    parser.add_argument("--json", action="store_true", help="print the measurement file")


@dataclass(slots=True)
class Trips:
    """Seconds of one QoS, request by request in the same order."""

    request: list[float] = field(default_factory=list)
    echo: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    tight: list[float] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)

    @property
    def floor(self) -> list[float]:
        """Echo plus bare interpreter time, per request."""
        return [echo + bare for echo, bare in zip(self.echo, self.bare, strict=True)]

    @property
    def tight_floor(self) -> list[float]:
        """The same with interpreters in a tight loop of this process."""
        return [echo + bare for echo, bare in zip(self.echo, self.tight, strict=True)]


@dataclass(frozen=True, slots=True)
class _Bench:
    """What asks: one client, the interpreters of the floor, the task of the bundle."""

    probe: Probe
    bare: BareStages
    task: str


@dataclass(slots=True)
class Figures:
    """Everything measured; trips by whether a turn holds many requests, and by QoS."""

    trips: dict[tuple[bool, int], Trips] = field(
        default_factory=lambda: {(many, qos): Trips() for many in (True, False) for qos in _QOS}
    )
    hits: dict[int, list[float]] = field(default_factory=lambda: {qos: [] for qos in _QOS})
    queued: dict[int, list[float]] = field(default_factory=lambda: {qos: [] for qos in _QOS})
    starts_s: list[float] = field(default_factory=list)
    cold_start_s: float | None = None
    resident: int = 0
    idle_share: float | None = None
    sha256: str | None = None
    broker: str = ""


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; status 1 if a bound does not hold.

    Raises:
        ConfigError: too few sentences, or no bundle.
    """
    if args.n < MIN_SENTENCES and not args.quick:
        msg = f"-n {args.n} is below {MIN_SENTENCES} sentences"
        raise ConfigError(msg, hint="Fewer say little about percentiles.")
    if not args.bundle.exists():
        msg = f"there is no bundle {args.bundle}"
        raise ConfigError(msg, hint="Give --bundle, or build one: ciuic model build home-en.")
    figures = _measure(args)
    measurement = _report(figures, args)
    path = measurement.write(args.out, "request")
    if args.json:
        print(json.dumps(measurement.to_dict(), indent=1))
    else:
        _print(measurement)
        print(f"written: {path}", file=sys.stderr)
    return 0 if all(check.ok for check in measurement.checks) else 1


def sentences(count: int) -> list[str]:
    """Distinct commands, questions and strangers, every 4th not a switch; the same every time.

    Raises:
        ConfigError: more than the forms can make.
    """
    switches = (
        form.format(verb=verb, thing=thing, place=place)
        for place, form, verb, thing in itertools.product(_PLACES, _FORMS, _VERBS, _THINGS)
    )
    others = (
        form.format(thing=thing, place=place, number=number)
        for number, place, thing, form in itertools.product(range(5, 60, 5), _PLACES, _THINGS, _OTHERS)
    )
    found: dict[str, None] = {}
    while len(found) < count:
        source: Iterator[str] = others if len(found) % 4 == 3 else switches
        text = next(source, None)
        if text is None:
            msg = f"the forms make fewer than {count} sentences"
            raise ConfigError(msg)
        found[text] = None
    return list(found)


def _measure(args: argparse.Namespace) -> Figures:
    figures = Figures()
    with contextlib.ExitStack() as stack:
        store = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ciuic-bench-")))
        if args.broker:
            url, figures.broker = args.broker, "given"
        else:
            broker = stack.enter_context(start_broker(args.kind))
            url, figures.broker = broker.url, broker.kind.name
        if args.core >= 0:
            _make_room(args.core, None if args.broker else broker.pid)
        options = (
            "--store",
            str(store / "node"),
            "--core",
            str(args.core),
            *(("--allow-unsigned",) if args.allow_unsigned else ()),
        )
        spec = NodeSpec(url, MESH, args.bundle, (*options, *args.node_option))
        link = stack.enter_context(MqttTransport(LinkOptions("bench", (url,))))
        probe = Probe(link, MESH, "bench")
        link.wait_up(5.0)
        trust = Trust(SHIPPED_TRUST, args.allow_unsigned)
        bare = BareStages(args.bundle, trust, store / "bench")
        figures.sha256 = bare.sha256
        task = bare.manifest.task.name
        # On a simulated board the meter costs what no real board pays: each stage tells the plant of its load.
        bare_node = NodeSpec(
            url, MESH, args.bundle, (*spec.options, "--cache-entries", "0", "--meter", "off")
        )
        _starts(figures, spec, probe, task, 1 if args.quick else _STARTS)
        with (
            running(bare_node.command("bench-node")) as node,
            running(_peer("request_echo", url, args.core)) as echo,
            running(_peer("request_floor", url, args.core, *_stages(args, store))) as stages,
        ):
            wait_ready(node, "node ")
            wait_ready(echo, "ready")
            wait_ready(stages, "ready")
            bench, texts = _Bench(probe, bare, task), sentences(args.n)
            _trips(figures, bench, texts, args.turn)
            _trips(figures, bench, texts[: args.n // 3], 1)
        with running([*bare_node.command("bench-node"), "--inline-s", "0"]) as node:
            wait_ready(node, "node ")
            _queued(figures, probe, task)
        with running([*spec.command("bench-node"), "--meter", "off"]) as node:
            wait_ready(node, "node ")
            _hits(figures, probe, task)
        with running(spec.command("bench-node")) as node:
            wait_ready(node, "node ")
            for number, text in enumerate(texts):
                _ask(probe, task, text, 1, f"settle-{number}")
            time.sleep(0.0 if args.quick else _SETTLE_S)
            figures.resident = resident_bytes(node.pid)
            figures.idle_share = _idle(node.pid, 2.0 if args.quick else _IDLE_S)
    return figures


def _peer(name: str, url: str, core: int, *words: str) -> list[str]:
    return [sys.executable, "-m", f"ciuic.bench.{name}", url, str(core), *words]


def _stages(args: argparse.Namespace, store: Path) -> tuple[str, ...]:
    return (str(args.bundle), str(store / "bench"), *(("unsigned",) if args.allow_unsigned else ()))


def _make_room(core: int, broker: int | None) -> None:
    """Leave the core to node and echo.

    Raises:
        ConfigError: there is no other core, or no such one.
    """
    others = os.sched_getaffinity(0) - {core}
    if not others or core >= (os.cpu_count() or 1):
        msg = f"--core {core} leaves no core for broker and asker, or does not exist"
        raise ConfigError(msg, hint="`nproc` counts the cores; the first is 0.")
    for pid in (0, broker):
        if pid is not None:
            os.sched_setaffinity(pid, others)


def _starts(figures: Figures, spec: NodeSpec, probe: Probe, task: str, count: int) -> None:
    """Seconds from the start of the process to its first answer; the first one also unpacks and self-tests."""
    for number in range(count + 1):
        begin_s = time.perf_counter()
        with running(spec.command("bench-node")) as node:
            wait_ready(node, "node ")
            _ask(probe, task, "turn on the kitchen light", 1, f"start-{number}")
            spent_s = time.perf_counter() - begin_s
        if number == 0:
            figures.cold_start_s = spent_s
        else:
            figures.starts_s.append(spent_s)


def _trips(figures: Figures, bench: _Bench, texts: list[str], turn: int) -> None:
    """Requests, echoes and bare runs take turns, `turn` of each at a time, QoS by QoS."""
    for number in range(_WARM):
        _ask(bench.probe, bench.task, texts[number % len(texts)], number % 2, f"warm-{turn}-{number}")
        bench.probe.ask(TASK, bytes(200), number % 2, b"700")
    for begin in range(0, len(texts), turn):
        part = texts[begin : begin + turn]
        for qos in _QOS if begin // turn % 2 else reversed(_QOS):
            _one_turn(figures.trips[turn > 1, qos], bench, part, (qos, f"{turn}-{begin}-{qos}"))
        done = min(begin + turn, len(texts))
        if done % 100 < turn:
            print(f"\r{done}/{len(texts)} sentences, turns of {turn} ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def _one_turn(trips: Trips, bench: _Bench, texts: list[str], names: tuple[int, str]) -> None:
    qos, prefix = names
    replies = []
    for number, text in enumerate(texts):
        spent_s, reply, size = _ask(bench.probe, bench.task, text, qos, f"{prefix}-{number}")
        trips.request.append(spent_s)
        trips.exits.append(-1 if reply.route.exit is None else reply.route.exit)
        replies.append((text, reply, size))
    for number, (text, _reply, size) in enumerate(replies):
        payload = _payload(bench.task, text, f"{prefix}-{number}")
        trips.echo.append(bench.probe.ask(TASK, payload, qos, str(size).encode()).round_trip_s)
    for text, reply, _size in replies:
        spent = bench.probe.ask(BARE_TASK, asked(text, reply), 0, b"").message.payload
        trips.bare.append(float(spent))
    for text, reply, _size in replies:
        bucket = int((reply.route.configuration or "0").partition("/")[0])
        trips.tight.append(bench.bare.run_s(text, bucket, reply.route.widths) if bucket else 0.0)


def _queued(figures: Figures, probe: Probe, task: str) -> None:
    """The same node, never inline: what running on the socket's thread saves."""
    for number, text in enumerate(sentences(_HITS)):
        for qos in _QOS:
            figures.queued[qos].append(_ask(probe, task, text, qos, f"queued-{number}-{qos}")[0])


def _hits(figures: Figures, probe: Probe, task: str) -> None:
    texts = sentences(_HITS)
    for number, text in enumerate(texts):
        _ask(probe, task, text, 0, f"fill-{number}")
    for qos in _QOS:
        for number, text in enumerate(texts):
            spent_s, reply, _size = _ask(probe, task, text, qos, f"hit-{number}-{qos}")
            if reply.route.cache == "hit":
                figures.hits[qos].append(spent_s)


def _ask(probe: Probe, task: str, text: str, qos: int, request_id: str) -> tuple[float, Reply, int]:
    timed = probe.ask(task, _payload(task, text, request_id), qos, request_id.encode())
    return timed.round_trip_s, decode_reply(timed.message.payload), len(timed.message.payload)


def _payload(task: str, text: str, request_id: str) -> bytes:
    return encode_request(Request(request_id, task, {"text": text}, Qos(deadline_s=2.0)))


def _idle(pid: int, length_s: float) -> float:
    """Share of one core while nobody asks; the heartbeat goes on twice a second."""
    begin_cpu_s, begin_s = cpu_s(pid), time.perf_counter()
    time.sleep(length_s)
    return (cpu_s(pid) - begin_cpu_s) / (time.perf_counter() - begin_s)


def _report(figures: Figures, args: argparse.Namespace) -> Measurement:
    rows, checks = [], []
    for (many, qos), trips in figures.trips.items():
        where = "" if many else "/alternating"
        for name, values in (
            ("request", trips.request),
            ("floor", trips.floor),
            ("echo", trips.echo),
            ("bare", trips.bare),
            ("bare, tight loop", trips.tight),
            ("floor, tight loop", trips.tight_floor),
            ("hit", figures.hits[qos] if many else []),
            ("queued", figures.queued[qos] if many else []),
        ):
            if values:
                extra = {"exit_share": _shares(trips.exits)} if name == "request" else {}
                rows.append(_row(f"{name}/q{qos}{where}", values, extra))
        if many:
            checks += [
                Check(
                    f"request p{share} over floor, QoS {qos}",
                    quantile(trips.request, share / 100) / quantile(trips.floor, share / 100),
                    bound,
                    "",
                )
                for share, bound in ((50, 1.25), (95, 1.4))
            ]
    rows.append(Row("node/start", n=len(figures.starts_s), latency_s=_spread(figures.starts_s),
                    memory_bytes=figures.resident, extra={"first_ever_s": figures.cold_start_s}))  # fmt: skip
    checks += [
        Check("node resident after the run", figures.resident / 1e6, 90.0, "MB"),
        Check("start to first answer, median", quantile(figures.starts_s, 0.5), 1.5, "s"),
        Check("idle processor with 2 Hz heartbeat", (figures.idle_share or 0.0) * 100.0, 1.0, "% of a core"),
    ]
    notes = (
        f"{args.n} distinct sentences per QoS, one client, MQTT 5, broker {figures.broker} on loopback",
        "node as a user starts it; for timed rows the meter is off, because on a simulated board each stage tells "
        "the plant of its load, which no real board does; the result cache is on for hits only",
        "resident and idle: meter on, all sentences asked once, then 20 s of rest",
        "floor = echo of the same size by the same transport class + bare interpreter time, per request",
        "bare: the stages that answered, run by a process on the node's core when a message asks for it, as a request "
        "finds them; `tight loop`: twenty at a time on the asker's core, weights in its cache, as 0.1.0 counted them",
        "rows `alternating`: the same with turns of one, so each of the three waits for the other two and its "
        "caches are cold; shown, not bound",
        f"node and echo on core {args.core}, broker and asker on the others"
        if args.core >= 0
        else "no process was kept on a core",
        f"scheduling policy {_policy()}, load average {os.getloadavg()[0]:.1f} at the end",
        "p50 < 1 ms is the aim; the ratio is the bound, because machines differ",
        "first_ever_s also unpacks the bundle and runs its golden rows",
    )
    return Measurement(
        "ciuic bench request",
        "simulated",
        figures.sha256,
        SystemClock().utc(),
        tuple(rows),
        tuple(checks),
        notes,
    )


def _policy() -> str:
    """How the system schedules these processes; real-time priority shields a run from other work."""
    names = {os.SCHED_OTHER: "other", os.SCHED_RR: "real-time round robin", os.SCHED_FIFO: "real-time"}
    return names.get(os.sched_getscheduler(0), "unusual")


def _row(config: str, values: Sequence[float], extra: Mapping[str, object]) -> Row:
    return Row(config, n=len(values), latency_s=_spread(values), extra=extra)


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {f"p{share}": quantile(values, share / 100) for share in (10, 50, 95, 99)}


def _shares(exits: Sequence[int]) -> dict[str, float]:
    return {str(number): exits.count(number) / len(exits) for number in sorted(set(exits))}


def _print(measurement: Measurement) -> None:
    print(f"{'':26}{'n':>6}{'p10':>9}{'p50':>9}{'p95':>9}{'p99':>9}  ms")
    for row in measurement.rows:
        times = (
            "".join(f"{row.latency_s[key] * 1e3:9.3f}" for key in ("p10", "p50", "p95", "p99"))
            if row.latency_s
            else ""
        )
        print(f"{row.config:26}{row.n:>6}{times}")
    for check in measurement.checks:
        value = "unknown" if check.value is None else f"{check.value:.3f}"
        mark = "ok  " if check.ok else "MISS"
        print(f"{mark} {check.name}: {value} {check.relation} {check.bound:g} {check.unit}".rstrip())
