"""Which slots a sentence has is decided for all of its words together.

The tag head scores each word for itself, so that two words of one command may both become the room, or the lamp be
called an area beside the area. What sentences of a label have together is known from training (`SlotSets`). Of all rows of tags the
one is taken that has the most of

    sum over words of score[word, tag]  +  weight * log(rows of the label with these slots + 1/2)

The half row stands for sets that training never had (Krichevsky and Trofimov 1981). What a row of tags loses in
scores against each word's best tag must be less than what its set can gain: words of which the head is sure enough have no alternative,
and of the others the `WIDTH` rows that lose least are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any, Protocol

from firmware_py.contracts.slot_sets import SlotSets

WIDTH = 32
_UNSEEN = 0.5  # of a row


class Pieces(Protocol):
    """Piece ids with their spans: `Tokens` or `Encoded`."""

    @property
    def ids(self) -> Sequence[int]:
        """Ids in the vocabulary."""

    @property
    def spans(self) -> Sequence[tuple[int, int]]:
        """[start, end) in code points of the text."""


class SlotChoice:
    """Reads tags out of scores; without slot sets each word has its best tag."""

    __slots__ = ("_continues", "_most", "_unseen", "_worth")

    def __init__(self, sets: SlotSets | None = None, continues: frozenset[int] = frozenset()) -> None:
        """Take what goes together, and the ids of pieces that go on a word."""
        self._continues = continues
        weight = 0.0 if sets is None else sets.weight
        rows = {} if sets is None or not weight else sets.rows
        self._unseen = weight * log(_UNSEEN)
        self._worth = {
            label: {slots: weight * log(count + _UNSEEN) for slots, count in counts.items()}
            for label, counts in rows.items()
        }
        self._most = {label: max(worth.values()) for label, worth in self._worth.items()}

    def tags(self, scores: Any, pieces: Pieces, label: int) -> list[int]:
        """One tag a piece, of which those of words' last pieces are decided together.

        Args:
            scores: float32 [n, tags] of the tag head.
            pieces: of the text, n or more.
            label: index of the sentence's label.
        """
        tags: list[int] = scores.argmax(1).tolist()
        worth = self._worth.get(label)
        if worth is None:
            return tags
        ends = self._ends(pieces, len(tags))
        said = [tags[place] for place in ends]
        reach = self._most[label] - worth.get(slots_of(said), self._unseen)
        if reach <= 0.0:
            return tags
        lost = scores.max(1, keepdims=True) - scores
        near = (lost < reach).nonzero()
        if len(near[0]) == len(tags):  # every word is sure enough
            return tags
        open_places, losses = _alternatives(lost, near, ends)
        best, best_gain = said, self._most[label] - reach
        for loss, choice in _least_lost(losses, reach):
            other = said.copy()
            for place, tag in zip(open_places, choice, strict=True):
                other[place] = tag
            gain = worth.get(slots_of(other), self._unseen) - loss
            if gain > best_gain:
                best, best_gain = other, gain
        for place, tag in zip(ends, best, strict=True):
            tags[place] = tag
        return tags

    def _ends(self, pieces: Pieces, count: int) -> list[int]:
        """Where words end; a frame's pieces are none."""
        ids, spans, last = pieces.ids, pieces.spans, min(count, len(pieces.ids)) - 1
        return [
            place
            for place in range(last + 1)
            if (place == last or ids[place + 1] not in self._continues) and spans[place][0] < spans[place][1]
        ]


def slots_of(tags: Sequence[int]) -> tuple[int, ...]:
    """The slots of words' tags, ascending, one per span: neighbours of one slot are one span."""
    before, found = 0, []
    for tag in tags:
        if tag != before and tag:
            found.append(tag - 1)
        before = tag
    return tuple(sorted(found))


def _alternatives(
    lost: Any, near: tuple[Any, Any], ends: Sequence[int]
) -> tuple[list[int], list[list[tuple[float, int]]]]:
    """Places among `ends` that may have another tag, and (loss, tag) of each tag that they may have."""
    found: dict[int, list[tuple[float, int]]] = {}
    for row, tag, loss in zip(near[0].tolist(), near[1].tolist(), lost[near].tolist(), strict=True):
        found.setdefault(row, []).append((loss, tag))
    places = [place for place, end in enumerate(ends) if len(found.get(end, ())) > 1]
    return places, [found[ends[place]] for place in places]


def _least_lost(
    losses: Sequence[Sequence[tuple[float, int]]], reach: float
) -> list[tuple[float, tuple[int, ...]]]:
    """(loss, one tag a place), those that lose least first, all below `reach`."""
    rows: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for within in losses:
        rows = sorted(
            (lost + loss, (*tags, tag)) for lost, tags in rows for loss, tag in within if lost + loss < reach
        )[:WIDTH]
    return rows
