"""Rows as a student is shown them: what is put in, taken out and left alone."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the train environment")

from conversion.data.sentence import Sentence, unlabelled
from conversion.train.batches import IGNORED, MAX_TOKENS, Batch, batches, encode, punctuate
from firmware_py.tasks.text import WordPiece

PIECES = ["[PAD]", "[UNK]", "lights", "on", "in", "here", ".", "?"]
ROWS = [
    Sentence("lights on", "on", ((0, 6, "name"),)),
    Sentence("lights on?", "on", ((0, 6, "name"),)),
    Sentence("?", "on"),
    *unlabelled(["on in here"]),
]


def shown(rows: list[Sentence], share: float, *, skips: bool = False) -> tuple[Batch, Batch]:
    """The rows as one batch, before and after."""
    side = encode(rows, WordPiece(PIECES, skips_punctuation=skips), ("on",), ("name",))
    (batch,) = batches(side, len(rows))
    return batch, punctuate(batch, side.ends, share, torch.Generator().manual_seed(0))


def words(batch: Batch, row: int) -> list[str]:
    """What stands under the mask; what does not must be padding without a tag."""
    length = int(batch.mask[row].sum())
    assert not batch.ids[row, length:].any()
    assert not batch.mask[row, length:].any()
    assert (batch.tags[row, length:] == IGNORED).all()
    return [PIECES[number] for number in batch.ids[row, :length].tolist()]


def test_a_mark_at_the_end_is_put_or_lost_and_is_in_no_slot() -> None:
    batch, after = shown(ROWS * 50, 1.0)
    seen = set()
    for row in range(len(batch.index)):
        before, now = words(batch, row), words(after, row)
        seen.add((" ".join(before), " ".join(now)))
        if now[-1] in ".?" and before != ["?"]:
            assert int(after.tags[row, len(now) - 1]) == (0 if batch.labels[row] >= 0 else IGNORED)
        kept = min(len(before), len(now))
        assert torch.equal(batch.tags[row, :kept], after.tags[row, :kept])
    assert seen == {
        ("lights on", "lights on ."),
        ("lights on", "lights on ?"),
        ("lights on ?", "lights on"),
        ("?", "?"),  # a text of nothing is no text
        ("on in here", "on in here ."),
        ("on in here", "on in here ?"),
    }


def test_so_many_rows_change_as_are_asked_for() -> None:
    batch, after = shown([ROWS[0]] * 4000, 0.15)
    assert 0.12 < float((after.mask.sum(1) > batch.mask.sum(1)).float().mean()) < 0.18


def test_a_tokenizer_that_skips_marks_is_shown_none() -> None:
    batch, after = shown(ROWS, 1.0, skips=True)
    assert after is batch


def test_a_row_without_room_for_a_mark_stays_and_one_that_has_a_mark_may_lose_it() -> None:
    full = [Sentence("on " * MAX_TOKENS, "on"), Sentence("on " * (MAX_TOKENS - 1) + ".", "on")]
    batch, after = shown(full, 1.0)
    assert after.ids.shape == batch.ids.shape
    assert words(after, 0) == words(batch, 0)
    assert words(after, 1) == words(batch, 1)[:-1]
