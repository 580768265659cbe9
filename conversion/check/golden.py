"""The bundle's own test: sentences of each intent and each length, with what the recipe said of them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from conversion.check.runtime import Answers
from conversion.data.sentence import Sentence
from firmware_py.contracts.golden import GoldenRow, write_golden
from firmware_py.tasks.text import WordPiece

ROWS = 48
MIN_TOLERANCE = 0.5  # logits; another CPU's int8 kernels round differently, a wrong graph is off by several


def choose(rows: Sequence[Sentence], seed: int) -> list[str]:
    """One sentence of each intent, then random ones, and long ones so that every length bucket is tested."""
    random = Random(f"golden {seed}")  # noqa: S311 - reproducible draws, no secret
    shuffled = random.sample(list(rows), len(rows))
    first = {row.intent: row.text for row in reversed(shuffled)}
    texts = list(dict.fromkeys([*sorted(first.values()), *(row.text for row in shuffled)]))[: ROWS - 4]
    longest = sorted({row.text for row in rows}, key=len)[-2:]
    return [*texts, "stop", *longest, " and then ".join(row.text for row in shuffled[:6])]


def golden_bytes(texts: Sequence[str], answers: Answers, tolerance: float, tokenizer: WordPiece) -> bytes:
    """The member `golden.jsonl`: every exit's logits, the last exit's tags, one tolerance."""
    rows = []
    for number, text in enumerate(texts):
        ids = tokenizer.encode(text).ids[: answers.tags.shape[-1]]
        rows.append(
            GoldenRow(
                text=text,
                ids=tuple(ids),
                logits=tuple(tuple(float(value) for value in one) for one in answers.logits[number]),
                atol=round(max(MIN_TOLERANCE, tolerance), 3),
                tags=tuple(int(tag) for tag in answers.tags[number, -1, : len(ids)]),
            )
        )
    return write_golden(rows)
