"""A user's rows may have no text of some lengths: probes and golden rows reach every graph all the same."""

from __future__ import annotations

import pytest

from conversion.check.golden import choose, of_each_length
from conversion.data.sentence import Sentence
from conversion.data.task import spread
from firmware_py.contracts.errors import DataInvalidError
from firmware_py.tasks.text import WordPiece

BUCKETS = (8, 16, 32, 64)
TOKENIZER = WordPiece(["[PAD]", "[UNK]", *"abcdefgh", "##b"])


@pytest.mark.parametrize("words", [1, 20, 90])
def test_few_short_rows_and_long_ones_alone_reach_every_length(words: int) -> None:
    """Five single words never make a long text, paragraphs never a short one: the search must end."""
    rows = [Sentence(" ".join([word] * words), word) for word in ("ab", "c", "d", "e", "f")]
    texts = of_each_length(rows, TOKENIZER, BUCKETS, 0, 5)
    lengths = [len(TOKENIZER.encode(text).ids) for text in texts]
    reached = [next(bucket for bucket in BUCKETS if bucket >= length) for length in lengths]
    assert [reached.count(bucket) for bucket in BUCKETS] == [5, 5, 5, 5]
    assert texts == of_each_length(rows, TOKENIZER, BUCKETS, 0, 5)
    assert {row.text for row in rows} <= set(choose(rows, TOKENIZER, BUCKETS, 0))


def test_rows_without_a_word_are_refused() -> None:
    with pytest.raises(DataInvalidError):
        of_each_length([Sentence("\u200b", "i")], TOKENIZER, BUCKETS, 0, 1)


@pytest.mark.parametrize(("rows", "kept"), [(0, 0), (3, 3), (4, 4), (5, 3), (4001, 4)])
def test_probes_come_from_everywhere(rows: int, kept: int) -> None:
    """The first rows of a set are of one intent, home-multi's first 12,000 of one language."""
    chosen = spread([Sentence(str(number), "i") for number in range(rows)], 4)
    assert len(chosen) == kept
    if rows > 4:
        assert int(chosen[-1].text) >= rows * 0.7
