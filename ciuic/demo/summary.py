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

ANSWERED = "every request answered, again only where it was sent again: lost or answered twice"
MIN_TEMPLATE_ACCURACY = 0.95
MIN_HAND_ACCURACY = 0.85
MAX_AMISS_SHARE = 0.01  # late, refused and failed answers together


@dataclass(frozen=True, slots=True)
class Killed:
    """The node that was ended on the way: its name, by which signal, after which request (from 1) was asked."""

    node: str
    signal: str
    at_request: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one question: its reply (null = lost) and seconds at the asker."""

    question: Question
    reply: Reply | None
    latency_s: float
    late: bool

    @property
    def not_run(self) -> bool:
        """Whether a node said that it did not run the question, or could not."""
        return self.reply is not None and self.reply.status in ("refused", "failed")

    @property
    def right(self) -> bool:
        """Whether the reply says what the sentence means."""
        if self.reply is None:
            return False
        if not self.question.sentence.in_scope:
            return self.reply.status == "out_of_scope"
        result = self.reply.result or {}
        return self.reply.status == "ok" and result.get("label") == self.question.sentence.intent


@dataclass(frozen=True, slots=True)
class Played:
    """A whole run: how many questions were asked, what came of them, repeats that the asker dropped.

    `unexplained` repeats are those beyond one reply for each time that the question was sent.
    """

    asked: int
    answers: Sequence[Answered]
    repeats: int = 0
    unexplained: int = 0
    killed: Killed | None = None


def accuracy(answers: Iterable[Answered]) -> float | None:
    """The share of right answers; null without answers."""
    rows = [answer.right for answer in answers]
    return fmean(rows) if rows else None


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile; null without values."""
    return quantile(values, share) if values else None


def energy_by_node(answers: Iterable[Answered]) -> dict[str, dict[str, Any]]:
    """Per node: answers, those with known joules, their mean and mean U95, methods, sources, both of them, simulated."""
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
            "sources_by_method": {
                method: dict(Counter(r.energy.source for r in replies if r.energy.method == method))
                for method in methods
            },
            "simulated": any(r.route.simulated for r in replies),
        }
    return out


def after_the_kill(played: Played) -> dict[str, Any] | None:
    """Which node was killed, and who answered how many of the questions asked from then on; null without a kill."""
    killed = played.killed
    if killed is None:
        return None
    later = [a for a in played.answers if a.question.index >= killed.at_request]
    nodes = Counter(a.reply.route.node for a in later if a.reply is not None)
    return {
        "node": killed.node,
        "signal": killed.signal,
        "at_request": killed.at_request,
        "asked_after": played.asked - killed.at_request,
        "answered_after": dict(sorted(nodes.items())),
    }


def summarise(played: Played) -> dict[str, Any]:
    """The figures of the closing summary, ready for `--json`.

    A `refused` or `failed` reply is an answer, and its energy and time count, but nothing was understood.
    """
    answers = played.answers
    inside = [a for a in answers if a.question.sentence.in_scope]
    ok = [a for a in answers if a.reply is not None]
    statuses = Counter(a.reply.status for a in ok if a.reply is not None)
    latencies = [a.latency_s for a in ok]
    taken = (a.reply.route.exit for a in ok if a.reply is not None)
    exits = Counter(number for number in taken if number is not None)
    return {
        "asked": played.asked,
        "answered": len(ok),
        "lost": played.asked - len(ok),
        "answered_twice": played.unexplained,
        "late": sum(a.late for a in answers),
        "refused": statuses["refused"],
        "failed": statuses["failed"],
        "late_refused_failed": sum(a.late or a.not_run for a in answers),
        "repeats_dropped": played.repeats,
        "accuracy_template": accuracy(a for a in inside if a.question.sentence.origin != "hand"),
        "n_template": sum(a.question.sentence.origin != "hand" for a in inside),
        "accuracy_hand": accuracy(a for a in inside if a.question.sentence.origin == "hand"),
        "n_hand": sum(a.question.sentence.origin == "hand" for a in inside),
        "out_of_scope_recall": accuracy(a for a in answers if not a.question.sentence.in_scope),
        "n_out_of_scope": len(answers) - len(inside),
        "exit_share": {str(k): v / max(1, sum(exits.values())) for k, v in sorted(exits.items())},
        "latency_s": {"p50": percentile(latencies, 0.5), "p99": percentile(latencies, 0.99)},
        "nodes": energy_by_node(answers),
        "mqtt_3_1_1": sum(a.question.protocol == 4 for a in ok),
        "killed": after_the_kill(played),
    }


def checks(figures: dict[str, Any]) -> tuple[Check, ...]:
    """What the exit status rests on."""
    asked = max(1, figures["asked"])
    lost_or_twice = figures["lost"] + figures["answered_twice"]
    amiss = figures["late_refused_failed"] / asked
    return (
        Check(ANSWERED, lost_or_twice, 0, "requests"),
        Check("late, refused or failed answers", amiss, MAX_AMISS_SHARE, "share"),
        Check(
            "intent accuracy, templates", figures["accuracy_template"], MIN_TEMPLATE_ACCURACY, "share", ">="
        ),
        Check("intent accuracy, hand-written", figures["accuracy_hand"], MIN_HAND_ACCURACY, "share", ">="),
    )
