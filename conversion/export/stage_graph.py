"""One stage as a graph that converts well: rank 2, no batch, everything foldable folded.

Differences to `nets.deepseek_lite` (same numbers; a test holds them together), each with its reason:
gains, the query's scale and the width gates are in the weights; the rotary half-swap is a second Linear with
swapped rows; queries are laid out token by head, so that no transpose of activations is left and both
attention products have rank 3 on either side; every Linear has a bias, so that it becomes one
fully-connected operator. DyT's alpha before an activation stays one multiplication, the latent's is in the
Linear that makes it.

Form `replaced`, for int8 activations: a blocked score is not lowered by 100 but replaced by `FLOOR`. One int8
step of a tensor that reaches down to -100 is half a unit, and scores that differ by less become one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from conversion.export.recipes import Form
from conversion.nets.deepseek_lite import GROUPS, DeepSeekLite, Layer, Norm, norm, swap_halves
from firmware_py.inference.tensors import BLOCKED as _BLOCKED

BLOCKED = float(_BLOCKED)
FLOOR = -16.0  # a score; exp(-16) of a row's largest is far below the softmax's int8 step of 1/256


class _Folded(nn.Module):
    """RMSNorm, or DyT with its alpha as a constant; `inside`: the Linear before it holds the alpha."""

    def __init__(self, kind: Norm, *, inside: bool = False) -> None:
        super().__init__()
        self.dyt = kind.alpha is not None
        alpha = None if inside or not self.dyt else _alpha(kind).reshape(1, 1).clone()
        self.register_buffer("alpha", alpha)

    def forward(self, x: Tensor) -> Tensor:
        """Over the last axis."""
        if not self.dyt:
            return norm(x)
        return torch.tanh(x if self.alpha is None else x * self.alpha)


class FoldedLayer(nn.Module):
    """One layer with its gains, scale and gates folded, cut to the first `width` groups."""

    def __init__(self, layer: Layer, gates: Tensor, width: int, form: Form) -> None:
        super().__init__()
        dims = layer.dims
        self.replaced = form == "replaced"
        self.heads = dims.heads // GROUPS * width
        self.attention, self.ffn = _Folded(layer.norm_attention), _Folded(layer.norm_ffn)
        self.latent_norm = _Folded(layer.norm_latent, inside=True)
        columns = dims.ffn // GROUPS * width
        rows, turns = self.heads * dims.latent, self.heads * dims.rope
        gain, scale = layer.gain_attention, (dims.latent + dims.rope) ** -0.5
        by_head = gates.repeat_interleave(dims.heads // GROUPS * dims.latent)[:rows]
        by_column = gates.repeat_interleave(dims.ffn // GROUPS)[:columns]
        self.query = _linear(layer.query.weight[:rows] * gain * scale, layer.query.bias[:rows] * scale)
        turn = layer.query_rope.weight[:turns] * gain * scale
        turn_bias = layer.query_rope.bias[:turns] * scale
        self.turn = _linear(turn, turn_bias)
        self.turn_swapped = _linear(*_swapped(turn, turn_bias, self.heads))
        inner = _alpha(layer.norm_latent)
        self.latent = _linear(layer.latent.weight * gain * inner, layer.latent.bias * inner)
        key = layer.key_rope.weight * gain
        self.key = _linear(key, layer.key_rope.bias)
        self.key_swapped = _linear(*_swapped(key, layer.key_rope.bias, 1))
        self.out = _linear(layer.out.weight[:, :rows] * by_head, layer.out.bias)
        self.gate = _linear(layer.gate.weight[:columns] * layer.gain_ffn, layer.gate.bias[:columns])
        self.up = _linear(layer.up.weight[:columns] * layer.gain_ffn, layer.up.bias[:columns])
        self.down = _linear(layer.down.weight[:, :columns] * by_column, layer.down.bias)

    def forward(self, h: Tensor, bias: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """h [T,d], bias [T,T], cos and sin [T,p] -> h [T,d], state [T,r+p]."""
        length = h.shape[0]
        x = self.attention(h)
        latent = self.latent_norm(self.latent(x))  # [T,r]
        state = torch.cat([latent, self.key(x) * cos + self.key_swapped(x) * sin], 1)  # [T,r+p]
        cos3, sin3 = cos.reshape(length, 1, -1), sin.reshape(length, 1, -1)
        turned = self.turn(x).reshape(length, self.heads, -1) * cos3
        turned = turned + self.turn_swapped(x).reshape(length, self.heads, -1) * sin3  # [T,H,p]
        query = torch.cat([self.query(x).reshape(length, self.heads, -1), turned], 2)  # [T,H,r+p]
        rows = length * self.heads
        score = query.reshape(1, rows, -1) @ state.t().reshape(1, -1, length)  # [1,T*H,T]
        score, bias = score.reshape(length, self.heads, length), bias.reshape(length, 1, length)
        if self.replaced:
            score = score * (1.0 - bias * (1.0 / BLOCKED)) + bias * (FLOOR / BLOCKED)
        else:
            score = score + bias
        seen = score.softmax(-1).reshape(1, rows, length) @ latent.reshape(1, length, -1)  # [1,T*H,r]
        h = h + self.out(seen.reshape(length, -1))
        x = self.ffn(h)
        gate = self.gate(x)
        return h + self.down(gate * torch.sigmoid(gate) * self.up(x)), state


class StageGraph(nn.Module):
    """The graph of one stage: (h [T,d], bias [T,T], cos, sin [T,p]) -> (h_out [T,d], state [T,k])."""

    def __init__(self, model: DeepSeekLite, stage: int, width: int = GROUPS, form: Form = "added") -> None:
        """Fold stage `stage` (from 1) of a trained model."""
        super().__init__()
        gates = model.gates[stage - 1].detach()
        dims = model.dims
        # What the weights alone do not say of the graph.
        self.form = (form, dims.norm, dims.heads // GROUPS * width, dims.latent, dims.rope)
        self.layers = nn.ModuleList(
            FoldedLayer(layer, gates, width, form) for layer in model.stages[stage - 1]
        )

    def forward(self, h: Tensor, bias: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Run the layers; states stand beside each other."""
        states = []
        for layer in self.layers:
            h, state = layer(h, bias, cos, sin)
            states.append(state)
        return h, states[0] if len(states) == 1 else torch.cat(states, 1)


def _alpha(kind: Norm) -> Tensor:
    """DyT's factor; 1 for RMSNorm."""
    return torch.ones(()) if kind.alpha is None else kind.alpha.detach()


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data = weight.detach().clone().contiguous()
    layer.bias.data = bias.detach().clone().contiguous()
    return layer


def _swapped(weight: Tensor, bias: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Rows permuted so that the Linear gives `swap_halves` of what it gave, head by head."""

    def swap(rows: Sequence[Tensor]) -> Tensor:
        return torch.cat([swap_halves(part.movedim(0, -1)).movedim(-1, 0) for part in rows])

    return swap(weight.chunk(heads)), swap(bias.chunk(heads))
