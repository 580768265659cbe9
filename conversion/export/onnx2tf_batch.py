"""Runs in onnx2tf's own environment, as a file: `python onnx2tf_batch.py JOB.json`.

Standard library and onnx2tf only. The job lists ONNX files and the folder for what comes out; importing
onnx2tf costs more than one conversion, so one process converts several.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path


def main(path: str) -> int:
    """Convert every file of a job; the float32 file is named like its source with `_float32`."""
    job = json.loads(Path(path).read_text("utf-8"))
    tool = import_module("onnx2tf")
    for source in job["sources"]:
        # Every input keeps its layout: without that a [1,32,128] input is taken for an image and transposed.
        tool.convert(
            input_onnx_file_path=source,
            output_folder_path=job["folder"],
            keep_shape_absolutely_input_names=job["inputs"],
            non_verbose=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
