"""The door to the child process: one recipe's files, a runtime's interpreter, texts in, answers out."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_py.contracts.errors import ConversionError, ToolMissingError

ENVIRONMENTS = {"ai-edge-litert": "train", "tflite-runtime": "tflr"}
TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """The files of one recipe on disk; `graphs` maps `bucket/stage` to a TFLite file."""

    name: str
    graphs: Mapping[str, Path]
    tokenizer: Path
    embedding: Path
    heads: tuple[Path, ...]
    rope: int


@dataclass(frozen=True, slots=True)
class Answers:
    """What every exit said: logits float32 [N,E,C], tags int [N,E,T] with -1 behind the last token.

    `ops` maps `bucket/stage` to the graph's operators and their counts.
    """

    logits: npt.NDArray[Any]
    tags: npt.NDArray[Any]
    ops: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def part(self, rows: slice) -> Answers:
        """Some of the sentences."""
        return Answers(self.logits[rows], self.tags[rows], self.ops)


def python_of(runtime: str, root: Path) -> Path:
    """The interpreter of the environment that has the runtime: `.venvs/<name>/bin/python`.

    Raises:
        ToolMissingError: there is none.
    """
    path = root / ".venvs" / ENVIRONMENTS[runtime] / "bin" / "python"
    if not path.exists():
        msg = f"there is no environment with {runtime} at {path.parent.parent}"
        raise ToolMissingError(msg)
    return path


def run_recipe(recipe: Recipe, runtime: str, texts: Sequence[str], root: Path) -> Answers:
    """Run texts through all stages and exits in a child process.

    Raises:
        ToolMissingError: the runtime's environment is not there.
        ConversionError: the child died or hung; its last lines are in the message.
    """
    python = python_of(runtime, root)
    with tempfile.TemporaryDirectory(prefix="ciuic-child-") as folder:
        place = Path(folder)
        (place / "texts.json").write_text(json.dumps(list(texts)), "utf-8")
        job = {
            "runtime": runtime,
            "graphs": {key: str(path.resolve()) for key, path in recipe.graphs.items()},
            "tokenizer": str(recipe.tokenizer.resolve()),
            "embedding": str(recipe.embedding.resolve()),
            "heads": [str(path.resolve()) for path in recipe.heads],
            "rope": recipe.rope,
            "texts": str(place / "texts.json"),
            "answers": str(place / "answers.npz"),
        }
        (place / "job.json").write_text(json.dumps(job), "utf-8")
        command = [str(python), "-m", "conversion.check.child", str(place / "job.json")]
        environment = {**os.environ, "PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command,
                cwd=root,
                env=environment,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            msg = f"the {recipe.name} graphs did not finish in {runtime} within {TIMEOUT_S:.0f} s"
            raise ConversionError(msg) from error
        if done.returncode:
            last = " ".join(done.stderr.strip().splitlines()[-3:])[-400:]
            msg = f"the {recipe.name} graphs failed in {runtime} (exit status {done.returncode}): {last}"
            raise ConversionError(msg)
        with np.load(place / "answers.npz") as file:
            return Answers(file["logits"], file["tags"], json.loads(str(file["ops"])))
