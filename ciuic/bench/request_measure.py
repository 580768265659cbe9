"""The measuring of `ciuic bench request`: which processes run when, and what is asked of them.

A node is started anew for each part: as a user starts it for start, memory and idle time, and with the
options that isolate a figure for timed rows. Only in the turns do echo and bare interpreter run beside it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ciuic.bench.compiled import compiled_in
from ciuic.bench.request_echo import MESH, TASK
from ciuic.bench.request_figures import QOS, Figures, Trips
from ciuic.bench.request_floor import BARE_TASK, BareStages, asked, bucket_of
from ciuic.bench.request_peers import NodeSpec, cpu_s, help_s, resident_bytes, running, wait_ready
from ciuic.bench.request_probe import Probe
from ciuic.bench.request_sentences import sentences
from firmware_py.bundles.verify import Trust
from firmware_py.compose import SHIPPED_TRUST
from firmware_py.contracts.errors import ConfigError
from firmware_py.contracts.reply import Reply
from firmware_py.contracts.request import Qos, Request
from mqtt_bridge.broker.process import start_broker
from mqtt_bridge.transport.base import LinkOptions
from mqtt_bridge.transport.mqtt import MqttTransport
from mqtt_bridge.wire.codec import decode_reply, encode_request

_WARM = 60
_HITS = 300
_STARTS = 5
_HELPS = 9
_IDLE_S = 20.0
_SETTLE_S = 20.0  # after its start a node with a meter runs sentences of its own for up to 15 s


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure, as the flags say it."""

    bundle: Path
    allow_unsigned: bool
    node_options: Sequence[str]
    broker_url: str | None  # none: start one of this kind, or of the one that is installed
    broker_kind: str | None
    core: int  # negative: no process is kept on a core
    sentences: int
    turn: int
    quick: bool


@dataclass(frozen=True, slots=True)
class _Bench:
    """What asks: one client, the interpreters of the floor, the task of the bundle."""

    probe: Probe
    bare: BareStages
    task: str


