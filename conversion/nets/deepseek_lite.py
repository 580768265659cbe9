"""DeepSeekLite: a small causal transformer with DeepSeek's attention, an exit after each stage.

The whole model on one page. B sentences, T tokens, d model width, H heads, r latent, p rope dims.

Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1) in its absorbed form: the key
up-projection is part of the query's matrix and the value up-projection part of the output's, so heads
attend to the latent row itself. What attention caches is then one row of r + p numbers a token and
layer; that row is the stage's `state`.

Width: `gates` holds one learned factor for each of 4 groups in each of 3 stages, 12 in all. A group is a
quarter of the heads and of the FFN columns; at width w only a stage's first w groups run. The residual
stream keeps its full width, so any width of one stage composes with any of the next.

Normalisation is RMSNorm, or DyT (Zhu et al. 2025, arXiv 2503.10622) for accelerators that have tanh and
no square root: `tanh(alpha x)` with one learned alpha, the gain behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from firmware_py.contracts.run import FULL_WIDTH

EPSILON = 1e-5
GROUPS = FULL_WIDTH
MAX_LEVEL = 7  # of four bits: -8 is left out, so that rows are symmetric


@dataclass(frozen=True, slots=True)
class Dims:
    """Sizes of the trunk."""

    vocabulary: int
    d: int = 128
    heads: int = 4
    latent: int = 32
    rope: int = 16
    ffn: int = 256
    stages: int = 3
    layers: int = 1  # per stage
    dropout: float = 0.1  # of the embedded rows
    branch_dropout: float = 0.0  # of what a layer adds
    norm: Literal["rms", "dyt"] = "rms"
    table_bits: Literal[4, 32] = 4  # 32: of a model that teaches and is not shipped
    head_hidden: tuple[int, int] = (128, 64)  # of the exits' intent and tag heads

    @property
    def state(self) -> int:
        """k, the numbers a token leaves behind in one stage."""
        return self.layers * (self.latent + self.rope)

    def manifest(self) -> dict[str, float]:
        """The sizes that a reader of the bundle needs."""
        keep = ("d", "heads", "latent", "rope", "ffn", "layers")
        out = {name: float(value) for name, value in asdict(self).items() if name in keep}
        return {"d_model": out.pop("d"), **out, "state": float(self.state)}


def norm(x: Tensor) -> Tensor:
    """RMSNorm without gain over the last axis."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON)


class Norm(nn.Module):
    """RMSNorm or DyT, without gain."""

    def __init__(self, kind: Literal["rms", "dyt"]) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(0.8)) if kind == "dyt" else None

    def forward(self, x: Tensor) -> Tensor:
        """Over the last axis."""
        return norm(x) if self.alpha is None else torch.tanh(self.alpha * x)


