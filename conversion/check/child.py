"""Runs the graphs of a recipe over texts, in a process and a runtime of its own: `python -m conversion.check.child JOB`.

A new TFLite file may abort its interpreter, so it never runs in the builder's process. The job is a JSON
file; answers go to an `.npz`. Needs numpy and one TFLite runtime; uses the device's own tokenizer, tensors
and heads, so what is measured is what will run.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_py.inference.heads import ExitHead
from firmware_py.inference.tensors import Embedding, bias, position_tables
from firmware_py.tasks.text import WordPiece

_MODULES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}

Array = npt.NDArray[Any]


class Stages:
    """The stage graphs of every length bucket, loaded from files, one thread."""

    def __init__(self, runtime: str, graphs: Mapping[str, str]) -> None:
        """`graphs` maps `bucket/stage` to a path."""
        interpreter = import_module(_MODULES[runtime]).Interpreter
        self._loaded: dict[tuple[int, int], tuple[Any, dict[str, int], dict[str, int]]] = {}
        for key, path in graphs.items():
            bucket, stage = (int(part) for part in key.split("/"))
            made = interpreter(model_path=path, num_threads=1)
            made.allocate_tensors()
            inputs = {detail["name"]: detail["index"] for detail in made.get_input_details()}
            outputs = {detail["name"]: detail["index"] for detail in made.get_output_details()}
            self._loaded[bucket, stage] = made, inputs, outputs
        self.buckets = sorted({bucket for bucket, _ in self._loaded})
        self.stages = max(stage for _, stage in self._loaded)

    def ops(self) -> dict[str, dict[str, int]]:
        """Operators of each graph, `bucket/stage` to name and count; the delegate's own is left out."""
        out: dict[str, dict[str, int]] = {}
        for (bucket, stage), (made, _, _) in self._loaded.items():
            details: list[dict[str, Any]] = getattr(
                made, "_get_ops_details", list
            )()  # no public name in either runtime
            out[f"{bucket}/{stage}"] = dict(
                sorted(Counter(str(op["op_name"]) for op in details if op["op_name"] != "DELEGATE").items())
            )
        return out

    def run(self, bucket: int, stage: int, tensors: Mapping[str, Array]) -> Array:
        """One stage: h_out [T,d]."""
        made, inputs, outputs = self._loaded[bucket, stage]
        for name, index in inputs.items():
            made.set_tensor(index, tensors[name])
        made.invoke()
        rows: Array = made.get_tensor(outputs["h_out"])
        return rows


def main(path: str) -> int:
    """Run a job: texts in, logits [N,exits,C] and tags [N,exits,T] out (-1 behind the last token)."""
    job = json.loads(Path(path).read_text("utf-8"))
    tokenizer = WordPiece.from_bytes(Path(job["tokenizer"]).read_bytes())
    embedding = Embedding.from_bytes(Path(job["embedding"]).read_bytes())
    heads = [ExitHead.from_bytes(Path(name).read_bytes(), 1.0) for name in job["heads"]]
    stages = Stages(job["runtime"], job["graphs"])
    longest = stages.buckets[-1]
    texts = json.loads(Path(job["texts"]).read_text("utf-8"))
    logits: list[list[Array]] = []
    tags = np.full((len(texts), stages.stages, longest), -1, np.int16)
    for row, text in enumerate(texts):
        ids = tokenizer.encode(text).ids[:longest]
        n = len(ids)
        bucket = next(size for size in stages.buckets if size >= n)
        cos, sin = position_tables(bucket, job["rope"])
        h = embedding.lookup(ids, bucket)
        said = []
        for stage in range(1, stages.stages + 1):
            h = stages.run(bucket, stage, {"h": h, "bias": bias(n, bucket), "cos": cos, "sin": sin})
            said.append(heads[stage - 1].intent(h, n))
            tags[row, stage - 1, :n] = heads[stage - 1].tags(h, n)
        logits.append(said)
    np.savez(job["answers"], logits=np.array(logits, np.float32), tags=tags, ops=json.dumps(stages.ops()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
