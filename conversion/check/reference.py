"""What torch says, in the form of the child's answers: the trained student in float32."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

from conversion.check.answers import LatticeAnswers, Prefix
from conversion.nets.student import Student, attention_bias, positions
from firmware_py.tasks.text import WordPiece

BATCH = 64
LONGEST = 64  # tokens kept


def torch_answers(
    student: Student,
    tokenizer: WordPiece,
    texts: Sequence[str],
    prefixes: Sequence[Prefix],
    longest: int = LONGEST,
) -> LatticeAnswers:
    """Logits and tags of every prefix in float32, texts of like length together."""
    ids = [tokenizer.encode(text).ids[:longest] for text in texts]
    head = student.heads[0]
    labels = len(head.intent_b2)
    logits = {prefix: np.zeros((len(ids), labels), np.float32) for prefix in prefixes}
    tags = {prefix: np.full((len(ids), longest), -1, np.int16) for prefix in prefixes if head.slots}
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    with torch.no_grad():
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            length = max(len(ids[row]) for row in rows)
            batch, mask = torch.zeros(len(rows), length, dtype=torch.long), torch.zeros(len(rows), length)
            for place, row in enumerate(rows):
                batch[place, : len(ids[row])] = torch.tensor(ids[row])
                mask[place, : len(ids[row])] = 1.0
            for prefix, said in _walk(student, batch, mask, prefixes).items():
                logits[prefix][rows] = said[0]
                for place, row in enumerate(rows):
                    if head.slots:
                        tags[prefix][row, : len(ids[row])] = said[1][place, : len(ids[row])]
    return LatticeAnswers(logits, tags)


def _walk(
    student: Student, ids: torch.Tensor, mask: torch.Tensor, prefixes: Sequence[Prefix]
) -> dict[Prefix, tuple[np.ndarray, np.ndarray]]:
    """One batch at every prefix; no stage runs twice."""
    trunk = student.trunk
    bias, place = attention_bias(mask), positions(ids.shape[1], trunk.dims.rope)
    after: dict[Prefix, list[int]] = defaultdict(list)
    for prefix in sorted({p[:depth] for p in prefixes for depth in range(1, len(p) + 1)}):
        after[prefix[:-1]].append(prefix[-1])
    out: dict[Prefix, tuple[np.ndarray, np.ndarray]] = {}
    todo: list[tuple[Prefix, torch.Tensor]] = [((), trunk.embedding(ids))]
    while todo:
        prefix, h = todo.pop()
        if prefix in prefixes:
            said = student.heads[len(prefix)](h, mask)
            out[prefix] = said.logits.numpy(), (said.tags if said.tags is not None else h).argmax(-1).numpy()
        for width in after.get(prefix, ()):
            rows = h
            for layer in trunk.stages[len(prefix)]:
                rows, _ = layer(rows, bias, place, trunk.gates[len(prefix)][:width])
            todo.append(((*prefix, width), rows))
    return out
