"""The bundle's own test: sentences of each intent and each length, with what the recipe said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from conversion.check.answers import LatticeAnswers, Prefix
from conversion.data.sentence import Sentence
from firmware_py.contracts.errors import DataInvalidError
from firmware_py.contracts.golden import GoldenRow, write_golden
from firmware_py.tasks.text import WordPiece

ROWS = 48
MIXED_ROWS = 4  # of each width combination that has rows of its own
VAIN = 1000  # draws without a text of a length that is still wanted, before one is made to measure
MIN_TOLERANCE = 0.5  # logits; another CPU's int8 kernels round differently, a wrong graph is off by several
# Where an accelerator rounds its activations, too; a stage left out of hwu64 is off by 1.4.
STATIC_TOLERANCE = 1.0


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
    """`each` texts per length bucket, long ones of several sentences: no graph stays untried.

    Rows that are all long, or few and short, have none of some lengths: such a text is cut from several in a row.

    Raises:
        DataInvalidError: no row has a token.
    """
    random = Random(f"lengths {seed}")  # noqa: S311 - reproducible draws, no secret
    found: dict[int, list[str]] = {bucket: [] for bucket in buckets}
    vain = 0
    while any(len(texts) < each for texts in found.values()):
        # As many sentences as reach into the bucket at hand, at about eight tokens each.
        short = min(buckets, key=lambda bucket: (len(found[bucket]) >= each, bucket))
        wanted = random.randint(1, max(1, short // 8))
        text = " and then ".join(row.text for row in random.sample(list(rows), min(wanted, len(rows))))
        length = len(tokenizer.encode(text).ids)
        bucket = next((size for size in buckets if size >= length), None)
        vain += 1
        if bucket is not None and len(found[bucket]) < each:
            found[bucket].append(text)
            vain = 0
        elif vain > VAIN:
            found[short].append(_of_length(rows, tokenizer, short, random))
    return [text for texts in found.values() for text in texts]


def _of_length(rows: Sequence[Sentence], tokenizer: WordPiece, tokens: int, random: Random) -> str:
    """Rows one after another, cut behind so many tokens: greedy cutting makes the same pieces of what is left."""
    texts = [row.text for row in rows if tokenizer.encode(row.text).ids]
    if not texts:
        msg = "no training row has a word"
        raise DataInvalidError(msg)
    text = random.choice(texts)
    while len(spans := tokenizer.encode(text).spans) < tokens:
        text += " and then " + random.choice(texts)
    return text[: spans[tokens - 1][1]]


@dataclass(frozen=True, slots=True)
class Form:
    """How golden rows are written.

    `tolerance`: logits; the largest distance to them that is still right in another runtime. `mixed`: width combinations that
    have a few rows of their own besides full width, of texts no longer than `narrow_upto` tokens: longer
    ones have no narrow graph. Texts are cut at `longest` tokens.
    """

    tokenizer: WordPiece
    tolerance: float
    mixed: tuple[Prefix, ...] = ()
    longest: int = 64
    narrow_upto: int = 32


def golden_bytes(texts: Sequence[str], answers: LatticeAnswers, form: Form) -> bytes:
    """The member `golden.jsonl`: every exit's logits, the last exit's tags, one tolerance.

    `answers` are of these texts in this order; full width and `form.mixed` must be among the prefixes.
    """
    depth = max(map(len, answers.logits))
    full = max(prefix for prefix in answers.logits if len(prefix) == depth)
    ids = [form.tokenizer.encode(text).ids[: form.longest] for text in texts]
    rows = [_row(number, full, (text, ids[number]), answers) for number, text in enumerate(texts)]
    short = [number for number, one in enumerate(ids) if len(one) <= form.narrow_upto]
    for place, widths in enumerate(form.mixed):
        chosen = short[place :: len(form.mixed)][:MIXED_ROWS]
        rows += [replace(_row(one, widths, (texts[one], ids[one]), answers), widths=widths) for one in chosen]
    atol = round(max(MIN_TOLERANCE, form.tolerance), 3)
    return write_golden(replace(row, atol=atol) for row in rows)


def _row(number: int, widths: Prefix, text: tuple[str, Sequence[int]], answers: LatticeAnswers) -> GoldenRow:
    said, ids = answers.along(widths), text[1]
    zeroth = answers.logits.get(())
    return GoldenRow(
        text=text[0],
        ids=tuple(ids),
        logits=tuple(tuple(float(value) for value in one) for one in said.logits[number]),
        atol=MIN_TOLERANCE,
        tags=tuple(int(tag) for tag in said.tags[number, -1, : len(ids)]),
        zeroth=() if zeroth is None else tuple(float(value) for value in zeroth[number]),
    )