def measure(plan: Plan) -> Figures:
    """Starts, turns, queued requests, hits and rest, each with a node of its own.

    Raises:
        ConfigError: the core cannot be kept free, or the forms make too few sentences.
        BundleError: the bundle is refused.
        ToolMissingError: there is no broker to start, or a process of the benchmark ended at once.
        BrokerUnreachableError: the broker does not come up.
        NoReplyError: a process of the benchmark does not answer.
    """
    figures = Figures()
    with contextlib.ExitStack() as stack:
        store = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ciuic-bench-")))
        stack.enter_context(compiled_in(store / "modules"))
        if plan.broker_url:
            url, figures.broker, broker_pid = plan.broker_url, "given", None
        else:
            broker = stack.enter_context(start_broker(plan.broker_kind))
            url, figures.broker, broker_pid = broker.url, broker.kind.name, broker.pid
        if plan.core >= 0:
            _make_room(plan.core, broker_pid)
        spec = _as_a_user_starts_it(plan, url, store)
        # On a simulated board the meter costs what no real board pays: each stage tells the plant of its load.
        uncached = replace(spec, options=(*spec.options, "--cache-entries", "0", "--meter", "off"))
        link = stack.enter_context(MqttTransport(LinkOptions("bench", (url,))))
        probe = Probe(link, MESH, "bench")
        link.wait_up(5.0)
        bare = BareStages(plan.bundle, Trust(SHIPPED_TRUST, plan.allow_unsigned), store / "bench")
        figures.sha256 = bare.sha256
        bench = _Bench(probe, bare, bare.manifest.task.name)
        _starts(figures, bench, spec, 1 if plan.quick else _STARTS)
        figures.helps_s = [help_s() for _ in range(1 if plan.quick else _HELPS)]
        texts = sentences(plan.sentences)
        with _beside_its_floor(plan, uncached, store):
            _trips(figures, bench, texts, plan.turn)
            _trips(figures, bench, texts[: plan.sentences // 3], 1)
        with _node(uncached, "--inline-s", "0"):
            _queued(figures, bench)
        with _node(spec, "--meter", "off"):
            _hits(figures, bench)
        with _node(spec) as pid:
            for number, text in enumerate(texts):
                _ask(bench, text, 1, f"settle-{number}")
            time.sleep(0.0 if plan.quick else _SETTLE_S)
            figures.resident_bytes = resident_bytes(pid)
            figures.idle_share = _idle(pid, 2.0 if plan.quick else _IDLE_S)
    return figures


def _make_room(core: int, broker_pid: int | None) -> None:
    """Leave the core to node and echo.

    Raises:
        ConfigError: there is no other core, or no such one.
    """
    others = os.sched_getaffinity(0) - {core}
    if not others or core >= (os.cpu_count() or 1):
        msg = f"--core {core} leaves no core for broker and asker, or does not exist"
        raise ConfigError(msg, hint="`nproc` counts the cores; the first is 0.")
    for pid in (0, broker_pid):
        if pid is not None:
            os.sched_setaffinity(pid, others)


def _as_a_user_starts_it(plan: Plan, url: str, store: Path) -> NodeSpec:
    unsigned = ("--allow-unsigned",) if plan.allow_unsigned else ()
    options = ("--store", str(store / "node"), "--core", str(plan.core), *unsigned, *plan.node_options)
    return NodeSpec(url, MESH, plan.bundle, options)


@contextlib.contextmanager
def _node(spec: NodeSpec, *words: str) -> Iterator[int]:
    """A node that is ready, for the length of a block; its process id."""
    with running([*spec.command("bench-node"), *words]) as process:
        wait_ready(process, "node ")
        yield process.pid


@contextlib.contextmanager
def _beside_its_floor(plan: Plan, spec: NodeSpec, store: Path) -> Iterator[None]:
    """Node, echo and bare interpreters at once, for the length of a block; all are ready."""
    unsigned = ("unsigned",) if plan.allow_unsigned else ()
    bare = (str(plan.bundle), str(store / "bench"), *unsigned)
    with (
        running(spec.command("bench-node")) as node,
        running(_peer("request_echo", spec.url, plan.core)) as echo,
        running(_peer("request_floor", spec.url, plan.core, *bare)) as stages,
    ):
        wait_ready(node, "node ")
        wait_ready(echo, "ready")
        wait_ready(stages, "ready")
        yield


def _peer(name: str, url: str, core: int, *words: str) -> list[str]:
    return [sys.executable, "-m", f"ciuic.bench.{name}", url, str(core), *words]


def _starts(figures: Figures, bench: _Bench, spec: NodeSpec, count: int) -> None:
    """Seconds from the start of the process to its first answer; the first one also unpacks and self-tests."""
    for number in range(count + 1):
        begin_s = time.perf_counter()
        with _node(spec):
            _ask(bench, "turn on the kitchen light", 1, f"start-{number}")
            spent_s = time.perf_counter() - begin_s
        if number == 0:
            figures.cold_start_s = spent_s
        else:
            figures.starts_s.append(spent_s)


def _trips(figures: Figures, bench: _Bench, texts: list[str], turn: int) -> None:
    """Requests, echoes and bare runs take turns, `turn` of each at a time, QoS by QoS."""
    for number in range(_WARM):
        _ask(bench, texts[number % len(texts)], number % 2, f"warm-{turn}-{number}")
        bench.probe.ask(TASK, bytes(200), number % 2, b"700")
    for begin in range(0, len(texts), turn):
        part = texts[begin : begin + turn]
        for qos in QOS if begin // turn % 2 else reversed(QOS):
            _one_turn(figures.trips[turn > 1, qos], bench, part, (qos, f"{turn}-{begin}-{qos}"))
        done = min(begin + turn, len(texts))
        if done % 100 < turn:
            print(f"\r{done}/{len(texts)} sentences, turns of {turn} ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def _one_turn(trips: Trips, bench: _Bench, texts: list[str], names: tuple[int, str]) -> None:
    qos, prefix = names
    replies = []
    for number, text in enumerate(texts):
        spent_s, reply, size = _ask(bench, text, qos, f"{prefix}-{number}")
        trips.request_s.append(spent_s)
        trips.exits.append(-1 if reply.route.exit is None else reply.route.exit)
        replies.append((text, reply, size))
    for number, (text, _reply, size) in enumerate(replies):
        payload = _payload(bench.task, text, f"{prefix}-{number}")
        trips.echo_s.append(bench.probe.ask(TASK, payload, qos, str(size).encode()).round_trip_s)
    for text, reply, _size in replies:
        spent = bench.probe.ask(BARE_TASK, asked(text, reply), 0, b"").message.payload
        trips.bare_s.append(float(spent))
    for text, reply, _size in replies:
        bucket = bucket_of(reply)
        trips.tight_s.append(bench.bare.run_s(text, bucket, reply.route.widths) if bucket else 0.0)


def _queued(figures: Figures, bench: _Bench) -> None:
    """The same node, never inline: what running on the socket's thread saves."""
    for number, text in enumerate(sentences(_HITS)):
        for qos in QOS:
            figures.queued_s[qos].append(_ask(bench, text, qos, f"queued-{number}-{qos}")[0])


def _hits(figures: Figures, bench: _Bench) -> None:
    texts = sentences(_HITS)
    for number, text in enumerate(texts):
        _ask(bench, text, 0, f"fill-{number}")
    for qos in QOS:
        for number, text in enumerate(texts):
            spent_s, reply, _size = _ask(bench, text, qos, f"hit-{number}-{qos}")
            if reply.route.cache == "hit":
                figures.hits_s[qos].append(spent_s)


def _ask(bench: _Bench, text: str, qos: int, request_id: str) -> tuple[float, Reply, int]:
    """Seconds, the reply, and its size in bytes."""
    payload = _payload(bench.task, text, request_id)
    timed = bench.probe.ask(bench.task, payload, qos, request_id.encode())
    return timed.round_trip_s, decode_reply(timed.message.payload), len(timed.message.payload)


def _payload(task: str, text: str, request_id: str) -> bytes:
    return encode_request(Request(request_id, task, {"text": text}, Qos(deadline_s=2.0)))


def _idle(pid: int, length_s: float) -> float:
    """Share of one core while nobody asks; the heartbeat goes on twice a second."""
    begin_cpu_s, begin_s = cpu_s(pid), time.perf_counter()
    time.sleep(length_s)
    return (cpu_s(pid) - begin_cpu_s) / (time.perf_counter() - begin_s)