def swap_halves(x: Tensor) -> Tensor:
    """(x1, x2) -> (-x2, x1) over the last axis: the rotary embedding's other half."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)


class Layer(nn.Module):
    """Attention and SwiGLU, both pre-norm and residual."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        d, width = dims.d, dims.heads * dims.latent
        self.dims = dims
        self.norm_attention = Norm(dims.norm)
        self.norm_latent = Norm(dims.norm)
        self.norm_ffn = Norm(dims.norm)
        self.gain_attention = nn.Parameter(torch.ones(d))
        self.gain_ffn = nn.Parameter(torch.ones(d))
        self.query = nn.Linear(d, width)  # W_Q with W_UK absorbed
        self.query_rope = nn.Linear(d, dims.heads * dims.rope)
        self.latent = nn.Linear(d, dims.latent)  # W_DKV
        self.key_rope = nn.Linear(d, dims.rope)  # one rotary key, shared by the heads
        self.out = nn.Linear(width, d)  # W_O with W_UV absorbed
        self.gate = nn.Linear(d, dims.ffn)
        self.up = nn.Linear(d, dims.ffn)
        self.down = nn.Linear(dims.ffn, d)
        self.drop = nn.Dropout(dims.branch_dropout)
        self.masks: tuple[Tensor, Tensor] | None = None  # of heads and columns, while importance is measured

    def forward(
        self, h: Tensor, bias: Tensor, position: tuple[Tensor, Tensor], groups: Tensor
    ) -> tuple[Tensor, Tensor]:
        """h [B,T,d], bias [B,1,T,T], position cos and sin [T,p], the gates of the groups that run [w] -> h, state [B,T,r+p]."""
        batch, length, _ = h.shape
        dims, (cos, sin) = self.dims, position
        heads = dims.heads // GROUPS * len(groups)
        columns = dims.ffn // GROUPS * len(groups)
        x = self.norm_attention(h) * self.gain_attention
        query = _first(self.query, x, heads * dims.latent).view(batch, length, heads, dims.latent)
        turned = _first(self.query_rope, x, heads * dims.rope).view(batch, length, heads, dims.rope)
        turned = turned * cos[:, None] + swap_halves(turned) * sin[:, None]
        latent = self.norm_latent(self.latent(x))  # [B,T,r]
        key = self.key_rope(x)
        key = key * cos + swap_halves(key) * sin  # [B,T,p]
        state = torch.cat([latent, key], -1)  # [B,T,r+p]
        query = torch.cat([query, turned], -1).transpose(1, 2)  # [B,H,T,r+p]
        score = query @ state[:, None].transpose(2, 3) * (dims.latent + dims.rope) ** -0.5 + bias
        seen = (score.softmax(-1) @ latent[:, None]).transpose(1, 2)  # [B,T,H,r]
        seen = seen * groups.repeat_interleave(dims.heads // GROUPS)[:, None]
        if self.masks is not None:
            seen = seen * self.masks[0][:, None]
        h = h + self.drop(_joined(self.out, seen.reshape(batch, length, -1)))
        x = self.norm_ffn(h) * self.gain_ffn
        inner = functional.silu(_first(self.gate, x, columns)) * _first(self.up, x, columns)
        inner = inner * groups.repeat_interleave(dims.ffn // GROUPS)
        if self.masks is not None:
            inner = inner * self.masks[1]
        return h + self.drop(_joined(self.down, inner)), state

    def reorder(self, heads: Tensor, columns: Tensor) -> None:
        """Put heads and FFN columns into another order; what the layer computes at full width stays the same."""
        dims = self.dims
        rows = (heads[:, None] * dims.latent + torch.arange(dims.latent)).flatten()
        turns = (heads[:, None] * dims.rope + torch.arange(dims.rope)).flatten()
        for layer, order in (
            (self.query, rows),
            (self.query_rope, turns),
            (self.gate, columns),
            (self.up, columns),
        ):
            layer.weight.data, layer.bias.data = layer.weight.data[order], layer.bias.data[order]
        self.out.weight.data = self.out.weight.data[:, rows]
        self.down.weight.data = self.down.weight.data[:, columns]


def _first(layer: nn.Linear, x: Tensor, rows: int) -> Tensor:
    """The first `rows` outputs of a Linear; narrow widths cost what they save."""
    return functional.linear(x, layer.weight[:rows], layer.bias[:rows])


def _joined(layer: nn.Linear, x: Tensor) -> Tensor:
    """A Linear of the first inputs only."""
    return functional.linear(x, layer.weight[:, : x.shape[-1]], layer.bias)


class TokenTable(nn.Embedding):
    """The token table as the device has it: 4-bit rows with one scale each (quantisation-aware training).

    Gradients pass the rounding by: the straight-through estimator, Bengio et al. 2013 (arXiv 1308.3432).
    """

    def forward(self, ids: Tensor) -> Tensor:
        """ids [...] -> rows [..., d]."""
        rows = super().forward(ids)
        with torch.no_grad():
            levels, scale = quantise_rows(rows)
            rounding = levels * scale - rows
        return rows + rounding


def quantise_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """rows [..., d] -> levels from -7 to 7 [..., d], and a scale that float16 holds [..., 1]."""
    largest = rows.abs().amax(-1, keepdim=True)
    scale = (largest / MAX_LEVEL).half().clamp_min(torch.finfo(torch.half).tiny).float()
    return (rows / scale).round().clamp(-MAX_LEVEL, MAX_LEVEL), scale


class DeepSeekLite(nn.Module):
    """Embedding table and stages; heads stand apart (`nets.heads`)."""

    def __init__(self, dims: Dims) -> None:
        super().__init__()
        self.dims = dims
        table = TokenTable if dims.table_bits == 4 else nn.Embedding
        self.embedding = table(dims.vocabulary, dims.d, padding_idx=0)
        self.stages = nn.ModuleList(
            nn.ModuleList(Layer(dims) for _ in range(dims.layers)) for _ in range(dims.stages)
        )
        self.gates = nn.Parameter(torch.ones(dims.stages, GROUPS))  # the 12 width gates
        self.drop = nn.Dropout(dims.dropout)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
                nn.init.zeros_(module.bias)
        for layer in self.modules():
            if isinstance(layer, Layer):  # residual branches start small
                layer.out.weight.data *= 0.5
                layer.down.weight.data *= 0.5

    def forward(
        self, ids: Tensor, bias: Tensor, position: tuple[Tensor, Tensor], widths: Sequence[int] | None = None
    ) -> list[Tensor]:
        """ids [B,T], bias [B,1,T,T], cos and sin [T,p], a width per stage -> h [B,T,d], embedded and after each stage."""
        h = self.drop(self.embedding(ids))
        out = [h]
        for stage, gates, width in zip(self.stages, self.gates, widths or self.full, strict=True):
            for layer in stage:
                h, _ = layer(h, bias, position, gates[:width])
            out.append(h)
        return out

    @property
    def full(self) -> tuple[int, ...]:
        """Full width in every stage."""
        return (GROUPS,) * self.dims.stages
