"""The door to vela, Arm's compiler for Ethos-U: a process in its own environment.

What it writes runs on an Ethos-U only; what it says - which operators run on the NPU, how long it expects
one run to take - is a compile-time estimate, and every figure from here is called one.
"""

from __future__ import annotations

import csv
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from firmware_py.children import tied
from firmware_py.contracts.errors import ConversionError, ToolMissingError

VERSION = "5.2.0"  # as requirements/vela.lock has it
ACCELERATOR = "ethos-u55-128"
TIMEOUT_S = 300.0
_LINE = re.compile(r"^\s*(NPU|CPU): (\w+) = (\S+) ")
# Of a warning; the line of a CPU operator lacks its kind.
_LEFT = re.compile(r"operator: (\w+), ofm: '([^']+)'")


@dataclass(frozen=True, slots=True)
class NpuReport:
    """One graph, compiled.

    `npu` and `cpu` count the operators after lowering (a softmax becomes some thirty). `estimated_s` is
    vela's own estimate of one run, in seconds, at its default clock. `compiled` are the bytes for the NPU.
    """

    accelerator: str
    npu: Mapping[str, int]
    cpu: Mapping[str, int]
    estimated_s: float
    compiled: bytes

    @property
    def share(self) -> float:
        """Of the operators that run on the NPU, 0 to 1."""
        ours, all_ = sum(self.npu.values()), sum(self.npu.values()) + sum(self.cpu.values())
        return ours / all_ if all_ else 0.0


def find_vela(root: Path) -> Path:
    """The program below the root.

    Raises:
        ToolMissingError: the environment is not there.
    """
    path = root / ".venvs" / "vela" / "bin" / "vela"
    if not path.is_file():
        msg = f"vela is not at {path}"
        raise ToolMissingError(msg, hint="Run `scripts/setup vela`.")
    return path


def compile_for_npu(vela: Path, graph: Path) -> NpuReport:
    """Compile one int8 graph for `ACCELERATOR`.

    Raises:
        ConversionError: vela failed, hung, or wrote nothing.
    """
    with tempfile.TemporaryDirectory(prefix="vela-") as folder:
        command = [str(vela), "--accelerator-config", ACCELERATOR, "--show-cpu-operations"]
        command += ["--output-dir", folder, str(graph)]
        try:
            done = subprocess.run(
                tied(command), cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            msg = f"vela did not finish {graph.name} in {TIMEOUT_S:.0f} s"
            raise ConversionError(msg) from error
        written, summary = (
            list(Path(folder).glob("*_vela.tflite")),
            list(Path(folder).glob("*_summary_*.csv")),
        )
        if done.returncode or not written or not summary:
            msg = f"vela failed on {graph.name}: {(done.stderr.strip() or done.stdout.strip())[-400:]}"
            raise ConversionError(msg)
        with summary[0].open(encoding="utf-8") as file:
            row = next(csv.DictReader(file))
        counts = count_operators(done.stdout)
        return NpuReport(
            ACCELERATOR, counts["NPU"], counts["CPU"], float(row["inference_time"]), written[0].read_bytes()
        )


def count_operators(said: str) -> dict[str, Counter[str]]:
    """Operators by where they run, from vela's `--show-cpu-operations` lines."""
    kinds: dict[str, str] = {name: kind for kind, name in _LEFT.findall(said)}
    counts: dict[str, Counter[str]] = {"NPU": Counter(), "CPU": Counter()}
    for line in said.splitlines():
        if found := _LINE.match(line):
            place, kind, name = (str(part) for part in found.groups())
            counts[place][kinds.get(name, kind)] += 1
    return counts
