"""Sentences as padded tensors, in batches of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from conversion.data.sentence import NO_LABEL, Sentence
from firmware_py.tasks.intent import tags_of
from firmware_py.tasks.text import WordPiece

MAX_TOKENS = 64
END_MARKS = ".?!"
IGNORED = -100  # torch's own mark for "no target"


@dataclass(frozen=True, slots=True)
class Encoded:
    """All sentences of a side, padded: ids and tags [N,T], lengths and labels [N].

    `ends`: the ids of marks that end a sentence; none where the tokenizer skips them or does not know them.
    """

    ids: Tensor
    tags: Tensor
    lengths: Tensor
    labels: Tensor
    ends: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one step, cut to their longest: ids, tags, mask [B,T], labels [B], index [B] into the side."""

    ids: Tensor
    tags: Tensor
    mask: Tensor
    labels: Tensor
    index: Tensor


def encode(
    sentences: Sequence[Sentence], tokenizer: WordPiece, labels: Sequence[str], slots: Sequence[str]
) -> Encoded:
    """Tokens, the tag of each word at its last piece, and labels; a row whose intent is no label has neither.

    A text beyond `MAX_TOKENS` is cut, an unknown slot is outside.
    """
    count = len(sentences)
    ids = np.zeros((count, MAX_TOKENS), np.int64)
    tags = np.full((count, MAX_TOKENS), IGNORED, np.int64)
    lengths = np.zeros(count, np.int64)
    label_index = {label: number for number, label in enumerate(labels) if label != NO_LABEL}
    slot_index = {slot: number for number, slot in enumerate(slots)}
    for row, sentence in enumerate(sentences):
        tokens = tokenizer.encode(sentence.text)
        length = min(len(tokens.ids), MAX_TOKENS)
        marked = [(slot_index[name], start, end) for start, end, name in sentence.slots if name in slot_index]
        ids[row, :length] = tokens.ids[:length]
        lengths[row] = length
        if sentence.intent not in label_index:
            continue
        goes_on = [piece in tokenizer.continues for piece in tokens.ids[1 : length + 1]]
        tags[row, :length] = [
            IGNORED if inner else tag
            for inner, tag in zip([*goes_on, False], tags_of(marked, tokens.spans)[:length], strict=False)
        ]
    known = np.array([label_index.get(sentence.intent, IGNORED) for sentence in sentences], np.int64)
    marks = np.array(
        [mark for mark in tokenizer.encode(" ".join(END_MARKS)).ids if mark != tokenizer.unknown], np.int64
    )
    return Encoded(*(torch.from_numpy(array) for array in (ids, tags, lengths, known, marks)))


def sample(side: Encoded, unlabelled: float, generator: torch.Generator) -> Tensor:
    """Numbers of the rows of one epoch: every labelled row, and `unlabelled` times as many of the others."""
    known, others = torch.nonzero(side.labels >= 0)[:, 0], torch.nonzero(side.labels < 0)[:, 0]
    drawn = torch.randperm(len(others), generator=generator)[: round(len(known) * unlabelled)]
    return torch.cat([known, others[drawn]])


def batches(
    side: Encoded, size: int, generator: torch.Generator | None = None, rows: Tensor | None = None
) -> Iterator[Batch]:
    """Every row, or every one of `rows`, once; like lengths together. At random with a generator, else by length."""
    rows = torch.arange(len(side)) if rows is None else rows
    lengths = side.lengths[rows].double()
    if generator is not None:
        lengths = lengths + torch.rand(len(lengths), generator=generator) * 3
    order = rows[torch.argsort(lengths, stable=True)]
    chunks = list(order.split(size))
    if generator is not None:
        chunks = [chunks[int(number)] for number in torch.randperm(len(chunks), generator=generator)]
    for index in chunks:
        longest = int(side.lengths[index].max())
        mask = (torch.arange(longest)[None] < side.lengths[index][:, None]).float()
        yield Batch(side.ids[index, :longest], side.tags[index, :longest], mask, side.labels[index], index)


def punctuate(batch: Batch, ends: Tensor, share: float, generator: torch.Generator) -> Batch:
    """Sometimes lose the mark at the end, or put one where there is none: what is typed or transcribed has any.

    Args:
        batch: left as it is.
        ends: ids of the marks, each as likely as the other; none: nothing changes.
        share: of rows that this happens to; a row of `MAX_TOKENS`, or of a lone mark, stays as it is.
        generator: of the choice.
    """
    if not len(ends):
        return batch
    room = int(batch.ids.shape[1] < MAX_TOKENS)
    ids, mask = (functional.pad(rows, (0, room)) for rows in (batch.ids, batch.mask))
    tags = functional.pad(batch.tags, (0, room), value=IGNORED)
    lengths = mask.sum(1).long()
    marks = ends[torch.randint(len(ends), (len(ids),), generator=generator)]
    chosen = torch.rand(len(ids), generator=generator) < share
    every = torch.arange(len(ids))
    marked = torch.isin(ids[every, (lengths - 1).clamp(min=0)], ends)
    loses = torch.nonzero(chosen & marked & (lengths > 1))[:, 0]
    gets = torch.nonzero(chosen & ~marked & (lengths > 0) & (lengths < ids.shape[1]))[:, 0]
    at = lengths[loses] - 1
    ids[loses, at], tags[loses, at], mask[loses, at] = 0, IGNORED, 0.0
    at = lengths[gets]
    ids[gets, at], mask[gets, at] = marks[gets], 1.0
    tags[gets, at] = torch.where(batch.labels[gets] >= 0, 0, IGNORED)
    return Batch(ids, tags, mask, batch.labels, batch.index)


def perturb(batch: Batch, share: float, generator: torch.Generator) -> Batch:
    """Sometimes lose a word that is in no slot, or say the second part first: templates are narrow.

    Args:
        batch: left as it is.
        share: of rows that lose one word; half as many are turned around at a word outside of slots.
        generator: of the choice.
    """
    ids, tags, mask = batch.ids.clone(), batch.tags.clone(), batch.mask.clone()
    chance = torch.rand(len(ids), 2, generator=generator)
    for row in torch.nonzero(chance[:, 0] < 1.5 * share)[:, 0].tolist():
        length = int(mask[row].sum())
        places = torch.nonzero(tags[row, :length] == 0)[:, 0]
        # A cut or a loss inside a word would leave pieces that no text has.
        whole = [place for place in places.tolist() if place == 0 or tags[row, place - 1] != IGNORED]
        if length < 4 or not whole:
            continue
        at = whole[int(chance[row, 1] * len(whole))]
        if chance[row, 0] < share:
            order = [*range(at), *range(at + 1, length)]
        else:
            order = [*range(at + 1, length), *range(at + 1)]
        keep = len(order)
        ids[row, :keep], tags[row, :keep] = ids[row, order], tags[row, order]
        ids[row, keep:], tags[row, keep:], mask[row, keep:] = 0, IGNORED, 0.0
    return Batch(ids, tags, mask, batch.labels, batch.index)
