"""Distillation: every exit and every width learns from labels, slot tags and the teacher.

Per exit: cross-entropy on label and tags, KL divergence to the teacher's logits at temperature 2 (Hinton et
al. 2015), cosine between the exit's pooled row, projected, and the teacher's. Rows without a label have the
teacher's terms alone.

Two phases. First the full width learns alone; then heads and FFN columns are sorted by importance into the
four groups, and the sandwich rule follows (Yu and Huang 2019, arXiv 1903.05134): every step trains the full
width and, in turn, the narrowest or a random width per stage. The gates learn along.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor, nn
from torch.nn import functional

from conversion.nets.deepseek_lite import GROUPS
from conversion.nets.heads import Said
from conversion.nets.importance import Order, sort_groups
from conversion.nets.student import Student
from conversion.train.batches import IGNORED, Batch, Encoded, batches, perturb, punctuate, sample
from conversion.train.precision import fast
from conversion.train.teacher import Lesson

TEMPERATURE = 2.0
SMOOTHING = 0.02
SORT_BATCHES = 24


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train; the defaults are what ships. The ablation turns single terms off."""

    seed: int
    epochs: int = 16
    unlabelled: float = 2.0  # rows without a label per labelled row, drawn anew each epoch
    full_share: float = 0.35  # of the steps before widths are sorted and join in
    layers: int = 1  # per stage
    stages: int = 3
    batch: int = 128
    rate: float = 3e-3
    embedding_rate: float = 0.1  # of `rate`: words never drawn must stay near their trained neighbours
    decay: float = 0.02
    warm_up_steps: int = 150
    labels: float = 1.0
    tags: float = 8.0  # of the mean over words: a sentence has about as many, and each is a decision
    kl: float = 0.7
    cosine: float = 0.5
    zeroth: float = 0.3  # weight of the zeroth exit; the others have 1
    perturbed: float = 0.08  # share of rows that lose a word
    punctuated: float = 0.15  # share of rows whose end gets a mark, or loses it
    order: Order = "importance"
    sandwich: bool = True
    exits: bool = True  # False: the last exit alone learns
    learned_gates: bool = True
    norm: str = "rms"
    head_hidden: tuple[int, int] = (128, 64)  # of the intent and the tag head
    branch_dropout: float = 0.1
    word_drop: float = 0.04  # share of tokens replaced by [UNK]: what is left must do


