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


def choose(rows: Sequence[Sentence], tokenizer: WordPiece, buckets: Sequence[int], seed: int) -> list[str]:
    """One sentence of each intent, two of each length bucket, then random ones."""
    random = Random(f"golden {seed}")  # noqa: S311 - reproducible draws, no secret
    shuffled = random.sample(list(rows), len(rows))
    first = {row.intent: row.text for row in reversed(shuffled)}
    needed = [*sorted(first.values()), *of_each_length(rows, tokenizer, buckets, seed, 2)]
    return list(dict.fromkeys([*needed, *(row.text for row in shuffled)]))[: max(ROWS, len(needed))]


def of_each_length(
    rows: Sequence[Sentence], tokenizer: WordPiece, buckets: Sequence[int], seed: int, each: int
) -> list[str]:
    """`each` texts per length bucket, long ones of several sentences: no graph stays untried."""
    random = Random(f"lengths {seed}")  # noqa: S311 - reproducible draws, no secret
    found: dict[int, list[str]] = {bucket: [] for bucket in buckets}
    while any(len(texts) < each for texts in found.values()):
        # As many sentences as reach into the bucket at hand, at about eight tokens each.
        short = min(buckets, key=lambda bucket: (len(found[bucket]) >= each, bucket))
        wanted = random.randint(1, max(1, short // 8))
        text = " and then ".join(row.text for row in random.sample(list(rows), min(wanted, len(rows))))
        length = len(tokenizer.encode(text).ids)
        bucket = next((size for size in buckets if size >= length), None)
        if bucket is not None and len(found[bucket]) < each:
            found[bucket].append(text)
    return [text for texts in found.values() for text in texts]


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
