"""Walks the stages of one bundle until an exit accepts, the limits end it, or no rung is left.

    embed -> [head 0 -> exit?] -> stage 1 -> head -> exit? -> stage 2 -> head -> exit? -> …

Exit 0, where the bundle has it and the asked rule uses it, judges the embedded rows: no stage runs, the
work is the host's (tokenizer, head) and is charged as such. A rung that fails is taken out and the next one repeats the same stage from the same rows. When the
limits end before an exit accepted, the deepest exit so far answers. The answering exit's tag head runs, and only in
scope; where the bundle asks how sure slots are, that of each exit which is sure of its label, too. One engine serves one interpreter slot: one thread at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol

from firmware_py.backends.health import DelegateHealth
from firmware_py.bundles.read import Unpacked
from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import (
    BundleFormatError,
    DeadlinePassedError,
    GraphError,
    UnknownRuleError,
    named,
)
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.manifest import Manifest
from firmware_py.contracts.records import record
from firmware_py.contracts.run import HOST, GraphKey, RunRecord
from firmware_py.contracts.seams import Runner
from firmware_py.inference.exits import Verdict, judge
from firmware_py.inference.graph import DynamicComputingGraph, Rung, Way
from firmware_py.inference.heads import ExitHead
from firmware_py.inference.rows import Reader
from firmware_py.inference.tensors import Embedding, bias, position_tables
from firmware_py.inference.walk import Walk
from firmware_py.tasks.intent import Encoded, scope_index
from firmware_py.tasks.slot_choice import SlotChoice
from firmware_py.tasks.text import continuing_pieces, count_pieces

HOST_DELEGATE = HOST[1]  # who answers at exit 0: no graph runs


class StageCosts(Protocol):
    """What one stage is expected to cost; None where nothing is known."""

    def stage_s(self, graph: GraphKey, delegate: str) -> float | None:
        """Mean seconds."""

    def stage_j(self, graph: GraphKey, delegate: str, untimed_s: float | None = None) -> float | None:
        """Mean joules above idle; of a stage that was never timed, those of `untimed_s` seconds of it."""


class NoCosts:
    """Nothing is known: the last stage's time stands for the next one's, joules bound nothing."""

    __slots__ = ()

    def stage_s(self, graph: GraphKey, delegate: str) -> float | None:  # noqa: ARG002 - the protocol's form
        """Unknown."""
        return None

    def stage_j(self, graph: GraphKey, delegate: str, untimed_s: float | None = None) -> float | None:  # noqa: ARG002 - the protocol's form
        """Unknown."""
        return None


@dataclass(frozen=True, slots=True)
class Weights:
    """What of a bundle lives in numpy: embedding and one head per exit. Shared by all slots.

    `heads` are of the exits 1 to the last; `zeroth` is exit 0's, which judges the embedded rows. `choice` reads tags
    out of their scores.
    """

    manifest: Manifest
    sha256: str
    embedding: Embedding
    heads: tuple[ExitHead, ...]
    out_of_scope_index: int | None
    zeroth: ExitHead | None = None
    choice: SlotChoice = field(default_factory=SlotChoice)

    @property
    def bio_tags(self) -> bool:
        """Whether slots are tagged as in the first version's bundles (`tasks.intent.IntentTask`)."""
        return self.heads[0].tag_count > len(self.manifest.slots) + 1

    @classmethod
    def load(cls, unpacked: Unpacked) -> Weights:
        """Read them from an unpacked bundle.

        Raises:
            BundleError: a member is gone or of another form.
        """
        manifest = unpacked.manifest
        heads = {
            head.exit: ExitHead.from_bytes(unpacked.read(head.file.name), head.temperature)
            for head in manifest.heads
        }
        labels = manifest.labels
        slots = len(manifest.slots)
        tags = {head.tag_count for head in heads.values()}
        forms = [{slots + 1}, {2 * slots + 1}] if slots else [{0}]  # the second: first version's bundles
        if tags not in forms or any(head.labels != len(labels) for head in heads.values()):
            msg = "a head has another number of labels or tags than the manifest"
            raise BundleFormatError(msg)
        embedding = Embedding.from_bytes(unpacked.read(manifest.embedding.name))
        if any(head.width != embedding.width for head in heads.values()):
            msg = "a head reads rows of another size than the embedding table's"
            raise BundleFormatError(msg)
        vocabulary = unpacked.read(manifest.tokenizer.name)
        _check_reach(embedding, manifest, count_pieces(vocabulary))
        reads_words = manifest.slot_sets is not None or manifest.asks_slots
        if reads_words and tags != forms[0]:
            msg = "slot sets, or exits that ask slots, stand beside tags of the first version"
            raise BundleFormatError(msg)
        return cls(
            manifest=manifest,
            sha256=unpacked.sha256,
            embedding=embedding,
            heads=tuple(heads[number] for number in range(1, manifest.stages + 1)),
            out_of_scope_index=scope_index(labels),
            zeroth=heads.get(0),
            choice=SlotChoice(manifest.slot_sets, continuing_pieces(vocabulary))
            if reads_words
            else SlotChoice(),
        )


