"""The student as it is trained: trunk, a head per exit, and what only training needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from conversion.nets.deepseek_lite import DeepSeekLite, Dims
from conversion.nets.heads import Head
from firmware_py.inference.tensors import BLOCKED, position_tables

TEACHER_WIDTH = 384  # of MiniLM's rows


class Student(nn.Module):
    """Trunk, one head per exit, and the projections to the teacher's width."""

    def __init__(self, dims: Dims, labels: int, slots: int) -> None:
        super().__init__()
        self.trunk = DeepSeekLite(dims)
        self.heads = nn.ModuleList(Head(dims.d, labels, 2 * slots + 1) for _ in range(dims.stages))
        self.project = nn.ModuleList(nn.Linear(3 * dims.d, TEACHER_WIDTH) for _ in range(dims.stages))

    def forward(self, ids: Tensor, mask: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """ids and mask [B,T] -> per exit: logits [B,C], tag logits [B,T,G], pool [B,3d]."""
        rows = self.trunk(ids, attention_bias(mask), positions(ids.shape[1], self.trunk.dims.rope))
        return [head(h, mask) for head, h in zip(self.heads, rows, strict=True)]


def attention_bias(mask: Tensor) -> Tensor:
    """Causal and padding bias [B,1,T,T] from mask [B,T], as `firmware_py/inference/tensors.py` makes it."""
    length = mask.shape[1]
    causal = torch.ones(length, length).tril()
    return (1.0 - causal[None] * mask[:, None]).mul(float(BLOCKED))[:, None]


def positions(length: int, dims: int) -> tuple[Tensor, Tensor]:
    """cos, sin [T,p]."""
    cos, sin = position_tables(length, dims)
    return torch.from_numpy(cos.copy()), torch.from_numpy(sin.copy())
