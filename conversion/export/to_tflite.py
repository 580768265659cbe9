"""The only door to onnx2tf: its command line, in its own environment.

onnx2tf pins its dependencies exactly and shares no environment with anything else; a file goes in and a
file comes out.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from firmware_py.contracts.errors import ConversionError, ToolMissingError

TIMEOUT_S = 300.0
ENVIRONMENT = "CIUIC_ONNX2TF"


def find_tool(root: Path) -> Path:
    """The program: `CIUIC_ONNX2TF`, else `.venvs/convert/bin/onnx2tf` below the root.

    Raises:
        ToolMissingError: neither is there.
    """
    path = Path(os.environ.get(ENVIRONMENT) or root / ".venvs" / "convert" / "bin" / "onnx2tf")
    if not path.is_file():
        msg = f"onnx2tf is not at {path}"
        raise ToolMissingError(msg, hint=f"Make the convert environment, or set {ENVIRONMENT}.")
    return path


def convert(tool: Path, onnx: Path, tflite: Path, inputs: Sequence[str]) -> None:
    """Convert one file to float32 TFLite.

    Every input keeps its layout (`-kat`): without that a [1,32,128] input is taken for an image and
    transposed.

    Raises:
        ConversionError: onnx2tf failed, hung, or wrote nothing.
    """
    with tempfile.TemporaryDirectory(prefix="onnx2tf-") as folder:
        command = [str(tool), "-i", str(onnx), "-o", folder, "-kat", *inputs, "-n"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as error:
            msg = f"onnx2tf did not finish {onnx.name} in {TIMEOUT_S:.0f} s"
            raise ConversionError(msg) from error
        written = Path(folder) / f"{onnx.stem}_float32.tflite"
        if done.returncode or not written.is_file():
            msg = f"onnx2tf failed on {onnx.name}: {done.stderr.strip()[-400:] or done.stdout.strip()[-400:]}"
            raise ConversionError(msg)
        tflite.write_bytes(written.read_bytes())
