"""The one self-test: a bundle's golden rows, run on this board's runtime.

`check_rows` compares inside the process; it re-tests a delegate that was out. `self_test` runs the same
in a child process, because a bad graph can take its interpreter and the process with it (seen: a
segmentation fault on a blockwise int4 file). Its verdict is stamped beside the unpacked bundle, by
runtime version and delegate, so that a normal start does not repeat it.
"""

from __future__ import annotations

import json
import logging
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_py.backends.guarded import RUN_S
from firmware_py.backends.opening import DelegateSpec, open_loader, runtime_of
from firmware_py.bundles.read import Unpacked, check_folder
from firmware_py.bundles.write import write_atomic
from firmware_py.caches.models import ModelCache
from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import CiuicError, GoldenTestError
from firmware_py.contracts.golden import GoldenRow, parse_golden
from firmware_py.contracts.manifest import parse_manifest
from firmware_py.contracts.seams import Runner
from firmware_py.inference.child import Child
from firmware_py.inference.engine import Weights
from firmware_py.inference.graph import DynamicComputingGraph
from firmware_py.inference.tensors import bias, position_tables
from firmware_py.tasks.intent import IntentTask

_log = logging.getLogger(__name__)

TIMEOUT_S = 120.0  # cold start, all graphs and rows on the slowest board
MIN_TAGS_AGREE = 0.9  # near ties may fall the other way on another processor
# Of an exit's logits over all rows at full width: the mean error may be so much of their standard deviation. Graphs
# of home-en and hwu64 with their last stage left out are off by 9 and 15 %, with 30 % of noise by 10 and 16 %.
_MEAN_SHARE, _LEAST_MEAN = 0.08, 0.02


def load_rows(unpacked: Unpacked) -> tuple[GoldenRow, ...]:
    """The bundle's golden rows.

    Raises:
        BundleError: the member is gone or of another form.
    """
    return parse_golden(unpacked.read(unpacked.manifest.golden.name))


def check_rows(weights: Weights, runner: Runner, rows: Sequence[GoldenRow]) -> None:
    """Run every row through every stage, at its widths, and compare each exit's logits with the reference.

    Raises:
        GoldenTestError: a logit is further off than the row allows, is not a number, all together are too far off,
            or too many tags differ. The message names row and exit, never the text.
        GraphError: the interpreter failed.
        DelegateError: the delegate failed.
    """
    graph = DynamicComputingGraph(weights.manifest, [runner.delegate])
    causal = weights.manifest.attention == "causal"
    agree = total = 0
    off: dict[int, list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]] = {}
    for number, row in enumerate(rows, start=1):
        n, way = len(row.ids), graph.path(len(row.ids), row.widths or None)
        if row.widths and way.rungs[0].widths != row.widths:
            msg = f"golden row {number} is of widths that the bundle lacks at its length"
            raise GoldenTestError(msg)
        cos, sin = position_tables(way.bucket, way.position_dims)
        feeds = {"bias": bias(n, way.bucket, causal=causal), "cos": cos, "sin": sin}
        feeds["h"] = weights.embedding.lookup(row.ids, way.bucket)
        if row.zeroth and weights.zeroth is not None:
            _check_logits(weights.zeroth.intent(feeds["h"], n), row.zeroth, row.atol, (number, 0))
        for at, key in enumerate(way.rungs[0].graphs):
            feeds["h"] = np.array(runner.run(key, feeds, RUN_S)["h_out"])
            reference = row.logits[at] if at < len(row.logits) else ()
            logits = weights.heads[at].intent(feeds["h"], n)
            _check_logits(logits, reference, row.atol, (number, at + 1))
            if not row.widths:
                off.setdefault(at + 1, []).append((logits, np.asarray(reference, np.float64)))
        if row.tags:
            agree += int((weights.heads[-1].tags(feeds["h"], n) == np.asarray(row.tags)).sum())
            total += n
    if agree < MIN_TAGS_AGREE * total:
        msg = f"only {agree} of {total} golden slot tags agree"
        raise GoldenTestError(msg)
    for exit_number, pairs in off.items():
        _check_mean(exit_number, *map(np.array, zip(*pairs, strict=True)))


def _check_logits(
    logits: npt.NDArray[Any], reference: Sequence[float], atol: float, where: tuple[int, int]
) -> None:
    """Compare one exit's logits; `where` is row and exit."""
    number, exit_number = where
    if logits.shape != (len(reference),):
        msg = f"golden row {number} has no logits of this form for exit {exit_number}"
        raise GoldenTestError(msg)
    off = float(np.abs(logits - np.asarray(reference, np.float64)).max())
    if not off <= atol:  # written so that NaN fails
        msg = f"golden row {number}, exit {exit_number}: a logit is {off:.3g} off, {atol:.3g} is allowed"
        raise GoldenTestError(msg)


