"""The exit heads in torch: the same arithmetic as `firmware_py/inference/heads.py`, over batches."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from conversion.nets.deepseek_lite import norm
from conversion.nets.rounding import compensated, nearest, steps
from firmware_py.inference.heads import BLOCKS, NAMES, WINDOW

HIDDEN = (128, 64)  # of the intent head and of the tag head


class Said(NamedTuple):
    """What one exit says: logits [B,C], tag logits [B,T,G] or None without slots, pooled rows [B,3d]."""

    logits: Tensor
    tags: Tensor | None
    pool: Tensor


class Head(nn.Module):
    """Intent and tag head of one exit; no tag head where the task has no slots."""

    def __init__(self, d: int, labels: int, slots: int, hidden: tuple[int, int] = HIDDEN) -> None:
        super().__init__()
        self.slots = slots
        inner, tag_inner = hidden
        self.intent_w1 = _matrix(3 * d, inner)
        self.intent_b1 = nn.Parameter(torch.zeros(inner))
        self.intent_w2 = _matrix(inner, labels)
        self.intent_b2 = nn.Parameter(torch.zeros(labels))
        self.drop = nn.Dropout(0.1)
        if not slots:
            return
        tags = slots + 1
        self.tag_w1 = nn.Parameter(torch.randn(BLOCKS, d, tag_inner) * (BLOCKS * d) ** -0.5)
        self.tag_pool = _matrix(3 * d, tag_inner)
        self.tag_b1 = nn.Parameter(torch.zeros(tag_inner))
        self.tag_mix = nn.Parameter(torch.randn(3, tag_inner, tag_inner) * (3 * tag_inner) ** -0.5)
        self.tag_bm = nn.Parameter(torch.zeros(tag_inner))
        self.tag_w2 = _matrix(tag_inner, tags)
        self.tag_b2 = nn.Parameter(torch.zeros(tags))

    def forward(self, h: Tensor, mask: Tensor) -> Said:
        """h [B,T,d], mask [B,T] (1 for a token); a row without a token is pooled to zeros."""
        rows, outside = norm(h) * mask[..., None], mask[..., None] == 0
        count = mask.sum(1, keepdim=True).clamp(min=1)
        last = rows[torch.arange(len(rows)), count[:, 0].long() - 1]
        inside = rows.masked_fill(outside, -1e9)
        highest = inside.max(1).values.masked_fill(mask.sum(1, keepdim=True) == 0, 0.0)
        pool = torch.cat([rows.sum(1) / count, highest, last], -1)
        hidden = torch.relu(self.drop(pool) @ self.intent_w1 + self.intent_b1)
        logits = self.drop(hidden) @ self.intent_w2 + self.intent_b2
        if not self.slots:
            return Said(logits, None, pool)
        tags = (pool @ self.tag_pool + self.tag_b1)[:, None].expand(-1, h.shape[1], -1)
        onward = inside.flip(1).cummax(1).values.flip(1)  # the highest from each row to the end
        seen = [_shift(rows, shift) for shift in WINDOW] + [onward.masked_fill(outside, 0.0)]
        for weight, block in zip(self.tag_w1, seen, strict=True):
            tags = tags + block @ weight
        tags = torch.relu(tags) * mask[..., None]
        heard = sum(
            (_shift(tags, shift) @ weight for weight, shift in zip(self.tag_mix, (-1, 0, 1), strict=True)),
            self.tag_bm,
        )
        return Said(logits, self.drop(tags + torch.relu(heard)) @ self.tag_w2 + self.tag_b2, pool)

    def arrays(self, pools: Tensor | None = None) -> dict[str, np.ndarray]:
        """The arrays of the bundle's member: int8 matrices with a float32 scale per output column, float32 shifts.

        `pools` [N,3d]: pooled rows of this exit; the first matrix, whose rounding costs most, is then rounded for them.
        """
        out: dict[str, np.ndarray] = {}
        for name in NAMES:
            if not hasattr(self, name):
                continue
            value = getattr(self, name).detach().float()
            if value.ndim == 1:
                out[name] = value.numpy()
                continue
            fitted = name == "intent_w1" and pools is not None
            out[name] = (compensated(value, pools) if fitted else nearest(value)).numpy()
            out[f"{name}_scale"] = steps(value).numpy()
        return out

    def to_bytes(self, pools: Tensor | None = None) -> bytes:
        """The bundle's member: an `.npz` with the same bytes for the same weights and pooled rows."""
        return npz_bytes(self.arrays(pools))


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """An uncompressed `.npz`; numpy stamps its members 1980-01-01, so equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _shift(rows: Tensor, shift: int) -> Tensor:
    """Row t of the result is row t + shift of the input, zero outside."""
    if shift == 0:
        return rows
    moved = torch.zeros_like(rows)
    if shift > 0:
        moved[:, :-shift] = rows[:, shift:]
    else:
        moved[:, -shift:] = rows[:, :shift]
    return moved


def _matrix(rows: int, columns: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, columns) * rows**-0.5)
