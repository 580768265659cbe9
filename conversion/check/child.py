"""Runs a recipe's graphs over texts, in a process and a runtime of its own: `python -m conversion.check.child JOB`.

A new TFLite file may abort its interpreter, so it never runs in the builder's process. The job is a JSON
file; answers go to an `.npz`. Needs numpy and one TFLite runtime; uses the device's own tokenizer, tensors
and heads, so what is measured is what will run.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from conversion.check.answers import Array, LatticeAnswers, Prefix, save
from conversion.check.slot_reading import SlotReading, TagTables
from firmware_py.contracts.run import GraphKey
from firmware_py.inference.heads import ExitHead
from firmware_py.inference.tensors import Embedding, bias, position_tables
from firmware_py.tasks.text import WordPiece

_MODULES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}


class Stages:
    """The stage graphs, loaded when first asked for, one thread."""

    def __init__(self, runtime: str, graphs: dict[GraphKey, str], *, timed: bool) -> None:
        """`graphs` maps keys to paths; `timed`: keep how long each run took."""
        self._interpreter = import_module(_MODULES[runtime]).Interpreter
        self._paths = graphs
        self._timed = timed
        self._loaded: dict[GraphKey, tuple[Any, dict[str, int], dict[str, int]]] = {}
        self.buckets = sorted({key.bucket for key in graphs})
        self.widest = max(key.width for key in graphs)
        self.ops: dict[GraphKey, dict[str, int]] = {}
        self.ticks: dict[GraphKey, list[int]] = defaultdict(list)

    def key(self, bucket: int, stage: int, width: int) -> GraphKey:
        """The graph that serves a width at a length: the widest where the length has no narrow ones."""
        key = GraphKey(bucket, stage, width)
        return key if key in self._paths else GraphKey(bucket, stage, self.widest)

    def run(self, key: GraphKey, tensors: dict[str, Array]) -> Array:
        """One stage: h_out [T,d]."""
        made, inputs, outputs = self._loaded.get(key) or self._load(key)
        start = time.perf_counter_ns()
        for name, index in inputs.items():
            made.set_tensor(index, tensors[name])
        made.invoke()
        rows: Array = made.get_tensor(outputs["h_out"])
        if self._timed:
            self.ticks[key].append(time.perf_counter_ns() - start)
        return rows

    def drop(self) -> None:
        """Forget the interpreters; the operators' counts stay."""
        self._loaded.clear()

    def _load(self, key: GraphKey) -> tuple[Any, dict[str, int], dict[str, int]]:
        made = self._interpreter(model_path=self._paths[key], num_threads=1)
        made.allocate_tensors()
        inputs = {detail["name"]: detail["index"] for detail in made.get_input_details()}
        outputs = {detail["name"]: detail["index"] for detail in made.get_output_details()}
        details: list[dict[str, Any]] = getattr(
            made, "_get_ops_details", list
        )()  # no public name in either runtime
        counts = Counter(str(op["op_name"]) for op in details if op["op_name"] != "DELEGATE")
        self.ops[key] = dict(sorted(counts.items()))
        self._loaded[key] = made, inputs, outputs
        return self._loaded[key]


class Walker:
    """Walks the tree of prefixes for one text after another; no stage runs twice for a text."""

    def __init__(self, stages: Stages, heads: Sequence[ExitHead | None], prefixes: Sequence[Prefix]) -> None:
        """`heads` of exit 0 and up, None where there is none; `prefixes` are those to answer."""
        self._stages, self._heads = stages, heads
        self._asked = set(prefixes)
        self._next: dict[Prefix, list[int]] = defaultdict(list)
        for prefix in sorted({p[:depth] for p in prefixes for depth in range(1, len(p) + 1)}):
            self._next[prefix[:-1]].append(prefix[-1])

    def walk(self, h: Array, n: int, tensors: dict[str, Array]) -> dict[Prefix, tuple[Array, Array | None]]:
        """Logits [C] and tag scores [n,G] (None without slots) of every asked prefix, from the embedded rows [T,d]."""
        said: dict[Prefix, tuple[Array, Array | None]] = {}
        bucket = len(h)
        # By the widths that really ran: where a length has one width only, its prefixes share their runs.
        known: dict[Prefix, Array] = {(): h}
        todo: list[tuple[Prefix, Prefix]] = [((), ())]
        while todo:
            prefix, ran = todo.pop()
            head = self._heads[len(prefix)]
            if prefix in self._asked and head is not None:
                rows = known[ran]
                said[prefix] = head.intent(rows, n), head.tag_logits(rows, n) if head.tag_count else None
            for width in self._next.get(prefix, ()):
                key = self._stages.key(bucket, len(prefix) + 1, width)
                then = (*ran, key.width)
                if then not in known:
                    known[then] = self._stages.run(key, tensors | {"h": known[ran]})
                todo.append(((*prefix, width), then))
        return said


def main(path: str) -> int:
    """Run a job: texts in, `LatticeAnswers` out."""
    job = json.loads(Path(path).read_text("utf-8"))
    tokenizer = WordPiece.from_bytes(
        Path(job["tokenizer"]).read_bytes(), skips_punctuation=job["skips_punctuation"]
    )
    embedding = Embedding.from_bytes(Path(job["embedding"]).read_bytes())
    heads = [
        None if name is None else ExitHead.from_bytes(Path(name).read_bytes(), 1.0) for name in job["heads"]
    ]
    graphs = {GraphKey(bucket, stage, width): file for bucket, stage, width, file in job["graphs"]}
    stages = Stages(job["runtime"], graphs, timed=job["timed"])
    prefixes = [tuple(prefix) for prefix in job["prefixes"]]
    walker = Walker(stages, heads, prefixes)
    texts = [tokenizer.encode(text) for text in json.loads(Path(job["texts"]).read_text("utf-8"))]
    ids = [one.ids[: stages.buckets[-1]] for one in texts]
    shown = next(head for head in heads if head is not None)
    prefixes = [prefix for prefix in prefixes if heads[len(prefix)] is not None]
    logits = {prefix: np.zeros((len(ids), shown.labels), np.float32) for prefix in prefixes}
    how = SlotReading.from_dict(job["slots"], shown.labels, max(0, shown.tag_count - 1))
    tables = TagTables(
        how, tokenizer.continues, prefixes if shown.tag_count else (), (len(ids), stages.buckets[-1])
    )
    by_length: dict[int, list[int]] = defaultdict(list)
    for row, one in enumerate(ids):
        by_length[next(size for size in stages.buckets if size >= len(one))].append(row)
    for bucket, rows in sorted(by_length.items()):
        cos, sin = position_tables(bucket, job["rope"])
        for row in rows:
            n = len(ids[row])
            h = embedding.lookup(ids[row], bucket)
            for prefix, (said, tagged) in walker.walk(
                h, n, {"bias": bias(n, bucket), "cos": cos, "sin": sin}
            ).items():
                logits[prefix][row] = said
                if tagged is not None:
                    tables.take(prefix, row, (said, tagged), texts[row])
        stages.drop()
    seconds = {
        key: (min(ticks) / 1e9, sorted(ticks)[len(ticks) // 2] / 1e9) for key, ticks in stages.ticks.items()
    }
    answers = LatticeAnswers(logits, tables.tags, tables.slot_tags, tables.slots_sure, stages.ops, seconds)
    save(answers, Path(job["answers"]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