def _check_mean(exit_number: int, logits: npt.NDArray[Any], references: npt.NDArray[Any]) -> None:
    """Compare an exit's logits of all rows at once: each row's own bound is wide enough to hide a stage that does nothing."""
    error, spread = float(np.abs(logits - references).mean()), float(references.std())
    most = max(_LEAST_MEAN, _MEAN_SHARE * spread)
    if not error <= most:
        msg = f"exit {exit_number}: logits are {error:.3g} off on the mean, {most:.3g} is allowed"
        raise GoldenTestError(msg)


def self_test(
    unpacked: Unpacked, spec: DelegateSpec, clock: Clock, child: Child | None = None, *, anew: bool = False
) -> None:
    """Prove once per runtime version that this bundle answers rightly here, in a child that the caller may end.

    `anew`: whether or not it passed before.

    Raises:
        GoldenTestError: wrong answers, or the child died or could not be had.
        BundleError: the unpacked files are damaged, or no runtime here runs the recipe.
    """
    tested = f"{runtime_of(unpacked.manifest)} {platform.machine()} {spec.name}"
    stamp = unpacked.folder.with_name(f"{unpacked.sha256}.tested.json")
    passed = _passed(stamp)
    if tested in passed and not anew:
        return
    _log.info("self-test of %s on %s", unpacked.manifest.name, tested)
    job = json.dumps({"folder": str(unpacked.folder), "sha256": unpacked.sha256, "delegate": asdict(spec)})
    command = [sys.executable, "-m", "firmware_py.inference.golden"]
    try:
        ended = (child or Child()).run(command, job, TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        msg = f"the self-test took more than {TIMEOUT_S:.0f} s"
        raise GoldenTestError(msg) from error
    except OSError as error:
        msg = f"the self-test could not be started: {error.strerror or type(error).__name__}"
        raise GoldenTestError(msg) from error
    if ended.returncode != 0:
        raise GoldenTestError(_why(ended))
    passed[tested] = clock.utc().isoformat(timespec="seconds")
    try:
        write_atomic(stamp, json.dumps(passed, indent=1).encode())
    except OSError as error:  # it passed all the same; the next start tests again
        _log.warning("the self-test's stamp could not be written: %s", error.strerror or type(error).__name__)


def _passed(stamp: Path) -> dict[str, str]:
    try:
        data = json.loads(stamp.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _why(child: subprocess.CompletedProcess[str]) -> str:
    """What the child said, or which signal ended it."""
    if child.returncode < 0:
        number = -child.returncode
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        return f"a graph killed its interpreter in the self-test ({name})"
    said = [line for line in child.stdout.splitlines() if line.startswith("failed: ")]
    return (
        said[-1].removeprefix("failed: ") if said else f"the self-test ended with status {child.returncode}"
    )


def main() -> int:
    """The child: read a job from standard input, test, say why not."""
    job = json.load(sys.stdin)
    folder = Path(job["folder"])
    try:
        manifest = parse_manifest(json.loads((folder / "manifest.json").read_bytes()))
        unpacked = Unpacked(folder, manifest, job["sha256"])
        check_folder(unpacked)
        _test(unpacked, DelegateSpec(**job["delegate"]))
    except (CiuicError, OSError, ValueError) as error:
        sys.stdout.write(f"failed: {error.message if isinstance(error, CiuicError) else error}\n")
        return 1
    return 0


def _test(unpacked: Unpacked, spec: DelegateSpec) -> None:
    weights = Weights.load(unpacked)
    manifest, rows = unpacked.manifest, load_rows(unpacked)
    task = IntentTask(manifest, unpacked.read(manifest.tokenizer.name))
    for number, row in enumerate(rows, start=1):
        if task.encode({"text": row.text}).ids != row.ids:
            msg = f"golden row {number} is cut into other tokens"
            raise GoldenTestError(msg)
    name, loader = open_loader(unpacked.folder, manifest, spec)
    runner = ModelCache(manifest.graphs, loader, name)
    try:
        runner.load(graph.key for graph in manifest.graphs)  # rows may not reach every length bucket
        check_rows(weights, runner, rows)
    finally:
        runner.close()


if __name__ == "__main__":
    sys.exit(main())