def _check_reach(embedding: Embedding, manifest: Manifest, pieces: int) -> None:
    """Whatever id and place a text may have, the table has a row for it.

    Raises:
        BundleFormatError: it has not: the first such text would fail.
    """
    if max(pieces, *(number + 1 for number in manifest.frame), 0) > embedding.size:
        msg = "the vocabulary or the frame has ids that the embedding table has no row for"
        raise BundleFormatError(msg)
    if embedding.places is not None and embedding.places < max(manifest.buckets):
        msg = "the embedding has positions for fewer tokens than the largest length bucket"
        raise BundleFormatError(msg)


@record(frozen=True, slots=True)
class Outcome:
    """One run's answer.

    `widths` are those of the stages that ran. `accepted` is false when limits or failures ended the run
    before an exit met the rule; such an answer is not worth caching. `over_budget`: what ran is expected to cost
    more than the asked joules, though the walk ended at the first exit it could; no narrower graph is tried for it.
    """

    record: RunRecord
    verdict: Verdict
    tags: Sequence[int]
    widths: tuple[int, ...]
    delegate: str
    accepted: bool
    over_budget: bool


_UNKNOWN_WORDS = Verdict(label_index=0, confidence=1.0, out_of_scope=True, out_of_scope_score=1.0)


class Engine:
    """Runs encoded texts over the graphs of one bundle."""

    def __init__(
        self,
        weights: Weights,
        runners: Sequence[Runner],
        clock: Clock,
        health: DelegateHealth,
        costs: StageCosts | None = None,
    ) -> None:
        """Take runners in ladder order; the last one is tried even when it failed before."""
        self.weights = weights
        self.health = health
        self.runners = {runner.delegate: runner for runner in runners}
        self.graph = DynamicComputingGraph(weights.manifest, list(self.runners))
        self._last_resort = runners[-1].delegate
        self._simulated = any(getattr(runner, "simulated", False) for runner in runners)
        self.now_s = clock.now_s
        self.costs: StageCosts = costs or NoCosts()
        manifest = weights.manifest
        self._rules = manifest.exit_rules
        self._causal = manifest.attention == "causal"
        by_label = manifest.out_of_scope_score == "label"
        self.scope = (manifest.out_of_scope_threshold, weights.out_of_scope_index, by_label)
        self.asks_slots = manifest.asks_slots
        self.reader = Reader(weights.embedding.width)
        self._tagged = weights.heads[0].tag_count > 0  # all exits have tags or none has
        self._tables: dict[tuple[int, int], dict[str, Any]] = {}
        self._written: dict[tuple[int, tuple[int, ...], str], str] = {}

    def run(self, encoded: Encoded, limits: Limits, start_s: float | None = None) -> Outcome:
        """Answer one text; `start_s` is when its work began, if that was before this call.

        Raises:
            UnknownRuleError: the rule is not one of the manifest's.
            DeadlinePassedError: there is no time left to begin.
            GraphError: stage 1 failed on every rung, and exit 0 was not asked.
            ConfigError: the limits ask for other than one width per stage.
        """
        now_s = self.now_s()
        rule = limits.rule
        if rule not in self._rules:
            msg = "the asked exit rule is not one of the model's"
            raise UnknownRuleError(msg, hint=f"The model's rules: {named(self._rules)}.")
        if now_s >= limits.due_s:
            msg = "the deadline was over before the run could start"
            raise DeadlinePassedError(msg)
        tokens, stages = encoded.tokens, self.graph.stages
        path = self.graph.path(tokens, limits.widths)
        if start_s is None:
            start_s = now_s
        if not encoded.answerable:
            return self._unanswerable(path, encoded, limits, start_s)
        walk = Walk(self, path, encoded, limits, start_s)
        runs = walk.runs
        depth = stages if limits.max_stages is None else min(limits.max_stages, stages)
        early = path.rungs[0].zeroth.get(rule)
        accepted = early is not None and walk.ask_zeroth(early)
        while not accepted and walk.goes_on(depth):
            accepted = len(runs) == stages or walk.may_answer(rule)
        at = len(runs)
        rung, verdict = walk.rung, walk.verdict
        tags: Sequence[int] = ()
        if self._tagged and not verdict.out_of_scope:  # nothing is answered, so nothing is tagged
            tags = self.weights.choice.tags(walk.words(), verdict.label_index)
        record = RunRecord(
            self.weights.sha256,
            self._written.get((path.bucket, rung.widths, rule)) or self._configuration(path, rung, rule),
            tuple(runs),
            at,
            start_s,
            self.now_s(),
            tokens,
            encoded.truncated,
            walk.fallback,
            self._simulated,
        )
        return Outcome(
            record=record,
            verdict=verdict,
            tags=tags,
            widths=walk.widths(),
            delegate=runs[-1].delegate if at else HOST_DELEGATE,
            accepted=accepted,
            over_budget=walk.over_budget(),
        )

    def _unanswerable(self, path: Way, encoded: Encoded, limits: Limits, start_s: float) -> Outcome:
        """A text of mostly unknown words is out of scope before any stage: a guess could switch a device on."""
        written = self._configuration(path, path.rungs[0], limits.rule)
        record = RunRecord(
            self.weights.sha256, written, (), 0, start_s, self.now_s(), encoded.tokens, encoded.truncated,
            simulated=self._simulated,
        )  # fmt: skip
        most_j = limits.energy_j
        over = most_j is not None and (self.costs.stage_j(*HOST, record.run_s) or 0.0) > most_j
        return Outcome(
            record=record,
            verdict=_UNKNOWN_WORDS,
            tags=(),
            widths=(),
            delegate=HOST_DELEGATE,
            accepted=True,
            over_budget=over,
        )

    def zeroth(self, encoded: Encoded) -> Verdict | None:
        """What exit 0 says when asked alone; None where the bundle has none."""
        head = self.weights.zeroth
        if head is None:
            return None
        rows = self.weights.embedding.lookup(encoded.ids, self.graph.path(encoded.tokens).bucket)
        logits, _pooled = head.answer(self.reader.read(rows, encoded.tokens))
        return judge(logits, head.temperature, *self.scope)

    def every_exit(self, encoded: Encoded, widths: tuple[int, ...] | None = None) -> tuple[Verdict, ...]:
        """What each exit from the first says when asked alone: all stages run, whatever they think.

        Raises:
            GraphError: a stage failed on every rung.
            ConfigError: not one width per stage.
        """
        way = self.graph.path(encoded.tokens, widths)
        patient = Limits(inf, self.weights.manifest.default_rule)
        walk = Walk(self, way, encoded, patient, self.now_s())
        verdicts: list[Verdict] = []
        while len(verdicts) < self.graph.stages and walk.goes_on(self.graph.stages):
            verdicts.append(walk.verdict)
        if len(verdicts) < self.graph.stages:  # without limits only a failure ends the walk
            msg = f"not every exit could be asked: {walk.fallback}"
            raise GraphError(msg)
        return tuple(verdicts)

    def close(self) -> None:
        """Release every runner."""
        for runner in self.runners.values():
            runner.close()

    def usable(self, delegate: str) -> bool:
        """Whether a rung's delegate may be tried."""
        return delegate == self._last_resort or self.health.usable(delegate)

    def feeds(self, path: Way, encoded: Encoded) -> dict[str, Any]:
        """What the first stage is fed: the embedded rows, and what every stage is fed beside its rows."""
        key = path.bucket, encoded.tokens
        tables = self._tables.get(key) or self._make_tables(path, encoded.tokens)
        feeds = tables.copy()
        feeds["h"] = self.weights.embedding.lookup(encoded.ids, path.bucket)
        return feeds

    def _make_tables(self, path: Way, tokens: int) -> dict[str, Any]:
        """What a stage is fed besides rows: the same objects at every length, so that a runner may keep them."""
        cos, sin = position_tables(path.bucket, path.position_dims)
        given = {"bias": bias(tokens, path.bucket, causal=self._causal), "cos": cos, "sin": sin}
        tables = self._tables[path.bucket, tokens] = given
        return tables

    def _configuration(self, path: Way, rung: Rung, rule: str) -> str:
        written = self.graph.configuration(path, rung, rule)
        self._written[path.bucket, rung.widths, rule] = written
        return written
