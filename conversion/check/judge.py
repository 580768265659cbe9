"""From what was said of sentences to a lattice of verdicts: the one way of builds, variants and trade-offs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from conversion.check.answers import LatticeAnswers, Prefix
from conversion.check.calibrate import Strangeness, calibrated
from conversion.check.cascade import Lattice, Scope, judged
from conversion.check.compute import GROUPS, Compute, HeadShape, Lengths, TrunkShape, compute, head_shape
from conversion.check.rows import lengths_of, slot_table, truth_of
from conversion.data.sentence import Sentence
from conversion.data.task import TaskData
from firmware_py.tasks.text import WordPiece

if TYPE_CHECKING:
    from conversion.nets.student import Student


@dataclass(frozen=True, slots=True)
class Costs:
    """What decides about compute: sizes of a stage and of a head, the widths of each length bucket, the depth."""

    trunk: TrunkShape
    head: HeadShape
    widths: Mapping[int, Sequence[int]]
    stages: int

    @classmethod
    def of(cls, student: Student, widths: Mapping[int, Sequence[int]]) -> Costs:
        """A student's; all its heads have one form."""
        dims = student.trunk.dims
        trunk = TrunkShape(dims.d, dims.heads, dims.latent, dims.rope, dims.ffn, dims.layers)
        return cls(trunk, head_shape(student.heads[0].arrays()), widths, dims.stages)

    def macs(self, lengths: Lengths) -> Compute:
        """Of every part of every text's run."""
        return compute(self.trunk, self.head, lengths, self.widths, self.stages)


@dataclass(frozen=True, slots=True)
class Judge:
    """Everything about a model that its verdicts depend on besides the rows; `slots` empty: they are not counted.

    `asks_slots`: its exits answer when they are sure of label and slots, not of the label alone.
    """

    labels: Sequence[str]
    slots: Sequence[str]
    tokenizer: WordPiece
    temperatures: Mapping[Prefix, float]
    scope: Scope
    costs: Costs
    asks_slots: bool = False

    @classmethod
    def fitted(
        cls, data: TaskData, tokenizer: WordPiece, heated: LatticeAnswers, how: Strangeness, costs: Costs
    ) -> Judge:
        """A build's, whose exits ask slots where the task has any.

        Args:
            data: the task.
            tokenizer: of the student.
            heated: what it said of the `temperature` split: temperatures and scope are found there, and the rows that test
                the rules have no part in it.
            how: strangeness is scored.
            costs: of the student.
        """
        full = (GROUPS,) * costs.stages
        truth = truth_of(data.temperature, data.labels)
        found, scope = calibrated(heated.logits, truth, full, data.scope_index, how)
        return cls(data.labels, data.slots, tokenizer, found, scope, costs, asks_slots=bool(data.slots))

    def lattice(self, rows: Sequence[Sentence], said: LatticeAnswers) -> Lattice:
        """Judge what was said of these rows at every prefix."""
        macs = self.costs.macs(lengths_of(rows, self.tokenizer, tuple(self.costs.widths)))
        tags = said.slot_tags or said.tags
        counted = slot_table(rows, tags, self.slots, self.tokenizer) if self.slots and tags else None
        rest = truth_of(rows, self.labels), macs, counted
        return judged(
            said.logits, self.temperatures, self.scope, rest, said.slots_sure if self.asks_slots else None
        )
