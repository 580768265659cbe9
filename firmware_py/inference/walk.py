"""One run on its way: the next stage on the first rung that can, as long as the limits allow it."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from firmware_py.contracts.errors import DelegateError, GraphError
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.run import HOST, StageRun
from firmware_py.inference.exits import Verdict, accepts, judge
from firmware_py.inference.graph import Rung, Way
from firmware_py.inference.heads import ExitHead
from firmware_py.inference.rows import Read
from firmware_py.tasks.intent import Encoded
from firmware_py.tasks.slot_choice import Words

if TYPE_CHECKING:
    from firmware_py.inference.engine import Engine


_MOST_CHARS = 200  # of a reason in a reply: a library may write pages, and clients refuse over 1,024


def _brief(text: str) -> str:
    return text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 1]}…"


class Walk:
    """The state of one run: what it cost, on which rung it stands.

    `runs` are the stages so far; `verdict` is the deepest exit's, `words` what it says of the text's words. If the rule never lets an
    exit answer (threshold above 1), its head is evaluated only when the run has to stop at that exit. The engine asks `ask_zeroth` first where the rule uses exit 0,
    then `goes_on` until an exit accepts or this ends.
    """

    __slots__ = ("_at", "_encoded", "_engine", "_feeds", "_head", "_limits", "_path", "_pooled", "_read", "_start_s", "_tokens", "_unheard", "_verdict", "_words", "_zeroth", "fallback", "runs")  # fmt: skip

    def __init__(self, engine: Engine, path: Way, encoded: Encoded, limits: Limits, start_s: float) -> None:
        """Begin; `start_s` is when the answer's work began, tokenizer included."""
        self._engine = engine
        self._path = path
        self._limits = limits
        self._start_s = start_s
        self._feeds = engine.feeds(path, encoded)
        self._encoded = encoded
        self._tokens = encoded.tokens
        self._at = 0
        self.runs: list[StageRun] = []
        self.fallback: str | None = None
        # The deepest exit's head, what it read, what it says of that to its tags, and where somebody asked, what those say.
        self._head: ExitHead
        self._read: Read
        self._pooled: Any
        self._words: Words | None = None
        self._verdict: Verdict
        self._unheard: float | None = None  # temperature of the deepest exit where nobody asked it yet
        self._zeroth = False  # exit 0 has spoken

    @property
    def rung(self) -> Rung:
        """That of the deepest stage so far; the first before any ran."""
        return self._path.rungs[self._at]

    @property
    def verdict(self) -> Verdict:
        """What the deepest exit says."""
        if self._unheard is not None:
            head = self._engine.weights.heads[len(self.runs) - 1]
            self._verdict = self._hear(head, self._feeds["h"], self._unheard)
            self._unheard = None
        return self._verdict

    def may_answer(self, rule: str) -> bool:
        """Whether the exit behind the last stage meets its threshold."""
        threshold = self.rung.rules[rule][len(self.runs) - 1]
        return threshold <= 1.0 and self._meets(self.verdict, threshold)

    def words(self) -> Words:
        """What the deepest exit that was heard says of each word; of a bundle with slots only. Ask its `verdict` first."""
        if self._words is None:
            scores = self._head.scores_of(self._read, self._pooled)
            self._words = self._engine.weights.choice.words(scores, self._encoded)
        return self._words

    def _meets(self, verdict: Verdict, threshold: float) -> bool:
        """Whether label and, where the bundle says so, slots are as sure as a rule asks; what is turned away has no slots."""
        if not accepts(verdict, threshold):
            return False
        if not self._engine.asks_slots or verdict.out_of_scope:
            return True
        return self.words().sure() >= threshold

    def widths(self) -> tuple[int, ...]:
        """Width groups of the stages that ran; a walk that changed rungs may mix two rungs'."""
        if not self._at:  # the common case costs a slice
            return self._path.rungs[0].widths[: len(self.runs)]
        return tuple(run.graph.width for run in self.runs)

    def ask_zeroth(self, threshold: float) -> bool:
        """Let exit 0 judge the embedded rows; whether it may answer."""
        head = self._engine.weights.zeroth
        if head is None:
            return False
        verdict = self._hear(head, self._feeds["h"], head.temperature)
        self._zeroth = isfinite(verdict.confidence)
        if not self._zeroth:
            return False
        self._verdict = verdict
        return self._meets(verdict, threshold)

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
            self.fallback = _brief(f"exit {done}: {error.message}")
            return False
        return True

    def expected_j(self) -> float:
        """Joules that the work so far is expected to have cost; unknown ones count nothing.

        Of the stages and of the host's work around them, as it will be charged. What the cost model never timed
        counts with the seconds it took just now.
        """
        engine, stages_s, stages_j = self._engine, 0.0, 0.0
        stage_j = engine.costs.stage_j
        for run in self.runs:
            stages_s += run.run_s
            stages_j += stage_j(run.graph, run.delegate, run.run_s) or 0.0
        host_s = engine.now_s() - self._start_s - stages_s
        return stages_j + (stage_j(*HOST, host_s) or 0.0)

    def over_budget(self) -> bool:
        """Whether the work so far is expected to have cost more than was asked for."""
        most_j = self._limits.energy_j
        return most_j is not None and self.expected_j() > most_j

    def _allowed(self, done: int, depth: int) -> bool:
        limits, rung = self._limits, self._path.rungs[self._at]
        if done >= depth:
            self.fallback = self.fallback or f"exit {done}: the board allows no deeper stage now"
            return False
        graph, delegate, costs = rung.graphs[done], rung.delegate, self._engine.costs
        next_s = costs.stage_s(graph, delegate)
        if done and next_s is None:  # the stage before stands for one that was never timed, in joules too
            next_s = self.runs[-1].run_s
        if self._engine.now_s() + (next_s or 0.0) > limits.due_s:
            self.fallback = self.fallback or f"exit {done}: no time for the next stage"
            return False
        if limits.energy_j is not None:
            next_j = costs.stage_j(graph, delegate, next_s) or 0.0  # unknown joules bound nothing
            if self.expected_j() + next_j > limits.energy_j:
                self.fallback = self.fallback or f"exit {done}: no joules for the next stage"
                return False
        return True

    def _hear(self, head: ExitHead, h: Any, temperature: float) -> Verdict:
        """What an exit says of its rows."""
        engine = self._engine
        self._head, self._words = head, None
        self._read = said = engine.reader.read(h, self._tokens)
        logits, self._pooled = head.answer(said)
        return judge(logits, temperature, *engine.scope)

    def _heard(self, stage: int, rung: Rung, h: Any) -> bool:
        """Take the rows of a stage, and what its exit says if the rule cares; False where they are no numbers."""
        temperature = rung.temperatures[stage - 1]
        if stage < len(rung.graphs) and rung.rules[self._limits.rule][stage - 1] > 1.0:
            if not isfinite(h[: self._tokens].sum()):
                return False
            self._unheard = temperature
            return True
        verdict = self._hear(self._engine.weights.heads[stage - 1], h, temperature)
        if not isfinite(verdict.confidence):
            self._hear_again()
            return False
        self._verdict, self._unheard = verdict, None
        return True

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
        rungs, at = self._path.rungs, self._at
        while True:
            rung = rungs[at]
            delegate = rung.delegate
            if engine.usable(delegate):
                graph = rung.graphs[stage - 1]
                begin_s = now_s()
                try:
                    h = engine.runners[delegate].run(graph, feeds, self._limits.due_s - begin_s)["h_out"]
                    run_s = now_s() - begin_s
                    if self._heard(stage, rung, h):
                        break
                    reason = "its output is not a number"
                except (GraphError, DelegateError) as error:
                    reason = error.message
                engine.health.failed(delegate, reason)
            else:
                reason = "out"
            self.fallback = _brief(f"{delegate}: {reason}")
            at += 1
            if at == len(rungs):
                msg = f"stage {stage} failed on every rung, last on {self.fallback}"
                raise GraphError(msg)
        self._at = at  # only now: what failed must not name the widths of what answers
        feeds["h"] = h
        self.runs.append(StageRun(graph, delegate, begin_s, run_s))
