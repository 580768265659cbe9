"""Bare interpreter time: the stages that a reply says ran, fed with the sentence's own tensors.

As a program it is a process like the node, on the node's core: it runs the stages when a message asks for
it and answers with the seconds. A request never finds the graph as a tight loop leaves it, with its weights
in the core's cache: at least half a millisecond of client, broker and kernel lies between two runs.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ciuic.bench.request_echo import MESH
from firmware_py.backends.loaded import LoadedGraph
from firmware_py.backends.opening import DelegateSpec, open_loader
from firmware_py.bundles.read import unpack
from firmware_py.bundles.verify import Trust
from firmware_py.compose import SHIPPED_TRUST
from firmware_py.contracts.reply import Reply
from firmware_py.contracts.run import GraphKey
from firmware_py.inference.tensors import Embedding, bias, position_tables
from firmware_py.tasks.intent import IntentTask
from mqtt_bridge.node.stop import StopSignals
from mqtt_bridge.transport.base import LinkOptions, Message
from mqtt_bridge.transport.mqtt import MqttTransport
from mqtt_bridge.wire import topics

BARE_TASK = "bare"


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

    def run_s(self, text: str, bucket: int, widths: Sequence[int]) -> float:
        """Seconds of set_tensor, invoke and get_tensor over the stages that answered."""
        encoded = self._task.encode({"text": text})
        feeds: dict[str, Any] = {
            "h": self._embedding.lookup(encoded.ids, bucket),
            "bias": bias(encoded.tokens, bucket),
        }
        spent_s = 0.0
        for stage, width in enumerate(widths, start=1):
            key = GraphKey(bucket, stage, width)
            feeds["cos"], feeds["sin"] = position_tables(bucket, self._dims[key])
            graph = self._graphs[key]
            begin_s = time.perf_counter()
            out = graph.run(feeds)
            spent_s += time.perf_counter() - begin_s
            feeds["h"] = out["h_out"]
        return spent_s


def bucket_of(reply: Reply) -> int:
    """The length bucket that answered, 0 where no stage ran."""
    return int((reply.route.configuration or "0").partition("/")[0])


def asked(text: str, reply: Reply) -> bytes:
    """What to send for the bare run of an answered sentence."""
    return json.dumps([text, bucket_of(reply), reply.route.widths]).encode()


def main(url: str, core: int, bundle: Path, store: Path, *, unsigned: bool) -> int:
    """Run stages when asked until SIGTERM, on one core if told so."""
    if core >= 0:
        os.sched_setaffinity(0, {core})
    bare = BareStages(bundle, Trust(SHIPPED_TRUST, unsigned), store)
    link = MqttTransport(LinkOptions("bare", (url,)))

    def answer(message: Message) -> None:
        text, bucket, widths = json.loads(message.payload)
        spent_s = bare.run_s(text, bucket, widths) if bucket else 0.0
        if message.response_topic is not None:
            link.publish(Message(message.response_topic, repr(spent_s).encode(), message.qos))

    link.subscribe(
        topics.share(BARE_TASK, topics.build_filter("request", MESH, task=BARE_TASK)), answer, qos=1
    )
    with StopSignals() as stop, link:
        link.wait_up(5.0)
        print("ready", flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    _url, _core, _bundle, _store, *_flags = sys.argv[1:]
    sys.exit(main(_url, int(_core), Path(_bundle), Path(_store), unsigned=bool(_flags)))
