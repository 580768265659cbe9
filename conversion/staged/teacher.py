"""What is staged: a tuned teacher's encoder, an exit head behind each of its layers, and torch's word on both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from conversion.check.answers import LatticeAnswers, Prefix
from conversion.export.lattice import BUCKETS
from conversion.export.parts import table_arrays
from conversion.nets.deepseek_lite import GROUPS
from conversion.nets.heads import Head, npz_bytes
from conversion.train.teacher import Teacher

Tell = Callable[[float], None]

EPOCHS, BATCH, RATE = 30, 256, 2e-3  # of the heads: seconds, the encoder stays as it is
SEED = 0
TEMPERATURE = 2.0
LONGEST = max(BUCKETS)
KL = 1.0


@dataclass(frozen=True, slots=True)
class Staged:
    """An encoder and its heads, exit 1 first."""

    teacher: Teacher
    heads: tuple[Head, ...]

    @property
    def layers(self) -> Any:
        """The encoder's layers in order."""
        return self.teacher.bert.encoder.layer


def train_heads(teacher: Teacher, texts: Sequence[str], targets: Tensor, tell: Tell) -> tuple[Head, ...]:
    """A head behind every layer, taught by labels and by what the tuned classifier says.

    The classifier itself reads raw mean rows, which no exit head of a bundle does: the last head learns to
    say the same from what heads read.
    """
    torch.manual_seed(SEED)
    pools, taught = read_layers(teacher, texts, lambda share: tell(0.7 * share))
    labels = teacher.classify.out_features
    heads = []
    for number, pool in enumerate(pools):
        head = Head(teacher.classify.in_features, labels, 0)
        _fit(head, pool, targets, taught)
        heads.append(head.eval())
        tell(0.7 + 0.3 * (number + 1) / len(pools))
    return tuple(heads)


def read_layers(
    teacher: Teacher, texts: Sequence[str], tell: Tell = lambda _: None, longest: int = LONGEST
) -> tuple[list[Tensor], Tensor]:
    """What a head reads behind every layer, [N,3d] each, and the classifier's logits [N,C].

    Texts are cut as a board cuts them: to `longest` tokens, the frame among them.
    """
    teacher.eval()
    width, labels = teacher.classify.in_features, teacher.classify.out_features
    reader = Head(width, labels, 0).eval()
    depth = len(teacher.bert.encoder.layer)
    pools = [torch.zeros(len(texts), 3 * width) for _ in range(depth)]
    taught = torch.zeros(len(texts), labels)
    with torch.no_grad():
        for number, ids in enumerate(teacher.encode(texts)):
            kept = ids if len(ids) <= longest else [*ids[: longest - 1], ids[-1]]
            told, mask = torch.tensor([kept]), torch.ones(1, len(kept))
            said = teacher.bert(input_ids=told, attention_mask=mask, output_hidden_states=True)
            for pool, rows in zip(pools, said.hidden_states[1:], strict=True):
                pool[number] = reader(rows, mask).pool[0]
            taught[number] = teacher.classify(said.last_hidden_state[0].mean(0))
            tell((number + 1) / len(texts))
    return pools, taught


def says(head: Head, pool: Tensor) -> Tensor:
    """A head's logits [N,C] from what it reads [N,3d]."""
    hidden = torch.relu(head.drop(pool) @ head.intent_w1 + head.intent_b1)
    logits: Tensor = head.drop(hidden) @ head.intent_w2 + head.intent_b2
    return logits


def torch_says(staged: Staged, texts: Sequence[str], longest: int = LONGEST) -> LatticeAnswers:
    """Every exit's logits in float32, as transformers runs the encoder: what a runtime is held against."""
    pools, _ = read_layers(staged.teacher, texts, longest=longest)
    logits: dict[Prefix, Any] = {}
    with torch.no_grad():
        for number, (head, pool) in enumerate(zip(staged.heads, pools, strict=True), 1):
            logits[(GROUPS,) * number] = says(head, pool).numpy()
    return LatticeAnswers(logits)


def embedding_bytes(teacher: Teacher, longest: int) -> bytes:
    """The member `embedding.npz`: int8 table, positions with the token type added, the LayerNorm behind them."""
    module = teacher.bert.embeddings
    table = module.word_embeddings.weight.detach().numpy().astype(np.float32)
    places = module.position_embeddings.weight[:longest] + module.token_type_embeddings.weight[0]
    norm = torch.stack([module.LayerNorm.weight, module.LayerNorm.bias])
    return npz_bytes(
        {
            **table_arrays(table),
            "positions": places.detach().numpy().astype(np.float32),
            "norm": norm.detach().numpy().astype(np.float32),
        }
    )


def _fit(head: Head, pool: Tensor, targets: Tensor, taught: Tensor) -> None:
    generator = torch.Generator().manual_seed(SEED)
    optimiser = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=0.02)
    steps = EPOCHS * -(-len(pool) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    head.train()
    for _ in range(EPOCHS):
        for index in torch.randperm(len(pool), generator=generator).split(BATCH):
            logits = says(head, pool[index])
            loss = functional.cross_entropy(logits, targets[index], label_smoothing=0.02)
            wanted = (taught[index] / TEMPERATURE).softmax(-1)
            close = functional.kl_div((logits / TEMPERATURE).log_softmax(-1), wanted, reduction="batchmean")
            optimiser.zero_grad()
            (loss + KL * TEMPERATURE**2 * close).backward()
            nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimiser.step()
            schedule.step()
