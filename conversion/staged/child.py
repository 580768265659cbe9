"""Runs an unpacked bundle over texts in a process of its own: `python -m conversion.staged.child JOB`.

Tokens, frame, embedded rows, bias, graphs and heads are the device's own code throughout.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from conversion.check.answers import LatticeAnswers, Prefix, load, save
from conversion.check.runtime import run_child
from firmware_py.backends.opening import DelegateSpec, open_loader
from firmware_py.bundles.read import Unpacked
from firmware_py.caches.models import ModelCache
from firmware_py.contracts.manifest import parse_manifest
from firmware_py.inference.engine import Weights
from firmware_py.inference.graph import DynamicComputingGraph
from firmware_py.inference.tensors import bias, position_tables
from firmware_py.tasks.intent import IntentTask

_GRAPH_S = 60.0


def run_bundle(unpacked: Unpacked, texts: Sequence[str], python: Path, root: Path) -> LatticeAnswers:
    """Every exit's logits of every text, by the interpreter at `python`.

    Raises:
        ConversionError: the child died or hung; its last lines are in the message.
    """
    with tempfile.TemporaryDirectory(prefix="ciuic-staged-") as folder:
        job, answers = Path(folder) / "job.json", Path(folder) / "answers.npz"
        job.write_text(
            json.dumps({"folder": str(unpacked.folder), "texts": list(texts), "answers": str(answers)}),
            "utf-8",
        )
        run_child(python, job, root, "the staged graphs", "conversion.staged.child")
        return load(answers)


def main(path: str) -> int:
    """The child."""
    job = json.loads(Path(path).read_text("utf-8"))
    folder = Path(job["folder"])
    manifest = parse_manifest(json.loads((folder / "manifest.json").read_bytes()))
    unpacked = Unpacked(folder, manifest, "")
    weights, task = Weights.load(unpacked), IntentTask(manifest, unpacked.read(manifest.tokenizer.name))
    name, loader = open_loader(folder, manifest, DelegateSpec())
    runner, graph = ModelCache(manifest.graphs, loader, name), DynamicComputingGraph(manifest, [name])
    causal = manifest.attention == "causal"
    texts = [task.encode({"text": text}) for text in job["texts"]]
    full = manifest.full_widths
    logits: dict[Prefix, np.ndarray] = {
        full[:depth]: np.zeros((len(texts), len(manifest.labels)), np.float32)
        for depth in range(1, manifest.stages + 1)
    }
    # By length: the graphs of one bucket stay loaded while its texts run.
    for row in sorted(range(len(texts)), key=lambda number: texts[number].tokens):
        text = texts[row]
        way = graph.path(text.tokens)
        cos, sin = position_tables(way.bucket, way.position_dims)
        feeds = {"bias": bias(text.tokens, way.bucket, causal=causal), "cos": cos, "sin": sin}
        feeds["h"] = weights.embedding.lookup(text.ids, way.bucket)
        for stage, key in enumerate(way.rungs[0].graphs, 1):
            feeds["h"] = np.array(runner.run(key, feeds, _GRAPH_S)["h_out"])
            logits[full[:stage]][row] = weights.heads[stage - 1].intent(feeds["h"], text.tokens)
    save(LatticeAnswers(logits), Path(job["answers"]))
    runner.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
