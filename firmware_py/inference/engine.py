"""Walks the stages of one bundle until an exit accepts, the limits end it, or no rung is left.

    embed -> stage 1 -> head -> exit? -> stage 2 -> head -> exit? -> …

A rung that fails is taken out and the next one repeats the same stage from the same rows. When the
limits end before an exit accepted, the deepest exit so far answers. Only the answering exit's tag
head runs, and only in scope. One engine serves one interpreter slot: one thread at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Protocol

from firmware_py.backends.health import DelegateHealth
from firmware_py.bundles.read import Unpacked
from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import DeadlinePassedError, DelegateError, GraphError, UnknownRuleError
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.manifest import Manifest
from firmware_py.contracts.run import GraphKey, RunRecord, StageRun
from firmware_py.contracts.seams import Runner
from firmware_py.inference.exits import Verdict, accepts, judge
from firmware_py.inference.graph import DynamicComputingGraph, Rung, Way
from firmware_py.inference.heads import ExitHead
from firmware_py.inference.tensors import Embedding, bias, position_tables
from firmware_py.tasks.intent import OUT_OF_SCOPE, Encoded


class StageCosts(Protocol):
    """What one stage is expected to cost; None where nothing is known."""

    def stage_s(self, graph: GraphKey, delegate: str) -> float | None:
        """Mean seconds."""

    def stage_j(self, graph: GraphKey, delegate: str) -> float | None:
        """Mean joules above idle."""


class NoCosts:
    """Nothing is known: the last stage's time stands for the next one's, joules bound nothing."""

    __slots__ = ()

    def stage_s(self, graph: GraphKey, delegate: str) -> float | None:  # noqa: ARG002 - the protocol's form
        """Unknown."""
        return None

    def stage_j(self, graph: GraphKey, delegate: str) -> float | None:  # noqa: ARG002 - the protocol's form
        """Unknown."""
        return None


@dataclass(frozen=True, slots=True)
class Weights:
    """What of a bundle lives in numpy: embedding and one head per exit. Shared by all slots."""

    manifest: Manifest
    sha256: str
    embedding: Embedding
    heads: tuple[ExitHead, ...]
    out_of_scope_index: int | None

    @classmethod
    def load(cls, unpacked: Unpacked) -> Weights:
        """Read them from an unpacked bundle.

        Raises:
            BundleError: a member is gone or of another form.
        """
        manifest = unpacked.manifest
        heads = sorted(manifest.heads, key=lambda head: head.exit)
        labels = manifest.labels
        return cls(
            manifest=manifest,
            sha256=unpacked.sha256,
            embedding=Embedding.from_bytes(unpacked.read(manifest.embedding.name)),
            heads=tuple(
                ExitHead.from_bytes(unpacked.read(head.file.name), head.temperature) for head in heads
            ),
            out_of_scope_index=labels.index(OUT_OF_SCOPE) if OUT_OF_SCOPE in labels else None,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run's answer.

    `accepted` is false when limits or failures ended the run before an exit met the rule; such an
    answer is not worth caching. `over_budget`: even the cheapest path is over the asked joules.
    """

    record: RunRecord
    verdict: Verdict
    tags: Any
    widths: tuple[int, ...]
    delegate: str
    accepted: bool
    over_budget: bool


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
        self._costs: StageCosts = costs or NoCosts()
        self._threshold = weights.manifest.out_of_scope_threshold
        self._written: dict[tuple[int, tuple[int, ...], str], str] = {}

    def run(self, encoded: Encoded, limits: Limits, start_s: float | None = None) -> Outcome:
        """Answer one text; `start_s` is when its work began, if that was before this call.

        Raises:
            UnknownRuleError: the rule is not one of the manifest's.
            DeadlinePassedError: there is no time left to begin.
            GraphError: stage 1 failed on every rung.
        """
        now_s = self.now_s()
        thresholds = self.weights.manifest.exit_rules.get(limits.rule)
        if thresholds is None:
            msg = "the asked exit rule is not one of the model's"
            raise UnknownRuleError(msg)
        if now_s >= limits.due_s:
            msg = "the deadline was over before the run could start"
            raise DeadlinePassedError(msg)
        path = self.graph.path(encoded.tokens)
        walk = _Walk(self, path, encoded, limits, self._feeds(path, encoded))
        depth = self.graph.stages if limits.max_stages is None else min(limits.max_stages, self.graph.stages)
        accepted = False
        while not accepted and walk.goes_on(depth):
            at = len(walk.runs)
            accepted = at == self.graph.stages or accepts(walk.verdict, thresholds[at - 1])
        at = len(walk.runs)
        tags: Any = ()
        if not walk.verdict.out_of_scope:  # nothing is answered, so nothing is tagged
            tags = self.weights.heads[at - 1].tags(walk.h, encoded.tokens)
        record = RunRecord(
            bundle_sha256=self.weights.sha256,
            configuration=self._configuration(path, walk.rung, limits.rule),
            stages=tuple(walk.runs),
            exit=at,
            start_s=now_s if start_s is None else start_s,
            end_s=self.now_s(),
            tokens=encoded.tokens,
            truncated_tokens=encoded.truncated,
            fallback=walk.fallback,
            simulated=self._simulated,
        )
        return Outcome(
            record,
            walk.verdict,
            tags,
            walk.rung.widths[:at],
            walk.runs[-1].delegate,
            accepted,
            limits.energy_j is not None and walk.expected_j() > limits.energy_j,
        )

    def every_exit(self, encoded: Encoded) -> tuple[Verdict, ...]:
        """What each exit says when asked alone: all stages run, whatever they think.

        Raises:
            GraphError: a stage failed on every rung.
        """
        way = self.graph.path(encoded.tokens)
        patient = Limits(inf, self.weights.manifest.default_rule)
        walk = _Walk(self, way, encoded, patient, self._feeds(way, encoded))
        verdicts: list[Verdict] = []
        while len(verdicts) < self.graph.stages and walk.goes_on(self.graph.stages):
            verdicts.append(walk.verdict)
        return tuple(verdicts)

    def close(self) -> None:
        """Release every runner."""
        for runner in self.runners.values():
            runner.close()

    def usable(self, delegate: str) -> bool:
        """Whether a rung's delegate may be tried."""
        return delegate == self._last_resort or self.health.usable(delegate)

    def judge(self, stage: int, h: Any, tokens: int) -> Verdict:
        """One exit's verdict on the rows of its stage."""
        head = self.weights.heads[stage - 1]
        logits = head.intent(h, tokens)
        return judge(logits, head.temperature, self._threshold, self.weights.out_of_scope_index)

    def expected(self, graph: GraphKey, delegate: str) -> tuple[float | None, float | None]:
        """Seconds and joules that the next stage is expected to take."""
        return self._costs.stage_s(graph, delegate), self._costs.stage_j(graph, delegate)

    def _feeds(self, path: Way, encoded: Encoded) -> dict[str, Any]:
        cos, sin = position_tables(path.bucket, path.position_dims)
        return {
            "h": self.weights.embedding.lookup(encoded.ids, path.bucket),
            "bias": bias(encoded.tokens, path.bucket),
            "cos": cos,
            "sin": sin,
        }

    def _configuration(self, path: Way, rung: Rung, rule: str) -> str:
        key = (path.bucket, rung.widths, rule)
        written = self._written.get(key)
        if written is None:
            written = self._written[key] = self.graph.configuration(path, rung, rule)
        return written


