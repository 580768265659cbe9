"""`ciuic bench engine`: what the engine costs above its bare interpreters and heads.

Twenty sentences at a time are run three ways in turn, in changing order: through the engine; bare, that
is `set_tensor`, `invoke`, `get_tensor` of the stages that answered and the same heads; and through the
node's inline path. Engine and bare loop share their interpreters, so both meet them in the same
state. Caches are off except in the hit row; exits are as the rule chose.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Self

from ciuic.bench.compiled import compiled_in, compiled_notes
from ciuic.bench.flags import add_json, add_out, add_unsigned
from ciuic.bench.request_sentences import MIN_SENTENCES, sentences
from ciuic.progress import Progress
from firmware_py.backends.health import DelegateHealth
from firmware_py.backends.litert import LiteRtGraph
from firmware_py.backends.loaded import LoadedGraph
from firmware_py.backends.opening import DelegateSpec, open_loader
from firmware_py.bundles.read import Unpacked, unpack
from firmware_py.caches.models import ModelCache
from firmware_py.compose import build_node, shipped, trust_of
from firmware_py.config import AgentConfig
from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.configuration import parse_configuration
from firmware_py.contracts.errors import ConfigError
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.manifest import Graph
from firmware_py.contracts.measurement import Check, Measurement, Row
from firmware_py.contracts.outputs import check_output
from firmware_py.contracts.request import Request
from firmware_py.contracts.run import GraphKey, RunRecord
from firmware_py.costs import CostModel
from firmware_py.inference.engine import Engine, Outcome, Weights
from firmware_py.inference.rows import Reader
from firmware_py.inference.tensors import bias, position_tables
from firmware_py.tasks.intent import Encoded, IntentTask
from firmware_py.testing.metrics import quantile

STARTS = 5
_WARM = 50
_TURN = 20  # sentences of one way before the next: short against the drift of a machine
_HITS = 1000
_PATIENT_S = 60.0
OVERHEAD_S, OVERHEAD_SHARE = 20e-6, 0.10
FIRST_EXIT_S = 0.3e-3
RESIDENT_BYTES = 90 * 10**6
START_S = 1.5

# What a process does from its start to its first answer; prints the seconds since its parent began it,
# and its resident memory (VmRSS of proc(5)) after some answers.
_CHILD = """
import json, sys, time
begin_s, config = json.loads(sys.argv[1])
from firmware_py.compose import build_node
from firmware_py.config import AgentConfig
from firmware_py.contracts.request import Request
config["model"] = tuple(config["model"])
with build_node(AgentConfig(**config)) as node:
    def ask(text):
        return node.answer(Request("1", node.tasks()[0].name, {"text": text}, arrived_s=time.monotonic()))
    status = ask("turn on the kitchen light").status
    start_s = time.monotonic() - begin_s
    for text in sys.stdin.read().splitlines():
        ask(text)
    with open("/proc/self/status", encoding="ascii") as file:
        resident = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS:"))
    print(json.dumps([start_s, resident, status]))
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument(
        "--bundle",
        type=Path,
        default=shipped("models/home-en.bundle"),
        help="model to run (default: models/home-en.bundle)",
    )
    parser.add_argument("-n", type=int, default=1200, help="distinct sentences (default: %(default)s)")
    add_unsigned(parser)
    add_out(parser, "engine.json")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; status 1 if a bound does not hold.

    Raises:
        ConfigError: too few sentences, or the file cannot be written.
        BundleError: the bundle is refused.
    """
    if args.n < MIN_SENTENCES:
        msg = f"-n {args.n} is below {MIN_SENTENCES} sentences"
        raise ConfigError(msg, hint="Fewer say little about percentiles.")
    check_output(args.out / "engine.json")
    texts = sentences(args.n)
    with tempfile.TemporaryDirectory(prefix="ciuic-bench-") as store, compiled_in(Path(store) / "modules"):
        config = AgentConfig(
            node="bench",
            profile="simulated",  # speed factor 1 by definition: this machine's own speed
            model=(str(args.bundle),),
            store=store,
            allow_unsigned=args.allow_unsigned,
            cache_entries=0,
            meter="off",
        )
        figures = measure(config, texts)
        figures.hits_s = _hits(config, texts)
        figures.cold_start_s, *_ = _start(AgentConfig(**{**vars_of(config), "store": f"{store}/cold"}), [])
        for _ in range(STARTS):
            start_s, figures.resident_bytes, figures.first_status = _start(config, texts[:200])
            figures.starts_s.append(start_s)
    measurement = report(figures, len(texts))
    path = measurement.write(args.out, "engine")
    if args.json:
        print(json.dumps(measurement.to_dict(), indent=1))
    else:
        print(table(measurement))
        print(f"written: {path}", file=sys.stderr)
    return 0 if all(check.ok for check in measurement.checks) else 1


def vars_of(config: AgentConfig) -> dict[str, Any]:
    """The settings as a mapping (the class has slots)."""
    return {name: getattr(config, name) for name in config.__slots__}


@dataclass(slots=True)
class Figures:
    """Seconds, sentence by sentence in the same order, and what was measured once."""

    sha256: str
    recipe: str
    engine_s: list[float] = field(default_factory=list)
    bare_s: list[float] = field(default_factory=list)
    node_s: list[float] = field(default_factory=list)
    records: list[RunRecord] = field(default_factory=list)
    hits_s: list[float] = field(default_factory=list)
    starts_s: list[float] = field(default_factory=list)
    cold_start_s: float = 0.0
    resident_bytes: int = 0
    first_status: str = ""

    def exits(self) -> list[int]:
        """Exits that answered, in order."""
        return sorted({record.exit for record in self.records})


def measure(config: AgentConfig, texts: Sequence[str]) -> Figures:
    """Engine, bare loop and node in turn over every sentence."""
    unpacked = unpack(Path(config.model[0]), trust_of(config), Path(config.store))
    rig = _Rig(unpacked)
    intents = IntentTask(unpacked.manifest, unpacked.read(unpacked.manifest.tokenizer.name))
    with build_node(config) as node, rig:
        figures = Figures(unpacked.sha256, unpacked.manifest.recipe)
        task = unpacked.manifest.task.name
        encoded = [intents.encode({"text": text}) for text in texts]

        def ask(text: str) -> None:
            node.answer(Request("1", task, {"text": text}, arrived_s=time.monotonic()))

        for warm, text in zip(encoded[:_WARM], texts, strict=False):
            rig.bare(warm, rig.run(warm))()
            ask(text)
        with Progress("engine", len(texts)) as progress:
            for begin in range(0, len(texts), _TURN):
                block = encoded[begin : begin + _TURN]
                outcomes = [rig.run(each) for each in block]  # which stages the bare loop runs; not timed
                ways: list[tuple[list[float], Sequence[Callable[[], object]]]] = [
                    (figures.engine_s, [partial(rig.run, each) for each in block]),
                    (figures.bare_s, [rig.bare(*pair) for pair in zip(block, outcomes, strict=True)]),
                    (figures.node_s, [partial(ask, text) for text in texts[begin : begin + _TURN]]),
                ]
                first = begin // _TURN % 3
                for seconds, actions in ways[first:] + ways[:first]:
                    rig.forget()
                    _time(actions, seconds)
                figures.records += [outcome.record for outcome in outcomes]
                progress(begin)
    return figures


def _time(actions: Sequence[Callable[[], object]], seconds: list[float]) -> None:
    for action in actions:
        begin_s = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - begin_s)


class _Rig:
    """An engine and the bare loop over the same interpreters."""

    def __init__(self, unpacked: Unpacked) -> None:
        manifest = unpacked.manifest
        name, loader = open_loader(unpacked.folder, manifest, DelegateSpec())
        self._loaded: dict[GraphKey, LiteRtGraph] = {}

        def keep(graph: Graph) -> LoadedGraph:
            loaded = loader(graph)
            if not isinstance(loaded, LiteRtGraph):
                msg = "this bundle has no TFLite graphs"
                raise ConfigError(msg)
            self._loaded[graph.key] = loaded
            return loaded

        self._cache = ModelCache(manifest.graphs, keep, name, 2**30)
        self._cache.load(graph.key for graph in manifest.graphs)
        self._weights = Weights.load(unpacked)
        self._reader = Reader(self._weights.embedding.width)
        self._zeroth_rules = manifest.zeroth_rules
        clock, costs = SystemClock(), CostModel().of(self._weights.sha256)
        self._engine = Engine(self._weights, [self._cache], clock, DelegateHealth(clock), costs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._engine.close()

    def run(self, encoded: Encoded) -> Outcome:
        """One run through the engine under the bundle's default rule."""
        limits = Limits(time.monotonic() + _PATIENT_S, self._weights.manifest.default_rule)
        return self._engine.run(encoded, limits)

    def forget(self) -> None:
        """Between the ways: the bare loop sets inputs that the engine would take for its own."""
        for graph in self._loaded.values():
            graph.forget()

    def bare(self, encoded: Encoded, outcome: Outcome) -> Callable[[], None]:
        """The stages of an outcome without an engine: set, invoke, get, head; the last one's tags.

        What is returned holds everything that could be prepared: rows, tables, tensor indices.
        """
        weights, n, record = self._weights, encoded.tokens, outcome.record
        tagged = bool(outcome.tags)  # none out of scope, none without slots
        way = self._engine.graph.path(n)
        bucket = way.bucket
        cos, sin = position_tables(bucket, way.position_dims)
        given = {"bias": bias(n, bucket), "cos": cos, "sin": sin}
        steps = []
        for at, stage in enumerate(record.stages):
            graph = self._loaded[stage.graph]
            feeds = [(index, given[name]) for name, index in graph.feeds if name != "h"]
            steps.append((graph, feeds, dict(graph.feeds)["h"], graph.fetches["h_out"], weights.heads[at]))
        rows, reader = weights.embedding.lookup(encoded.ids, bucket), self._reader
        zeroth = weights.zeroth if record.configuration.split("/")[2] in self._zeroth_rules else None

        def loop() -> None:
            h, head, said, pooled = rows, zeroth, None, None
            if head is not None:
                said = reader.read(h, n)
                _logits, pooled = head.answer(said)
            for graph, feeds, h_in, h_out, head in steps:
                graph.set_tensor(h_in, h)
                for index, tensor in feeds:
                    graph.set_tensor(index, tensor)
                graph.invoke()
                h = graph.get_tensor(h_out)
                said = reader.read(h, n)
                _logits, pooled = head.answer(said)
            if tagged and head is not None and said is not None and pooled is not None:
                head.scores_of(said, pooled).argmax(1)

        return loop


