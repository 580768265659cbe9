"""Which slots a sentence has is decided for all of its words together.

The tag head scores each word for itself, so that two words of one command may both become the room, or the lamp be
called an area beside the area. Which slots sentences of a label have together is known from training (`SlotSets`). Of the tag
sequences with the best scores that one is taken which has the most of

    sum over words of score[word, tag]  +  weight * log(training rows of the label with these slots + 1/2)

The half row stands for slots that training never had together (Krichevsky and Trofimov 1981). What a sequence loses against each word's
best tag must be less than what its slots can gain, so words of which the head is sure have no alternative; of what is left
the `N_BEST` sequences that lose least are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from math import exp, inf, isfinite, log
from typing import Any

from firmware_py.contracts.slot_sets import SlotSets
from firmware_py.tasks.text import Pieces

N_BEST = 32
_UNSEEN = 0.5  # of a row

Loss = tuple[float, int]  # of one tag against the word's best one


class Words:
    """What one exit says of a text's words; what is asked of it is computed once. `tags` are the best ones, of every piece."""

    __slots__ = ("_continues", "_ends", "_gaps", "_pieces", "_rows", "_scores", "tags")

    def __init__(self, scores: Any, pieces: Pieces, continues: frozenset[int]) -> None:
        """Take float32 [n, tags] of the tag head, the text's n or more pieces, and the ids of those that go on a word."""
        self._scores = scores
        self._pieces = pieces
        self._continues = continues
        self._ends: list[int] | None = None
        self._rows: list[list[float]] = []
        self._gaps: list[float] | None = None
        self.tags: list[int] = scores.argmax(1).tolist()

    def ends(self) -> list[int]:
        """Where words end, as `intent.spans_of` reads them; a frame's pieces are none."""
        if self._ends is None:
            ids, spans, goes_on = self._pieces.ids, self._pieces.spans, self._continues
            last = min(len(self.tags), len(ids)) - 1
            self._ends = [
                place
                for place in range(last + 1)
                if (place == last or ids[place + 1] not in goes_on) and spans[place][0] < spans[place][1]
            ]
        return self._ends

    def gaps(self) -> list[float]:
        """How far each word's best tag is above its next one.

        In plain Python: a call of numpy that begins with cold code takes as long as a word here.
        """
        if self._gaps is None:
            rows, tags, gaps = self._scores.tolist(), self.tags, []
            for end in self.ends():
                row, tag = rows[end], tags[end]
                best, row[tag] = row[tag], -inf
                gaps.append(best - max(row))
                row[tag] = best
            self._rows, self._gaps = rows, gaps
        return self._gaps

    def sure(self) -> float:
        """How likely the least sure word's best tag is against its next one, 0.5 to 1: how sure the exit is of its slots.

        The logistic function of the least gap, without a temperature: rules are calibrated on what this gives. 1 without
        words; -1, which meets no threshold, where a word's two best scores are no finite numbers apart.
        """
        gaps = self.gaps()
        if not isfinite(sum(gaps)):
            return -1.0
        return 1.0 / (1.0 + exp(-min(gaps, default=inf)))

    def others(self, word: int, margin: float) -> list[Loss]:
        """The tags of a word that lose less than a margin, those that lose least first: the best one loses nothing."""
        self.gaps()
        end = self.ends()[word]
        row, tag = self._rows[end], self.tags[end]
        best = row[tag]
        losses = [
            (best - score, other) for other, score in enumerate(row) if other != tag and best - score < margin
        ]
        return [(0.0, tag), *sorted(losses)]


class SlotChoice:
    """Reads tags out of scores; of a label without slot sets each word has its best tag."""

    __slots__ = ("_bonus", "_continues", "_most", "_unseen")

    def __init__(self, sets: SlotSets | None = None, continues: frozenset[int] = frozenset()) -> None:
        """Take what goes together, and the ids of pieces that go on a word."""
        self._continues = continues
        weight = 0.0 if sets is None else sets.weight
        rows = {} if sets is None or not weight else sets.rows
        self._unseen = weight * log(_UNSEEN)
        self._bonus = {
            label: {slots: weight * log(count + _UNSEEN) for slots, count in counts.items()}
            for label, counts in rows.items()
        }
        self._most = {label: max(bonus.values()) for label, bonus in self._bonus.items()}

    def words(self, scores: Any, pieces: Pieces) -> Words:
        """What an exit says of a text's words, from float32 [n, tags] of its tag head and the text's n or more pieces."""
        return Words(scores, pieces, self._continues)

    def tags(self, words: Words, label: int) -> list[int]:
        """One tag a piece, of which those of words' last pieces are decided together.

        Args:
            words: of the text. One whose best score is no number keeps its tag.
            label: index of the sentence's label.
        """
        tags, bonus = words.tags, self._bonus.get(label)
        if bonus is None:
            return tags
        best = [tags[place] for place in words.ends()]
        most = bonus.get(slots_of(best), self._unseen)
        margin = self._most[label] - most
        if margin <= 0.0:
            return tags
        places = [word for word, gap in enumerate(words.gaps()) if gap < margin]
        if not places:  # every word is sure enough
            return tags
        losses = [words.others(word, margin) for word in places]
        first, highest = best, self._most[label]
        for loss, picks in n_best(losses):
            if highest - loss <= most:  # what loses more can gain no more
                break
            other = first.copy()
            for place, tags_of_place, pick in zip(places, losses, picks, strict=True):
                other[place] = tags_of_place[pick][1]
            gain = bonus.get(slots_of(other), self._unseen) - loss
            if gain > most:
                best, most = other, gain
        tags = tags.copy()
        for place, tag in zip(words.ends(), best, strict=True):
            tags[place] = tag
        return tags


def slots_of(tags: Sequence[int]) -> tuple[int, ...]:
    """The slots of words' tags, ascending, one per span: neighbours of one slot are one span."""
    before, found = 0, []
    for tag in tags:
        if tag != before and tag:
            found.append(tag - 1)
        before = tag
    return tuple(sorted(found))


def n_best(losses: Sequence[Sequence[Loss]]) -> Iterator[tuple[float, tuple[int, ...]]]:
    """(loss, one pick a place) of at most `N_BEST` sequences, those that lose least first.

    Each follows from the one whose last pick that is not the best is one lower, so none comes twice, and no more are
    made than are asked for.

    Args:
        losses: of each place, ascending, the best one's 0.
    """
    waiting: list[tuple[float, tuple[int, ...]]] = [(0.0, (0,) * len(losses))]
    for _ in range(N_BEST):
        if not waiting:
            return
        lost, picks = heappop(waiting)
        yield lost, picks
        last = max((place for place, pick in enumerate(picks) if pick), default=0)
        for place in range(last, len(picks)):
            row, pick = losses[place], picks[place]
            if pick + 1 < len(row):
                then = (*picks[:place], pick + 1, *picks[place + 1 :])
                heappush(waiting, (lost - row[pick][0] + row[pick + 1][0], then))