class _Walk:
    """The state of one run: which rows it has, what it cost, on which rung it stands."""

    __slots__ = ("_at", "_engine", "_feeds", "_limits", "_path", "_tokens", "fallback", "h", "runs", "verdict")  # fmt: skip

    def __init__(
        self, engine: Engine, path: Way, encoded: Encoded, limits: Limits, feeds: dict[str, Any]
    ) -> None:
        self._engine = engine
        self._path = path
        self._limits = limits
        self._feeds = feeds
        self._tokens = encoded.tokens
        self._at = 0
        self.runs: list[StageRun] = []
        self.fallback: str | None = None
        self.h: Any = None
        self.verdict: Verdict

    @property
    def rung(self) -> Rung:
        """Where the walk stands."""
        return self._path.rungs[self._at]

    def goes_on(self, depth: int) -> bool:
        """Run the next stage if the limits allow it and a rung is left; False ends the walk.

        Raises:
            GraphError: stage 1 failed on every rung.
        """
        done = len(self.runs)
        if done and not self._allowed(done, depth):
            return False
        try:
            self._stage(done + 1)
        except GraphError as error:
            if not done:
                raise
            self.fallback = f"exit {done}: {error.message}"
            return False
        return True

    def expected_j(self) -> float:
        """Joules that the stages so far are expected to have cost; unknown ones count nothing."""
        return sum(self._engine.expected(run.graph, run.delegate)[1] or 0.0 for run in self.runs)

    def _allowed(self, done: int, depth: int) -> bool:
        limits, rung = self._limits, self._path.rungs[self._at]
        if done >= depth:
            self.fallback = self.fallback or f"exit {done}: the board allows no deeper stage now"
            return False
        next_s, next_j = self._engine.expected(rung.graphs[done], rung.delegate)
        last = self.runs[-1]
        if last.start_s + last.run_s + (last.run_s if next_s is None else next_s) > limits.due_s:
            self.fallback = self.fallback or f"exit {done}: no time for the next stage"
            return False
        return limits.energy_j is None or next_j is None or self.expected_j() + next_j <= limits.energy_j

    def _stage(self, stage: int) -> None:
        """Run one stage and judge its exit, on the first rung that can."""
        engine, feeds, now_s = self._engine, self._feeds, self._engine.now_s
        rungs = self._path.rungs
        while True:
            rung = rungs[self._at]
            delegate = rung.delegate
            if engine.usable(delegate):
                graph = rung.graphs[stage - 1]
                begin_s = now_s()
                try:
                    h = engine.runners[delegate].run(graph, feeds, self._limits.due_s - begin_s)["h_out"]
                    run_s = now_s() - begin_s
                    verdict = engine.judge(stage, h, self._tokens)
                    if isfinite(verdict.confidence):
                        break
                    reason = "its output is not a number"
                except (GraphError, DelegateError) as error:
                    reason = error.message
                engine.health.failed(delegate, reason)
            else:
                reason = "out"
            self.fallback = f"{delegate}: {reason}"
            if self._at + 1 == len(rungs):
                msg = f"stage {stage} failed on every rung, last on {self.fallback}"
                raise GraphError(msg)
            self._at += 1
        self.h = feeds["h"] = h
        self.verdict = verdict
        self.runs.append(StageRun(graph, delegate, begin_s, run_s))