def distill_model(
    student: Student, side: Encoded, lesson: Lesson | None, settings: Settings, tell: Callable[[float], None]
) -> None:
    """Train in place; equal seeds, thread counts and CPUs give equal weights."""
    torch.manual_seed(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    random = Random(settings.seed)  # noqa: S311 - reproducible draws, no secret
    per_epoch = _rows_an_epoch(side, settings)
    steps = settings.epochs * math.ceil(per_epoch / settings.batch)
    full_steps = round(steps * settings.full_share) if settings.sandwich else steps
    student.trunk.gates.requires_grad_(settings.learned_gates)
    optimiser = _optimiser(student, settings)
    student.train()
    for step, batch in enumerate(_stream(side, settings, generator)):
        if step == full_steps:
            _sort(student, side, lesson, settings)
            optimiser = _optimiser(student, settings)  # its moments belong to the old order
        rate = settings.rate * min(1.0, (step + 1) / settings.warm_up_steps) * _cosine(step / steps)
        for group in optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        ended = punctuate(batch, side.ends, settings.punctuated, generator)
        shown = perturb(ended, settings.perturbed, generator)
        ids = _drop_words(shown.ids, settings.word_drop)
        widths: list[tuple[int, ...] | None] = [None]
        if step >= full_steps:
            widths.append(narrower(step, settings.stages, random))
        optimiser.zero_grad()
        for one in widths:
            with fast():
                said = student(ids, shown.mask, one)
            _loss(student, said, shown, lesson, settings).backward()
        nn.utils.clip_grad_norm_(student.parameters(), 1.0 * len(widths))
        optimiser.step()
        tell((step + 1) / steps)
    if not settings.sandwich:
        _sort(student, side, lesson, settings)  # widths are cut from what the full width has learned
    student.eval()


def narrower(step: int, stages: int, random: Random) -> tuple[int, ...]:
    """The second width of a step: the narrowest and a random one in turn."""
    if step % 2:
        return (1,) * stages
    return tuple(random.randint(1, GROUPS) for _ in range(stages))


def _rows_an_epoch(side: Encoded, settings: Settings) -> int:
    known = int((side.labels >= 0).sum())
    return known + min(len(side) - known, round(known * settings.unlabelled))


def _stream(side: Encoded, settings: Settings, generator: torch.Generator) -> Iterator[Batch]:
    for _ in range(settings.epochs):
        rows = sample(side, settings.unlabelled, generator)
        yield from batches(side, settings.batch, generator, rows)


def _optimiser(student: Student, settings: Settings) -> torch.optim.Optimizer:
    embedding = student.trunk.embedding.weight
    rest = [one for one in student.parameters() if one is not embedding and one.requires_grad]
    groups = [{"params": rest, "scale": 1.0}, {"params": [embedding], "scale": settings.embedding_rate}]
    return torch.optim.AdamW(groups, lr=settings.rate, weight_decay=settings.decay, fused=True)


def _sort(student: Student, side: Encoded, lesson: Lesson | None, settings: Settings) -> None:
    """Sort the groups by the loss of some training batches."""
    generator = torch.Generator().manual_seed(settings.seed)
    rows = torch.nonzero(side.labels >= 0)[:, 0]
    rows = rows[torch.randperm(len(rows), generator=generator)[: SORT_BATCHES * settings.batch]]
    chosen = list(batches(side, settings.batch, generator, rows))
    student.eval()

    def of(batch: Batch) -> Callable[[], Tensor]:
        return lambda: _loss(student, student(batch.ids, batch.mask), batch, lesson, settings)

    sort_groups(student.trunk, settings.order, [of(batch) for batch in chosen], settings.seed)
    student.train()


def _drop_words(ids: Tensor, share: float) -> Tensor:
    dropped = (torch.rand(ids.shape) < share) & (ids > 0)
    return ids.masked_fill(dropped, 1)


def _loss(
    student: Student, said: list[Said], batch: Batch, lesson: Lesson | None, settings: Settings
) -> Tensor:
    total = torch.zeros(())
    known = bool((batch.labels >= 0).any())
    tagged = bool((batch.tags >= 0).any())
    for number, one in enumerate(said):
        if not settings.exits and number < len(said) - 1:
            continue
        logits = one.logits.float()
        part = torch.zeros(())
        if known and settings.labels:
            part = part + settings.labels * functional.cross_entropy(
                logits, batch.labels, label_smoothing=SMOOTHING, ignore_index=IGNORED
            )
        if one.tags is not None and tagged:
            tags = one.tags.float().flatten(0, 1)
            wrong = functional.cross_entropy(tags, batch.tags.flatten(), ignore_index=IGNORED)
            part = part + settings.tags * wrong
        if lesson is not None and settings.kl:
            taught = (lesson.logits[batch.index] / TEMPERATURE).softmax(-1)
            heard = (logits / TEMPERATURE).log_softmax(-1)
            divergence = functional.kl_div(heard, taught, reduction="batchmean")
            part = part + settings.kl * TEMPERATURE**2 * divergence
        if lesson is not None and settings.cosine:
            ours = student.project[number](one.pool.float())
            close = functional.cosine_similarity(ours, lesson.embeddings[batch.index])
            part = part + settings.cosine * (1.0 - close).mean()
        total = total + (settings.zeroth if number == 0 else 1.0) * part
    return total


def _cosine(share: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * share))
