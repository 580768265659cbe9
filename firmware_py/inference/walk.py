"""One run on its way: the next stage on the first rung that can, as long as the limits allow it."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from firmware_py.contracts.errors import DelegateError, GraphError
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.run import StageRun
from firmware_py.costs import HOST
from firmware_py.inference.exits import Verdict, accepts, judge
from firmware_py.inference.graph import Rung, Way
from firmware_py.inference.heads import ExitHead
from firmware_py.inference.rows import Read
from firmware_py.tasks.intent import Encoded

if TYPE_CHECKING:
    from firmware_py.inference.engine import Engine


class Walk:
    """The state of one run: what it cost, on which rung it stands.

    `runs` are the stages so far; `verdict` is the deepest exit's, on the rows that it `read`, and `pooled` is
    what its head says of them to its tags. The engine
    asks `begins` first where the rule uses exit 0, then `goes_on` until it accepts or this ends.
    """

    __slots__ = ("_at", "_engine", "_feeds", "_limits", "_path", "_tokens", "_zeroth", "fallback", "pooled", "read", "runs", "verdict")  # fmt: skip

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
        self.read: Read
        self.pooled: Any
        self.verdict: Verdict
        self._zeroth = False  # exit 0 has spoken

    @property
    def rung(self) -> Rung:
        """Where the walk stands."""
        return self._path.rungs[self._at]

    def widths(self) -> tuple[int, ...]:
        """Width groups of the stages that ran; a walk that changed rungs may mix two rungs'."""
        if not self._at:  # the common case costs a slice
            return self._path.rungs[0].widths[: len(self.runs)]
        return tuple(run.graph.width for run in self.runs)

    def begins(self, threshold: float) -> bool:
        """Let exit 0 judge the embedded rows; whether it may answer."""
        head = self._engine.weights.zeroth
        if head is None:
            return False
        verdict = self._hear(head, self._feeds["h"], head.temperature)
        self._zeroth = isfinite(verdict.confidence)
        if not self._zeroth:
            return False
        self.verdict = verdict
        return accepts(verdict, threshold)

    def goes_on(self, depth: int) -> bool:
        """Run the next stage if the limits allow it and a rung is left; False ends the walk.

        Raises:
            GraphError: stage 1 failed on every rung, and exit 0 has not spoken.
        """
        done = len(self.runs)
        spoken = done > 0 or self._zeroth
        if spoken and not self._allowed(done, depth):
            return False
        try:
            self._stage(done + 1)
        except GraphError as error:
            if not spoken:
                raise
            self.fallback = f"exit {done}: {error.message}"
            return False
        return True

    def expected_j(self) -> float:
        """Joules that the work so far is expected to have cost; unknown ones count nothing.

        Of stages; at exit 0 of the host's work, which is then all there was.
        """
        expected = self._engine.expected
        if not self.runs:
            return expected(*HOST)[1] or 0.0
        return sum(expected(run.graph, run.delegate)[1] or 0.0 for run in self.runs)

    def _allowed(self, done: int, depth: int) -> bool:
        limits, rung = self._limits, self._path.rungs[self._at]
        if done >= depth:
            self.fallback = self.fallback or f"exit {done}: the board allows no deeper stage now"
            return False
        next_s, next_j = self._engine.expected(rung.graphs[done], rung.delegate)
        if done:
            last = self.runs[-1]
            end_s = last.start_s + last.run_s + (last.run_s if next_s is None else next_s)
        else:
            end_s = self._engine.now_s() + (next_s or 0.0)
        if end_s > limits.due_s:
            self.fallback = self.fallback or f"exit {done}: no time for the next stage"
            return False
        if limits.energy_j is None or next_j is None:
            return True
        return (self.expected_j() if done else 0.0) + next_j <= limits.energy_j

    def _hear(self, head: ExitHead, h: Any, temperature: float) -> Verdict:
        """What an exit says of its rows."""
        engine = self._engine
        self.read = said = engine.reader.read(h, self._tokens)
        logits, self.pooled = head.answer(said)
        return judge(logits, temperature, *engine.scope)

    def _hear_again(self) -> None:
        """Read the deepest exit's rows once more: rows that were not numbers came over them."""
        head = self._engine.weights.zeroth
        if self.runs:
            head = self._engine.weights.heads[len(self.runs) - 1]
        if head is not None and (self.runs or self._zeroth):
            self._hear(head, self._feeds["h"], head.temperature)

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
                    verdict = self._hear(engine.weights.heads[stage - 1], h, rung.temperatures[stage - 1])
                    if isfinite(verdict.confidence):
                        break
                    reason = "its output is not a number"
                    self._hear_again()
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
        feeds["h"] = h
        self.verdict = verdict
        self.runs.append(StageRun(graph, delegate, begin_s, run_s))
