"""From answers to the closing summary and the exit status; pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from firmware_py.contracts.measurement import Check
from firmware_py.testing.metrics import quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ciuic.demo.sentences import Question
    from firmware_py.contracts.reply import Reply

MIN_TEMPLATE_ACCURACY = 0.95
MIN_HAND_ACCURACY = 0.85
MAX_LATE_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one question: its reply (null = lost) and seconds at the asker."""

    question: Question
    reply: Reply | None
    latency_s: float
    late: bool

    @property
    def right(self) -> bool:
        """Whether the reply says what the sentence means."""
        if self.reply is None:
            return False
        if not self.question.sentence.in_scope:
            return self.reply.status == "out_of_scope"
        result = self.reply.result or {}
        return self.reply.status == "ok" and result.get("label") == self.question.sentence.intent


def accuracy(answers: Iterable[Answered]) -> float | None:
    """The share of right answers; null without answers."""
    rows = [answer.right for answer in answers]
    return fmean(rows) if rows else None


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile; null without values."""
    return quantile(values, share) if values else None


def energy_by_node(answers: Iterable[Answered]) -> dict[str, dict[str, Any]]:
    """Per node: answers, those with known joules, their mean and mean U95, methods, sources, simulated."""
    out: dict[str, dict[str, Any]] = {}
    groups: dict[str, list[Reply]] = {}
    for answer in answers:
        if answer.reply is not None:
            groups.setdefault(answer.reply.route.node, []).append(answer.reply)
    for node, replies in sorted(groups.items()):
        known = [r.energy for r in replies if r.energy.energy_j is not None]
        methods = Counter(r.energy.method for r in replies)
        out[node] = {
            "answers": len(replies),
            "with_joules": len(known),
            "energy_j": fmean(e.energy_j for e in known if e.energy_j is not None) if known else None,
            "u95_j": fmean(e.u95_j for e in known if e.u95_j is not None) if known else None,
            "methods": dict(methods),
            "sources": dict(Counter(e.source for e in known)),
            "simulated": any(r.route.simulated for r in replies),
        }
    return out


def summarise(answers: Sequence[Answered], repeats: int = 0) -> dict[str, Any]:
    """The figures of the closing summary, ready for `--json`; `repeats` were dropped by the asker."""
    inside = [a for a in answers if a.question.sentence.in_scope]
    ok = [a for a in answers if a.reply is not None]
    latencies = [a.latency_s for a in ok]
    taken = (a.reply.route.exit for a in ok if a.reply is not None)
    exits = Counter(number for number in taken if number is not None)
    return {
        "asked": len(answers),
        "answered": len(ok),
        "lost": len(answers) - len(ok),
        "late": sum(a.late for a in answers),
        "repeats_dropped": repeats,
        "accuracy_template": accuracy(a for a in inside if a.question.sentence.origin != "hand"),
        "n_template": sum(a.question.sentence.origin != "hand" for a in inside),
        "accuracy_hand": accuracy(a for a in inside if a.question.sentence.origin == "hand"),
        "n_hand": sum(a.question.sentence.origin == "hand" for a in inside),
        "out_of_scope_recall": accuracy(a for a in answers if not a.question.sentence.in_scope),
        "n_out_of_scope": len(answers) - len(inside),
        "exit_share": {str(k): v / max(1, sum(exits.values())) for k, v in sorted(exits.items())},
        "latency_s": {"p50": percentile(latencies, 0.5), "p99": percentile(latencies, 0.99)},
        "nodes": energy_by_node(answers),
        "mqtt_3_1_1": sum(a.question.protocol == 4 for a in answers),
    }


def checks(figures: dict[str, Any]) -> tuple[Check, ...]:
    """What the exit status rests on."""
    asked = max(1, figures["asked"])
    return (
        Check("every request answered exactly once: lost", figures["lost"], 0, "requests"),
        Check("late answers", figures["late"] / asked, MAX_LATE_SHARE, "share"),
        Check(
            "intent accuracy, templates", figures["accuracy_template"], MIN_TEMPLATE_ACCURACY, "share", ">="
        ),
        Check("intent accuracy, hand-written", figures["accuracy_hand"], MIN_HAND_ACCURACY, "share", ">="),
    )
