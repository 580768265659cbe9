"""The door to the child processes: one recipe's files, a runtime's interpreter, texts in, answers out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from conversion.check.answers import KINDS, Array, LatticeAnswers, Prefix, load
from conversion.check.slot_reading import SlotReading
from firmware_py.children import tied
from firmware_py.contracts.errors import ConversionError, ToolMissingError
from firmware_py.contracts.run import GraphKey

ENVIRONMENTS = {"ai-edge-litert": "train", "tflite-runtime": "tflr"}
SET_UP = {"ai-edge-litert": "`scripts/setup run`", "tflite-runtime": "`scripts/setup tflr` (Python 3.11)"}
TIMEOUT_S = 3600.0  # every prefix of ten thousand texts takes minutes
_SMALL = 64  # texts below which one process is enough


@dataclass(frozen=True, slots=True)
class RecipeFiles:
    """One recipe on disk; `heads` of exit 0 and up, None where an exit has none."""

    name: str
    graphs: Mapping[GraphKey, Path]
    tokenizer: Path
    embedding: Path
    heads: tuple[Path | None, ...]
    rope: int
    skips_punctuation: bool = False
    slots: SlotReading = field(default_factory=SlotReading)


@dataclass(frozen=True, slots=True)
class Where:
    """Where to run: the runtime package, the checkout with its environment, how many processes at once."""

    runtime: str
    root: Path
    workers: int = 2
    timed: bool = False  # with one worker only, on a machine that does nothing else


def python_of(runtime: str, root: Path) -> Path:
    """An interpreter that has the runtime: that of `.venvs/<name>`, else this one, such as that of a mere node.

    The environment of its own goes first: what ships was judged in it, with its pinned version.

    Raises:
        ToolMissingError: neither has it.
    """
    path = root / ".venvs" / ENVIRONMENTS[runtime] / "bin" / "python"
    if path.exists():
        return path
    if find_spec(runtime.replace("-", "_")) is not None:
        return Path(sys.executable)
    msg = f"there is no environment with {runtime}"
    raise ToolMissingError(msg, hint=f"Make it with {SET_UP[runtime]}, then run this again.")


def run_lattice(
    files: RecipeFiles, where: Where, texts: Sequence[str], prefixes: Sequence[Prefix]
) -> LatticeAnswers:
    """Run texts through the lattice in child processes, each with a part of the texts.

    Raises:
        ToolMissingError: the runtime's environment is not there.
        ConversionError: a child died or hung; its last lines are in the message.
    """
    python = python_of(where.runtime, where.root)
    workers = 1 if len(texts) < _SMALL else max(1, where.workers)
    # Dealt like cards: long texts often stand together, and every worker needs every graph anyway.
    shares = [np.arange(start, len(texts), workers) for start in range(workers)]
    with tempfile.TemporaryDirectory(prefix="ciuic-child-") as folder:

        def one(number: int) -> LatticeAnswers:
            place = Path(folder) / str(number)
            place.mkdir()
            job = _job(files, where, prefixes, place)
            (place / "texts.json").write_text(
                json.dumps([texts[int(row)] for row in shares[number]]), "utf-8"
            )
            (place / "job.json").write_text(json.dumps(job), "utf-8")
            run_child(python, place / "job.json", where.root, f"the {files.name} graphs in {where.runtime}")
            return load(place / "answers.npz")

        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(one, range(workers)))
    return parts[0] if workers == 1 else _joined(parts, shares)


def _job(files: RecipeFiles, where: Where, prefixes: Sequence[Prefix], place: Path) -> dict[str, Any]:
    return {
        "runtime": where.runtime,
        "timed": where.timed,
        "graphs": [[*key, str(path.resolve())] for key, path in files.graphs.items()],
        "tokenizer": str(files.tokenizer.resolve()),
        "embedding": str(files.embedding.resolve()),
        "heads": [None if path is None else str(path.resolve()) for path in files.heads],
        "rope": files.rope,
        "skips_punctuation": files.skips_punctuation,
        "slots": files.slots.to_dict(),
        "prefixes": [list(prefix) for prefix in prefixes],
        "texts": str(place / "texts.json"),
        "answers": str(place / "answers.npz"),
    }


def run_child(python: Path, job: Path, root: Path, what: str, module: str = "conversion.check.child") -> None:
    """Run a module of ours on a job file, one thread, and wait for it.

    Raises:
        ConversionError: the child died or hung; `what` and its last lines are in the message.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    try:
        done = subprocess.run(
            tied([python, "-m", module, job]),
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"{what} did not finish within {TIMEOUT_S:.0f} s"
        raise ConversionError(msg) from error
    if done.returncode:
        last = " ".join(done.stderr.strip().splitlines()[-3:])[-400:]
        msg = f"{what} failed (exit status {done.returncode}): {last}"
        raise ConversionError(msg)


def _joined(parts: Sequence[LatticeAnswers], shares: Sequence[Any]) -> LatticeAnswers:
    """Put the shares' rows back where they were."""
    order = np.argsort(np.concatenate(shares))

    def one_after_another(kind: str) -> dict[Prefix, Array]:
        arrays: list[Mapping[Prefix, Array]] = [getattr(part, kind) for part in parts]
        return {prefix: np.concatenate([one[prefix] for one in arrays])[order] for prefix in arrays[0]}

    ops = {key: one for part in parts for key, one in part.ops.items()}
    seconds = {
        key: (min(at), sum(medians) / len(medians))
        for key in ops
        if (pairs := [part.seconds[key] for part in parts if key in part.seconds])
        for at, medians in [tuple(zip(*pairs, strict=True))]
    }
    return LatticeAnswers(**{kind: one_after_another(kind) for kind in KINDS}, ops=ops, seconds=seconds)