def _hits(config: AgentConfig, texts: Sequence[str]) -> list[float]:
    """Seconds of answers from the result cache."""
    seconds = []
    with build_node(AgentConfig(**{**vars_of(config), "cache_entries": 10_000})) as node:
        (task,) = node.tasks()
        for timed in (False, True):
            for text in texts[:_HITS]:
                request = Request("1", task.name, {"text": text}, arrived_s=time.monotonic())
                begin_s = time.perf_counter()
                reply = node.answer(request)
                if timed and reply.route.cache == "hit":
                    seconds.append(time.perf_counter() - begin_s)
    return seconds


def _start(config: AgentConfig, texts: Sequence[str]) -> tuple[float, int, str]:
    """Seconds from a process's start to its first answer, its resident bytes later, that answer's status.

    Raises:
        ConfigError: the process failed; its own words are on standard error.
    """
    job = json.dumps([time.monotonic(), vars_of(config)])
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, job],
        input="\n".join(texts),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if child.returncode != 0:
        msg = f"a started agent ended with status {child.returncode}"
        raise ConfigError(msg, hint="Its own message is above.")
    start_s, resident, status = json.loads(child.stdout.splitlines()[-1])
    return float(start_s), int(resident), str(status)


def report(figures: Figures, count: int) -> Measurement:
    """Rows and checks."""
    extra = [engine - bare for engine, bare in zip(figures.engine_s, figures.bare_s, strict=True)]
    overhead_s = median(extra)
    bound_s = max(OVERHEAD_S, OVERHEAD_SHARE * median(figures.bare_s))
    first = [s for s, record in zip(figures.engine_s, figures.records, strict=True) if record.exit == 1]
    rows = [
        _row("engine", figures.engine_s, None, {"what": "engine, exits as the rule chose"}),
        _row("bare", figures.bare_s, None, {"what": "bare interpreters and heads, same stages"}),
        _row("node/inline", figures.node_s, None, {"what": "node, inline, cache off"}),
        _row("node/hit", figures.hits_s, None, {"what": "node, inline, cache hit"}),
        *_by_configuration(figures, extra, count),
    ]
    rows.append(
        Row(
            config="node/start",
            n=len(figures.starts_s),
            latency_s={"p50": median(figures.starts_s), "max": max(figures.starts_s)},
            memory_bytes=figures.resident_bytes,
            extra={
                "what": "agent without broker: process start to first answer; resident after 200 answers",
                "very_first_start_s": figures.cold_start_s,
                "first_status": figures.first_status,
            },
        )
    )
    return Measurement(
        command="ciuic bench engine",
        board="this machine",
        bundle_sha256=figures.sha256,
        date=datetime.now(UTC),
        rows=tuple(rows),
        checks=(
            Check("sentences", float(count), float(MIN_SENTENCES), "sentences", ">="),
            Check("engine over bare interpreters and heads, p50 of pairs", overhead_s, bound_s, "s"),
            Check("first exit p50", quantile(first, 0.5) if first else None, FIRST_EXIT_S, "s"),
            Check(
                "resident with the bundle loaded",
                float(figures.resident_bytes),
                float(RESIDENT_BYTES),
                "bytes",
            ),
            Check("first answer after start, p50", median(figures.starts_s), START_S, "s"),
        ),
        notes=(
            "The overhead's bound is the larger of 20 microseconds and 10 % of the bare median.",
            "Bare: rows, tables and tensor indices prepared before; the embedding lookup counts as overhead.",
            "very_first_start_s also unpacks the bundle and runs its self-test in a child process.",
            *compiled_notes(),
        ),
    )


