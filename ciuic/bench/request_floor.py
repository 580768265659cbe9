"""Bare interpreter time: the stages that a reply says ran, fed with the sentence's own tensors."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from firmware_py.backends.loaded import LoadedGraph
from firmware_py.backends.opening import DelegateSpec, open_loader
from firmware_py.bundles.read import unpack
from firmware_py.bundles.verify import Trust
from firmware_py.contracts.reply import Reply
from firmware_py.contracts.run import GraphKey
from firmware_py.inference.tensors import Embedding, bias, position_tables
from firmware_py.tasks.intent import IntentTask


class BareStages:
    """One interpreter per graph of a bundle, run without engine, heads, ledger or costs."""

    def __init__(self, bundle: Path, trust: Trust, store: Path) -> None:
        unpacked = unpack(bundle, trust, store)
        self.manifest = unpacked.manifest
        self.sha256 = unpacked.sha256
        _name, loader = open_loader(unpacked.folder, unpacked.manifest, DelegateSpec())
        self._graphs: dict[GraphKey, LoadedGraph] = {
            graph.key: loader(graph) for graph in unpacked.manifest.graphs
        }
        self._task = IntentTask(unpacked.manifest, unpacked.read(unpacked.manifest.tokenizer.name))
        self._embedding = Embedding.from_bytes(unpacked.read(unpacked.manifest.embedding.name))
        self._dims = {
            graph.key: next(spec.shape[-1] for spec in graph.inputs if spec.name == "cos")
            for graph in unpacked.manifest.graphs
        }

    def run_s(self, text: str, reply: Reply) -> float:
        """Seconds of set_tensor, invoke and get_tensor over the stages that answered."""
        if reply.route.configuration is None:
            return 0.0
        bucket = int(reply.route.configuration.partition("/")[0])
        encoded = self._task.encode({"text": text})
        feeds: dict[str, Any] = {
            "h": self._embedding.lookup(encoded.ids, bucket),
            "bias": bias(encoded.tokens, bucket),
        }
        spent_s = 0.0
        for stage, width in enumerate(reply.route.widths, start=1):
            key = GraphKey(bucket, stage, width)
            feeds["cos"], feeds["sin"] = position_tables(bucket, self._dims[key])
            graph = self._graphs[key]
            begin_s = time.perf_counter()
            out = graph.run(feeds)
            spent_s += time.perf_counter() - begin_s
            feeds["h"] = out["h_out"]
        return spent_s
