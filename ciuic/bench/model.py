"""`ciuic bench model`: a bundle against its uncompressed teacher in onnxruntime, whole answers, one thread.

Every way takes the same texts in blocks that change places: the teacher fp32 and int8 with the Rust
tokenizer, and this engine at full depth, by the default rule and by `risk-1` with its own tokenizer. Texts
are the task's own report split in its own length distribution. Runs in the training environment, which has
both runtimes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ciuic.bench.flags import add_json, add_out, add_unsigned
from ciuic.progress import Progress
from conversion.environment import enter_training_environment
from firmware_py.contracts.errors import ConfigError
from firmware_py.contracts.measurement import Check, Measurement, Row
from firmware_py.contracts.outputs import check_output
from firmware_py.testing.metrics import quantile
from firmware_py.testing.neighbours import Neighbours, is_quiet, told

ROOT = Path(__file__).resolve().parents[2]
WAYS = ("full", "balanced", "risk-1")
FORMS = ("fp32", "int8")
BOUNDS = {"full": 5.0, "risk-1": 12.0}  # times as fast as the teacher in int8
MIN_TEXTS = 100
_BLOCK = 20
_WARM = 20

Answer = Callable[[str], object]


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("--bundle", type=Path, required=True, help="model to run")
    parser.add_argument(
        "--teacher", type=Path, help="build folder with its tuned teachers (default: .ciuic/build/<model>-0)"
    )
    parser.add_argument("-n", type=int, default=1000, help="texts of the report split (default: %(default)s)")
    add_unsigned(parser)
    add_out(parser, "model-<name>.json")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; status 1 if a bound does not hold.

    Raises:
        ConfigError: too few texts, or the file cannot be written.
        ToolMissingError: there is no training environment.
        DataMissingError: the build folder has no rows or no teacher.
        BundleError: the bundle is refused.
    """
    if args.n < MIN_TEXTS:
        msg = f"-n {args.n} is below {MIN_TEXTS} texts"
        raise ConfigError(msg, hint="Fewer say little about a mean.")
    # Each runtime takes one thread: numpy reads the variables once, when it is loaded.
    alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    enter_training_environment(ROOT, "onnxruntime", "the teacher runs in onnxruntime", alone)
    from firmware_py.bundles.read import unpack
    from firmware_py.bundles.verify import Trust

    trust = Trust(ROOT / "models" / "trust", args.allow_unsigned)
    with tempfile.TemporaryDirectory(prefix="ciuic-bench-") as store:
        unpacked = unpack(args.bundle, trust, Path(store))
        name = unpacked.manifest.name
        check_output(args.out / f"model-{name}.json")
        folder = args.teacher or ROOT / ".ciuic" / "build" / f"{name}-0"
        texts = _texts(folder, args.n)
        answers = {**_teachers(folder), **_ways(unpacked)}
        neighbours = Neighbours()
        seconds = take_turns(answers, texts)
        others_cores = neighbours.cores()
    measurement = report(unpacked.sha256, seconds, others_cores)
    path = measurement.write(args.out, f"model-{name}")
    if args.json:
        sys.stdout.write(json.dumps(measurement.to_dict(), indent=1) + "\n")
    else:
        sys.stdout.write(table(measurement) + "\n")
        sys.stderr.write(f"written: {path}\n")
    return 0 if all(check.ok for check in measurement.checks) else 1


def take_turns(answers: Mapping[str, Answer], texts: Sequence[str]) -> dict[str, list[float]]:
    """Seconds of every text by every answerer, in blocks that change places."""
    seconds: dict[str, list[float]] = {name: [] for name in answers}
    for answer in answers.values():
        for text in texts[:_WARM]:
            answer(text)
    with Progress("model", len(texts)) as progress:
        for turn, begin in enumerate(range(0, len(texts), _BLOCK)):
            block = texts[begin : begin + _BLOCK]
            order = list(answers)
            first = turn % len(order)
            for name in order[first:] + order[:first]:
                answer, taken = answers[name], seconds[name]
                for text in block:
                    begin_s = time.perf_counter()
                    answer(text)
                    taken.append(time.perf_counter() - begin_s)
            progress(begin + len(block))
    return seconds