def _by_configuration(figures: Figures, extra_s: Sequence[float], count: int) -> list[Row]:
    """Rows under the cost table's keys, each of one length: whichever exit answered, then by exit."""
    rows = []
    keys = {record.configuration for record in figures.records}
    for config in sorted(keys, key=lambda key: parse_configuration(key).bucket):
        for number in (None, *figures.exits()):
            chosen = [
                at
                for at, record in enumerate(figures.records)
                if record.configuration == config and number in (None, record.exit)
            ]
            if chosen:
                what = "engine at this length" if number is None else "engine, answered by this exit"
                overhead_s = median([extra_s[at] for at in chosen])
                of = {"what": what, "share": len(chosen) / count, "overhead_p50_s": overhead_s}
                rows.append(_row(config, [figures.engine_s[at] for at in chosen], number, of))
    return rows


def _row(config: str, seconds: Sequence[float], exit_number: int | None, extra: dict[str, Any]) -> Row:
    latency = {"p50": quantile(seconds, 0.5), "p99": quantile(seconds, 0.99)}
    return Row(config, "xnnpack", exit_number, len(seconds), latency_s=latency, extra=extra)


def table(measurement: Measurement) -> str:
    """Rows and checks for people."""
    lines = []
    for row in measurement.rows:
        latency = row.latency_s or {}
        figures = "  ".join(f"{name} {value * 1e3:9.3f} ms" for name, value in latency.items())
        exit_, share = "" if row.exit is None else f" {row.exit}", row.extra.get("share")
        where = "" if share is None else f"{exit_} ({share:.0%}), {row.config}"
        lines.append(f"{figures}  n {row.n:5d}  {row.extra['what']}{where}")
    for check in measurement.checks:
        value = "unknown" if check.value is None else f"{check.value:.6g}"
        verdict = "ok  " if check.ok else "FAIL"
        lines.append(f"{verdict} {check.name}: {value} {check.unit} ({check.relation} {check.bound:.6g})")
    return "\n".join(lines)
