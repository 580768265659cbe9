"""The only door to onnx2tf: a process in its own environment.

onnx2tf pins its dependencies exactly and shares no environment with anything else; files go in and
files come out.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from firmware_py.children import tied
from firmware_py.contracts.errors import ConversionError, ToolMissingError

VERSION = "2.6.9"  # as scripts/setup installs it
TIMEOUT_S = 300.0  # of one file, on a machine that does other things too
ENVIRONMENT = "CIUIC_ONNX2TF"
_SCRIPT = Path(__file__).with_name("onnx2tf_batch.py")


def find_tool(root: Path) -> Path:
    """The interpreter that has onnx2tf: beside the program `CIUIC_ONNX2TF`, else `.venvs/convert/bin/python`.

    Raises:
        ToolMissingError: neither is there.
    """
    program = Path(os.environ.get(ENVIRONMENT) or root / ".venvs" / "convert" / "bin" / "onnx2tf")
    python = program.parent / "python"
    if not program.is_file() or not python.exists():
        msg = f"onnx2tf is not at {program}"
        raise ToolMissingError(msg, hint=f"Make the convert environment, or set {ENVIRONMENT}.")
    return python


def tool_version(root: Path) -> str:
    """The version of onnx2tf that its environment has; without one every graph came from the cache, of `VERSION`."""
    asked = "from importlib.metadata import version; print(version('onnx2tf'))"
    try:
        done = subprocess.run(
            tied([find_tool(root), "-I", "-c", asked]),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    except (ToolMissingError, subprocess.SubprocessError):
        return f"{VERSION} (of the cache: no environment says its own)"
    return done.stdout.strip()


def convert(python: Path, sources: Sequence[Path], folder: Path, inputs: Sequence[str]) -> list[Path]:
    """Convert ONNX files to float32 TFLite files in `folder`; they are returned in the same order.

    Raises:
        ConversionError: onnx2tf failed, hung, or wrote nothing.
    """
    job = {"sources": [str(path) for path in sources], "folder": str(folder), "inputs": list(inputs)}
    limit_s = TIMEOUT_S * max(1, len(sources))
    with tempfile.TemporaryDirectory(prefix="onnx2tf-") as place:
        file = Path(place) / "job.json"
        file.write_text(json.dumps(job), "utf-8")
        try:
            done = subprocess.run(
                tied([python, _SCRIPT, file]),
                cwd=place,
                capture_output=True,
                text=True,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            msg = f"onnx2tf did not finish {len(sources)} files in {limit_s:.0f} s"
            raise ConversionError(msg) from error
    written = [folder / f"{path.stem}_float32.tflite" for path in sources]
    missing = [path.stem for path, made in zip(sources, written, strict=True) if not made.is_file()]
    if done.returncode or missing:
        last = done.stderr.strip()[-400:] or done.stdout.strip()[-400:]
        msg = f"onnx2tf failed on {', '.join(missing) or 'a file'}: {last}"
        raise ConversionError(msg)
    return written
