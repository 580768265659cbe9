"""The door to `edgetpu_compiler`, Google's compiler for the Coral Edge TPU, where it is on PATH.

It is closed and for x86-64 Debian only; without it the report says so and the operator table
(`conversion/targets/operators/edgetpu.toml`) is all there is.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware_py.children import tied
from firmware_py.contracts.errors import ConversionError

PROGRAM = "edgetpu_compiler"
TIMEOUT_S = 300.0
MAPPED = "Mapped to Edge TPU"
_LINE = re.compile(r"^([A-Z][A-Z0-9_]+)\s+(\d+)\s+(\S.*?)\s*$")


@dataclass(frozen=True, slots=True)
class CompilerLine:
    """One line of the compiler's log: an operator, how many of it, and what became of them."""

    operator: str
    count: int
    status: str


def find_compiler() -> Path | None:
    """The program on PATH, or None."""
    found = shutil.which(PROGRAM)
    return Path(found) if found else None


def compile_for_edgetpu(program: Path, graph: Path) -> list[CompilerLine]:
    """Compile one int8 graph and return the compiler's log of operators.

    Raises:
        ConversionError: the compiler failed, hung, or logged nothing.
    """
    with tempfile.TemporaryDirectory(prefix="edgetpu-") as folder:
        command = tied([program, "-s", "-o", folder, graph])
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as error:
            msg = f"{PROGRAM} did not finish {graph.name} in {TIMEOUT_S:.0f} s"
            raise ConversionError(msg) from error
    lines = parse_log(done.stdout)
    if done.returncode or not lines:
        msg = f"{PROGRAM} failed on {graph.name}: {(done.stderr.strip() or done.stdout.strip())[-400:]}"
        raise ConversionError(msg)
    return lines


def parse_log(said: str) -> list[CompilerLine]:
    """The table "Operator, Count, Status" of a log."""
    found = (_LINE.match(line) for line in said.splitlines())
    return [CompilerLine(one[1], int(one[2]), one[3]) for one in found if one]


def share(lines: Sequence[CompilerLine]) -> float:
    """Of the operators that the compiler mapped, 0 to 1."""
    total = sum(line.count for line in lines)
    return sum(line.count for line in lines if line.status == MAPPED) / total if total else 0.0
