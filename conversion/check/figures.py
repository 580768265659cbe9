"""Figures of a recipe on unseen templates: every template weighs the same, whatever it was drawn into."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from conversion.check.answers import Answers
from conversion.check.parity import Rules, chosen_exits
from conversion.data.sentence import Sentence, Slot
from firmware_py.inference.exits import judge
from firmware_py.tasks.intent import spans_of
from firmware_py.tasks.text import WordPiece

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a system says of one sentence; intent None = turned away. `scope_score` grows with strangeness."""

    intent: str | None
    slots: tuple[Slot, ...] = ()
    scope_score: float = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares from 0 to 1 over in-scope rows (a rejected one is wrong), then the out-of-scope rows."""

    rows: int
    templates: int
    intent: float
    macro_f1: float
    slot_f1: float | None
    out_of_scope_rows: int
    out_of_scope_auroc: float | None
    out_of_scope_recall: float | None
    in_scope_rejected: float

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return {name: round(v, 5) if isinstance(v, float) else v for name, v in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Names:
    """Labels and slots in the heads' order, and the tokenizer."""

    labels: tuple[str, ...]
    slots: tuple[str, ...]
    tokenizer: WordPiece


def predictions(answers: Answers, texts: Sequence[str], rules: Rules, names: Names) -> list[Prediction]:
    """Decode with exits on: the first exit whose confidence meets the rule answers intent and slots."""
    out = []
    for row, (text, at) in enumerate(zip(texts, chosen_exits(answers.logits, rules), strict=True)):
        verdict = judge(
            answers.logits[row, at].copy(), rules.temperatures[at], rules.scope_threshold, rules.scope_index
        )
        tags = [int(tag) for tag in answers.tags[row, at] if tag >= 0]
        found = spans_of(tags, names.tokenizer.encode(text), names.tokenizer.continues)
        slots = tuple((start, end, names.slots[slot]) for slot, start, end in found)
        label = None if verdict.out_of_scope else names.labels[verdict.label_index]
        out.append(Prediction(label, slots, verdict.out_of_scope_score))
    return out


def measure(
    rows: Sequence[Sentence], said: Sequence[Prediction], foreign: Sequence[Prediction], *, slots: bool = True
) -> Figures:
    """Compare predictions with in-scope rows (weighted by template) and with foreign rows."""
    weight = template_weights(rows)
    right = np.array([one.intent == row.intent for row, one in zip(rows, said, strict=True)])
    scores = np.array([one.scope_score for one in said])
    strange = np.array([one.scope_score for one in foreign])
    spread = bool(len(foreign)) and bool(np.ptp(np.concatenate([scores, strange])) > 0)
    return Figures(
        rows=len(rows),
        templates=len({row.template for row in rows}),
        intent=float((right * weight).sum() / weight.sum()),
        macro_f1=macro_f1(rows, said, weight),
        slot_f1=slot_f1(rows, said, weight) if slots else None,
        out_of_scope_rows=len(foreign),
        out_of_scope_auroc=auroc(scores, strange) if spread else None,
        out_of_scope_recall=float(np.mean([one.intent is None for one in foreign])) if foreign else None,
        in_scope_rejected=float(
            (np.array([one.intent is None for one in said]) * weight).sum() / weight.sum()
        ),
    )


def template_weights(rows: Sequence[Sentence]) -> Array:
    """One over the template's number of rows."""
    count: dict[int, int] = defaultdict(int)
    for row in rows:
        count[row.template] += 1
    return np.array([1.0 / count[row.template] for row in rows])


def macro_f1(rows: Sequence[Sentence], said: Sequence[Prediction], weight: Array) -> float:
    """Mean F1 over the intents that occur in the rows."""
    hit: dict[str, float] = defaultdict(float)
    missed: dict[str, float] = defaultdict(float)
    wrong: dict[str, float] = defaultdict(float)
    for row, one, w in zip(rows, said, weight, strict=True):
        if one.intent == row.intent:
            hit[row.intent] += w
            continue
        missed[row.intent] += w
        if one.intent is not None:
            wrong[one.intent] += w
    intents = sorted({row.intent for row in rows})
    return float(np.mean([2 * hit[i] / (2 * hit[i] + missed[i] + wrong[i]) for i in intents]))


def slot_f1(rows: Sequence[Sentence], said: Sequence[Prediction], weight: Array) -> float:
    """Micro-F1 of exact spans with their names."""
    both = only = lost = 0.0
    for row, one, w in zip(rows, said, weight, strict=True):
        want, got = set(row.slots), set(one.slots)
        both += w * len(want & got)
        only += w * len(got - want)
        lost += w * len(want - got)
    return float(2 * both / max(2 * both + only + lost, 1e-12))


def auroc(inside: Array, outside: Array) -> float:
    """Chance that a foreign row scores higher than an in-scope one, ties half (Mann-Whitney U)."""
    both = np.concatenate([inside, outside])
    _, back, count = np.unique(both, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2.0)[back]
    positive = rank[len(inside) :].sum() - len(outside) * (len(outside) + 1) / 2.0
    return float(positive / (len(inside) * len(outside)))


def exit_share(answers: Answers, rules: Rules, rows: Sequence[Sentence]) -> list[float]:
    """Share of templates' rows that each exit answers."""
    weight, at = template_weights(rows), np.array(chosen_exits(answers.logits, rules))
    return [round(float(weight[at == e].sum() / weight.sum()), 5) for e in range(answers.logits.shape[1])]


def intent_by_exit(
    answers: Answers, rules: Rules, rows: Sequence[Sentence], names: Names
) -> tuple[float, ...]:
    """Intent accuracy were each exit to answer everything; a rejected row is wrong."""
    weight, out = template_weights(rows), []
    for e in range(answers.logits.shape[1]):
        said = [
            judge(one[e].copy(), rules.temperatures[e], rules.scope_threshold, rules.scope_index)
            for one in answers.logits
        ]
        right = [
            not v.out_of_scope and names.labels[v.label_index] == row.intent
            for v, row in zip(said, rows, strict=True)
        ]
        out.append(round(float((np.array(right) * weight).sum() / weight.sum()), 5))
    return tuple(out)
