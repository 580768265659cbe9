"""Distillation: every exit learns from labels, slot tags and the teacher.

Per exit: cross-entropy on the label, cross-entropy on the tags, KL divergence to the teacher's logits at
temperature 2 (Hinton et al. 2015) and the cosine between the exit's pooled row, projected, and the teacher's
embedding. A batch is perturbed first (`batches.perturb`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from conversion.nets.student import Student
from conversion.train.batches import IGNORED, Batch, Encoded, batches, perturb
from conversion.train.precision import fast
from conversion.train.teacher import Lesson

EXIT_WEIGHTS = (1.0, 1.0, 1.0)  # the first answers nine of ten
TEMPERATURE = 2.0
SMOOTHING = 0.02
WORD_DROP = 0.04  # share of tokens replaced by [UNK]: what is left must do


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train; the defaults are what ships."""

    seed: int
    epochs: int = 10
    layers: int = 2  # per stage
    batch: int = 128
    rate: float = 3e-3
    embedding_rate: float = 0.1  # of `rate`: words never drawn must stay near their trained neighbours
    decay: float = 0.02
    warm_up_steps: int = 150
    kl: float = 0.7
    cosine: float = 0.5
    perturbed: float = 0.08  # share of rows that lose a word


def distil(
    student: Student, side: Encoded, lesson: Lesson | None, settings: Settings, tell: Callable[[float], None]
) -> None:
    """Train in place; equal seeds, thread counts and CPUs give equal weights."""
    torch.manual_seed(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    embedding = student.trunk.embedding.weight
    rest = [parameter for parameter in student.parameters() if parameter is not embedding]
    groups = [{"params": rest, "scale": 1.0}, {"params": [embedding], "scale": settings.embedding_rate}]
    optimiser = torch.optim.AdamW(groups, lr=settings.rate, weight_decay=settings.decay)
    steps = settings.epochs * math.ceil(len(side) / settings.batch)
    student.train()
    step = 0
    for _ in range(settings.epochs):
        for batch in batches(side, settings.batch, generator):
            rate = settings.rate * min(1.0, (step + 1) / settings.warm_up_steps) * _cosine(step / steps)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["scale"]
            shown = perturb(batch, settings.perturbed, generator)
            with fast():
                loss = _loss(student, shown, lesson, settings)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimiser.step()
            step += 1
            tell(step / steps)
    student.eval()


def _loss(student: Student, batch: Batch, lesson: Lesson | None, settings: Settings) -> Tensor:
    dropped = (torch.rand(batch.ids.shape) < WORD_DROP) & (batch.ids > 0)
    ids = batch.ids.masked_fill(dropped, 1)
    total = torch.zeros(())
    for number, (said_logits, said_tags, pool) in enumerate(student(ids, batch.mask)):
        logits, tags = said_logits.float(), said_tags.float()
        part = functional.cross_entropy(logits, batch.labels, label_smoothing=SMOOTHING)
        part = part + functional.cross_entropy(tags.flatten(0, 1), batch.tags.flatten(), ignore_index=IGNORED)
        if lesson is not None:
            taught = (lesson.logits[batch.index] / TEMPERATURE).softmax(-1)
            said = (logits / TEMPERATURE).log_softmax(-1)
            part = part + settings.kl * TEMPERATURE**2 * functional.kl_div(
                said, taught, reduction="batchmean"
            )
            close = functional.cosine_similarity(
                student.project[number](pool).float(), lesson.embeddings[batch.index]
            )
            part = part + settings.cosine * (1.0 - close).mean()
        total = total + EXIT_WEIGHTS[number] * part
    return total


def _cosine(share: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * share))
