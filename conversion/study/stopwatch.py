"""Seconds of a bundle's parts and of whole answers, in one runtime: `python -m conversion.study.stopwatch JOB`.

Runs in a runtime's own environment with the device's own engine. Parts: every graph, head and the host's
share (tokenizer, embedding), one thread, in turn, so that a drift of the machine meets all alike. Answers:
each way over the same texts, in blocks that change places. The job is a JSON file, as is the answer.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from firmware_py.backends.health import DelegateHealth
from firmware_py.backends.opening import DelegateSpec, open_loader
from firmware_py.bundles.read import Unpacked
from firmware_py.caches.models import ModelCache
from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.manifest import parse_manifest
from firmware_py.inference.engine import Engine, Weights
from firmware_py.inference.heads import ExitHead
from firmware_py.inference.rows import Read
from firmware_py.inference.tensors import bias, position_tables
from firmware_py.tasks.intent import Encoded, IntentTask

_WARM = 5
_BLOCK = 20  # answers of one way before the next
_MEMORY_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Way:
    """One way to answer: its name, the widths, and the rule as the job's manifest calls it."""

    name: str
    widths: tuple[int, ...]
    rule: str


class Rig:
    """The engine over every graph of an unpacked bundle."""

    def __init__(self, unpacked: Unpacked) -> None:
        manifest = unpacked.manifest
        name, loader = open_loader(unpacked.folder, manifest, DelegateSpec())
        cache = ModelCache(manifest.graphs, loader, name, _MEMORY_BYTES)
        cache.load(graph.key for graph in manifest.graphs)
        self.runner = cache
        self.weights = Weights.load(unpacked)
        clock = SystemClock()
        self.engine = Engine(self.weights, [cache], clock, DelegateHealth(clock))
        self.task = IntentTask(manifest, unpacked.read(manifest.tokenizer.name))

    def parts(self, texts: Sequence[str], rounds: int) -> dict[str, float]:
        """Median seconds of `graph B/S/W`, `head E/B`, `words B`, `tags B` and `host B` (B: length bucket)."""
        work = self._work(texts)
        seconds: dict[str, list[float]] = {name: [] for name in work}
        for number in range(rounds + _WARM):
            for name, action in work.items():
                took_s = _timed(action)
                if number >= _WARM:
                    seconds[name].append(took_s)
        return {name: float(np.median(found)) for name, found in seconds.items()}

    def _work(self, texts: Sequence[str]) -> dict[str, Callable[[], object]]:
        manifest, weights = self.weights.manifest, self.weights
        random = np.random.default_rng(0)
        work: dict[str, Callable[[], object]] = {}
        by_bucket: dict[int, list[str]] = {}
        for text in texts:
            encoded = self.task.encode({"text": text})
            by_bucket.setdefault(self.engine.graph.path(encoded.tokens).bucket, []).append(text)
        heads: dict[int, ExitHead] = dict(enumerate(weights.heads, 1))
        if weights.zeroth is not None:
            heads[0] = weights.zeroth
        for bucket in manifest.buckets:
            tokens = max(1, round(0.75 * bucket))  # the middle of a doubling bucket
            h = random.normal(size=(bucket, weights.embedding.width)).astype(np.float32)
            cos, sin = position_tables(bucket, self.engine.graph.path(bucket).position_dims)
            feeds = {"h": h, "bias": bias(tokens, bucket), "cos": cos, "sin": sin}
            for graph in manifest.graphs:
                if graph.key.bucket == bucket:
                    name = f"graph {bucket}/{graph.key.stage}/{graph.key.width}"
                    work[name] = partial(self._stage, graph.key, feeds)
            for number, head in heads.items():
                work[f"head {number}/{bucket}"] = partial(self._head, head, h, tokens)
            if manifest.slots:
                scored = [self._scored(text) for text in by_bucket.get(bucket, texts[:1])]
                said = self.engine.reader.read(h, tokens)
                pooled = weights.heads[-1].answer(said)[1]
                work[f"words {bucket}"] = _Round(
                    [partial(self._words, said, pooled, *one[:2]) for one in scored]
                )
                work[f"tags {bucket}"] = _Round([partial(self._tags, *one) for one in scored])
            work[f"host {bucket}"] = _Round(
                [partial(self._host, text) for text in by_bucket.get(bucket, texts[:1])]
            )
        return work

    def _stage(self, key: Any, feeds: Mapping[str, Any]) -> object:
        return self.runner.run(key, feeds, inf)["h_out"]

    def _scored(self, text: str) -> tuple[Any, Encoded, int]:
        """The last exit's tag scores of a text, its pieces, and its label."""
        engine, encoded = self.engine, self.task.encode({"text": text})
        path, head = engine.graph.path(encoded.tokens), self.weights.heads[-1]
        feeds = engine.feeds(path, encoded)
        for key in path.rungs[0].graphs:
            feeds["h"] = np.array(self._stage(key, feeds))
        label = engine.every_exit(encoded)[-1].label_index
        return head.tag_logits(feeds["h"], encoded.tokens), encoded, label

    def _words(self, said: Read, pooled: Any, scores: Any, encoded: Encoded) -> object:
        """Score as the engine does, and ask how sure the words of a real text are."""
        self.weights.heads[-1].scores_of(said, pooled)
        words = self.weights.choice.words(scores, encoded)
        return words.sure() if self.engine.asks_slots else words

    def _tags(self, scores: Any, encoded: Encoded, label: int) -> object:
        """Choose the tags of a real text, since only unsure words take time; what they are made of again is little."""
        return self.weights.choice.tags(self.weights.choice.words(scores, encoded), label)

    def _head(self, head: ExitHead, h: Any, tokens: int) -> object:
        """As the engine asks it, with the buffers of its slot."""
        return head.answer(self.engine.reader.read(h, tokens))

    def _host(self, text: str) -> object:
        encoded = self.task.encode({"text": text})
        return self.weights.embedding.lookup(encoded.ids, self.engine.graph.path(encoded.tokens).bucket)

    def answers(
        self, ways: Sequence[Way], texts: Sequence[str], tell: Callable[[float], None]
    ) -> dict[str, list[float]]:
        """Seconds of every text on every way, tokenizer included."""

        def answer(way: Way, text: str) -> object:
            return self.engine.run(self.task.encode({"text": text}), Limits(inf, way.rule, widths=way.widths))

        seconds: dict[str, list[float]] = {way.name: [] for way in ways}
        for way in ways:
            for text in texts[:_BLOCK]:
                answer(way, text)
        for turn, begin in enumerate(range(0, len(texts), _BLOCK)):
            first = turn % max(1, len(ways))
            for way in (*ways[first:], *ways[:first]):
                seconds[way.name] += [
                    _timed(partial(answer, way, text)) for text in texts[begin : begin + _BLOCK]
                ]
            tell(min(1.0, (begin + _BLOCK) / len(texts)))
        return seconds


class _Round:
    """Another of several actions at each call."""

    def __init__(self, actions: Sequence[Callable[[], object]]) -> None:
        self._actions, self._at = actions, -1

    def __call__(self) -> object:
        self._at = (self._at + 1) % len(self._actions)
        return self._actions[self._at]()


def _timed(action: Callable[[], object]) -> float:
    begin_s = time.perf_counter()
    action()
    return time.perf_counter() - begin_s


def _tell(share: float) -> None:
    sys.stdout.write(f"{share:.4f}\n")
    sys.stdout.flush()


def main(path: str) -> int:
    """Run a job: `{folder, sha256, manifest, texts, ways, rounds, answers}`; progress on standard output."""
    job = json.loads(Path(path).read_text("utf-8"))
    manifest = parse_manifest(json.loads(Path(job["manifest"]).read_text("utf-8")))
    rig = Rig(Unpacked(Path(job["folder"]), manifest, job["sha256"]))
    parts = rig.parts(job["texts"], job["rounds"])
    ways = [Way(way["name"], tuple(way["widths"]), way["rule"]) for way in job["ways"]]
    answers = rig.answers(ways, job["texts"], _tell)
    Path(job["answers"]).write_text(json.dumps({"parts": parts, "answers": answers}), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
