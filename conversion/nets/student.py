"""The student as it is trained: trunk, a head per exit, and what only training needs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from conversion.nets.deepseek_lite import DeepSeekLite, Dims
from conversion.nets.heads import Head, Said
from firmware_py.inference.tensors import BLOCKED, position_tables


class Student(nn.Module):
    """Trunk, one head per exit - the zeroth over the embedded rows - and the projections to the teacher's width."""

    def __init__(self, dims: Dims, labels: int, slots: int, teacher_width: int = 1) -> None:
        super().__init__()
        self.trunk = DeepSeekLite(dims)
        exits = dims.stages + 1
        self.heads = nn.ModuleList(Head(dims.d, labels, slots, dims.head_hidden) for _ in range(exits))
        self.project = nn.ModuleList(nn.Linear(3 * dims.d, teacher_width) for _ in range(exits))

    def forward(self, ids: Tensor, mask: Tensor, widths: Sequence[int] | None = None) -> list[Said]:
        """ids and mask [B,T], a width per stage -> what each exit says, the zeroth first."""
        place = positions(ids.shape[1], self.trunk.dims.rope)
        rows = self.trunk(ids, attention_bias(mask), place, widths)
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