def report(sha256: str, seconds: Mapping[str, Sequence[float]], others_cores: float | None) -> Measurement:
    """Rows with ratios of means and of medians to the teacher's forms, and the bounds on int8."""
    rows = []
    for name, taken in seconds.items():
        extra: dict[str, Any] = {
            "what": "teacher in onnxruntime" if name.startswith("teacher") else "this engine"
        }
        if not name.startswith("teacher"):
            for form in FORMS:
                theirs = seconds[f"teacher {form}"]
                extra[f"times_faster_than_{form}"] = _mean(theirs) / _mean(taken)
                extra[f"times_faster_than_{form}_p50"] = quantile(theirs, 0.5) / quantile(taken, 0.5)
        latency = {"mean": _mean(taken), "p50": quantile(taken, 0.5), "p99": quantile(taken, 0.99)}
        rows.append(Row(config=name, n=len(taken), latency_s=latency, extra=extra))
    faster = {row.config: row.extra.get("times_faster_than_int8") for row in rows}
    notes = [
        "Whole answers, tokenizer included, one thread, ways interleaved in blocks of "
        f"{_BLOCK} texts; ratios of means.",
        f"{told(others_cores).capitalize()}.",
    ]
    quiet = is_quiet(others_cores)
    if not quiet:
        notes.append("BUSY MACHINE: not for publication.")
    return Measurement(
        command="ciuic bench model",
        board="this machine",
        bundle_sha256=sha256,
        date=datetime.now(UTC),
        rows=tuple(rows),
        checks=tuple(
            Check(f"{way}: times as fast as the teacher int8", faster.get(way), bound, "x", ">=")
            for way, bound in BOUNDS.items()
        ),
        notes=tuple(notes),
        quiet=quiet,
    )


def table(measurement: Measurement) -> str:
    """Rows and checks for people."""
    lines = []
    for row in measurement.rows:
        latency = row.latency_s or {}
        ratios = "".join(
            f"  {row.extra[key]:6.1f}x {form}"
            for form in FORMS
            if (key := f"times_faster_than_{form}") in row.extra
        )
        lines.append(
            f"{row.config:<13} mean {latency['mean'] * 1e3:8.3f} ms  p50 {latency['p50'] * 1e3:8.3f} ms{ratios}"
        )
    for check in measurement.checks:
        value = "unknown" if check.value is None else f"{check.value:.3g}"
        lines.append(
            f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {value} {check.relation} {check.bound:g}"
        )
    return "\n".join([*lines, *measurement.notes[1:]])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _texts(folder: Path, count: int) -> list[str]:
    """Texts of the report split, spread over it evenly."""
    from conversion.data.task import load
    from firmware_py.contracts.errors import DataMissingError

    path = folder / "data.json"
    if not path.is_file():
        msg = f"there are no rows in {folder}"
        raise DataMissingError(msg, hint="Build the model first, or give --teacher its build folder.")
    rows = load(path).report
    return [row.text for row in rows[:: max(1, len(rows) // count)]][:count]


def _teachers(folder: Path) -> dict[str, Answer]:
    from conversion.check.teacher_ort import OrtTeacher, fast_tokenizer
    from conversion.study.uncompressed import onnx_teacher
    from conversion.train.teacher import model_folder

    tokenise = fast_tokenizer(model_folder() / "vocab.txt")
    out: dict[str, Answer] = {}
    for form, path in onnx_teacher(folder).items():
        model = OrtTeacher(path)
        out[f"teacher {form}"] = lambda text, model=model: model.logits(tokenise(text)).argmax()  # type: ignore[misc]
    return out


def _ways(unpacked: Any) -> dict[str, Answer]:
    """This engine at full depth and by the named rules that the bundle has."""
    from conversion.check.cascade import Configuration, Rule, static
    from conversion.study.latency import Asked, manifest_with
    from conversion.study.stopwatch import Rig
    from firmware_py.bundles.read import Unpacked
    from firmware_py.contracts.limits import Limits
    from firmware_py.contracts.manifest import parse_manifest

    manifest = unpacked.manifest
    ways = {"full": Configuration(manifest.full_widths, static(manifest.stages, manifest.stages))}
    for name in WAYS[1:]:
        if name in manifest.exit_rules:
            rule = Rule(name, tuple(manifest.exit_rules[name]), manifest.zeroth_rules.get(name))
            ways[name] = Configuration(manifest.full_widths, rule)
    changed, named = manifest_with(manifest.to_dict(), Asked(ways, {}, ()))
    rig = Rig(Unpacked(unpacked.folder, parse_manifest(changed), unpacked.sha256))

    def answerer(rule: str) -> Answer:
        limits = Limits(float("inf"), rule)
        return lambda text: rig.engine.run(rig.task.encode({"text": text}), limits)

    return {way.name: answerer(way.rule) for way in named}
