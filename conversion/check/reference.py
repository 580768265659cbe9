"""What torch says, in the form of the child's answers: the trained student in float32."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from conversion.check.answers import LatticeAnswers, Prefix
from conversion.check.slot_reading import SlotReading, TagTables
from conversion.nets.deepseek_lite import GROUPS
from conversion.nets.student import Student, attention_bias, positions
from firmware_py.tasks.text import WordPiece

BATCH = 64


@dataclass(frozen=True, slots=True)
class Options:
    """Texts are cut at `longest` tokens; above `narrow_upto` every prefix runs at full width, as the graphs do.

    `slots`: how tags become slots.
    """

    longest: int = 64
    narrow_upto: int = 32
    slots: SlotReading = field(default_factory=SlotReading)


OPTIONS = Options()


def torch_answers(
    student: Student,
    tokenizer: WordPiece,
    texts: Sequence[str],
    prefixes: Sequence[Prefix],
    options: Options = OPTIONS,
) -> LatticeAnswers:
    """Logits and tags of every prefix in float32, texts of like length together, and slot tags where the options say what goes together."""
    longest = options.longest
    pieces = [tokenizer.encode(text) for text in texts]
    ids = [one.ids[:longest] for one in pieces]
    head = student.heads[0]
    labels = len(head.intent_b2)
    logits = {prefix: np.zeros((len(ids), labels), np.float32) for prefix in prefixes}
    tables = TagTables(
        options.slots, tokenizer.continues, prefixes if head.slots else (), (len(ids), longest)
    )
    short = [row for row, one in enumerate(ids) if len(one) <= options.narrow_upto]
    long = [row for row, one in enumerate(ids) if len(one) > options.narrow_upto]
    with torch.no_grad():
        for rows in (*_batches(short, ids), *_batches(long, ids)):
            length = max(len(ids[row]) for row in rows)
            full = length > options.narrow_upto
            batch, mask = torch.zeros(len(rows), length, dtype=torch.long), torch.zeros(len(rows), length)
            for place, row in enumerate(rows):
                batch[place, : len(ids[row])] = torch.tensor(ids[row])
                mask[place, : len(ids[row])] = 1.0
            for prefix, said in _walk(student, (batch, mask), prefixes, full=full).items():
                logits[prefix][rows] = said[0]
                for place, row in enumerate(rows if head.slots else ()):
                    scores = said[1][place, : len(ids[row])]
                    tables.take(prefix, row, (said[0][place], scores), pieces[row])
    return LatticeAnswers(logits, tables.tags, tables.slot_tags, tables.slots_sure)


def _batches(rows: list[int], ids: Sequence[Sequence[int]]) -> list[list[int]]:
    """Rows of like length together."""
    order = sorted(rows, key=lambda row: len(ids[row]))
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]


def _walk(
    student: Student, batch: tuple[torch.Tensor, torch.Tensor], prefixes: Sequence[Prefix], *, full: bool
) -> dict[Prefix, tuple[np.ndarray, np.ndarray]]:
    """One batch (ids, mask) at every prefix; no stage runs twice. `full`: whatever the prefix says."""
    trunk, (ids, mask) = student.trunk, batch
    bias, place = attention_bias(mask), positions(ids.shape[1], trunk.dims.rope)

    def ran(prefix: Prefix) -> Prefix:
        return tuple(GROUPS for _ in prefix) if full else prefix

    asked = {ran(prefix) for prefix in prefixes}
    after: dict[Prefix, list[int]] = defaultdict(list)
    for prefix in sorted({p[:depth] for p in asked for depth in range(1, len(p) + 1)}):
        after[prefix[:-1]].append(prefix[-1])
    out: dict[Prefix, tuple[np.ndarray, np.ndarray]] = {}
    todo: list[tuple[Prefix, torch.Tensor]] = [((), trunk.embedding(ids))]
    while todo:
        prefix, h = todo.pop()
        if prefix in asked:
            said = student.heads[len(prefix)](h, mask)
            out[prefix] = said.logits.numpy(), (said.tags if said.tags is not None else h).numpy()
        for width in after.get(prefix, ()):
            rows = h
            for layer in trunk.stages[len(prefix)]:
                rows, _ = layer(rows, bias, place, trunk.gates[len(prefix)][:width])
            todo.append(((*prefix, width), rows))
    return {prefix: out[ran(prefix)] for prefix in prefixes}
