"""One BERT layer as a stage graph: rank 2, no batch, every projection one fully-connected operator.

The form is the one that all stages have, `(h, bias, cos, sin) -> (h_out, state)`, so converter and engine
need no second one. What differs from DeepSeekLite lies outside: positions are added to the embedded rows on the
host, so that `cos` and `sin` are there and not read, and the bias blocks padding only: every token sees every
other. `state` is the keys and values [T,2d]; a trunk that looks both ways can reuse
none of it when the text grows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class LayerGraph(nn.Module):
    """A `transformers` BertLayer with its query scale folded, on rows [T,d]."""

    def __init__(self, layer: Any) -> None:
        """Copy the weights of a trained layer; its activation must be gelu."""
        super().__init__()
        attention, output = layer.attention.self, layer.attention.output
        self.heads = attention.num_attention_heads
        scale = attention.attention_head_size**-0.5
        self.query = _linear(attention.query.weight * scale, attention.query.bias * scale)
        self.key = _linear(attention.key.weight, attention.key.bias)
        self.value = _linear(attention.value.weight, attention.value.bias)
        self.out = _linear(output.dense.weight, output.dense.bias)
        self.up = _linear(layer.intermediate.dense.weight, layer.intermediate.dense.bias)
        self.down = _linear(layer.output.dense.weight, layer.output.dense.bias)
        self.norm_attention = _Norm(output.LayerNorm)
        self.norm_ffn = _Norm(layer.output.LayerNorm)
        # The tanh form moves a row by about 1e-4 and is one operator that accelerators have; erf became twelve.
        self.gelu = nn.GELU(approximate="tanh")
        self.form = f"{self.heads} heads"  # the cache of converted files cannot see it in the weights

    def forward(self, h: Tensor, bias: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002 - the stages' form
        """h [T,d], bias [T,T] -> h [T,d], keys and values [T,2d]."""
        length = h.shape[0]
        key, value = self.key(h), self.value(h)  # [T,d]
        query = self.query(h).reshape(length, self.heads, -1).transpose(0, 1)  # [H,T,d/H]
        keys = key.reshape(length, self.heads, -1).transpose(0, 1)
        values = value.reshape(length, self.heads, -1).transpose(0, 1)
        score = query @ keys.transpose(1, 2) + bias.reshape(1, length, length)  # [H,T,T]
        seen = (score.softmax(-1) @ values).transpose(0, 1).reshape(length, -1)  # [T,d]
        h = self.norm_attention(h + self.out(seen))
        return self.norm_ffn(h + self.down(self.gelu(self.up(h)))), torch.cat([key, value], 1)


class _Norm(nn.Module):
    """LayerNorm written out: mean, square, square root, each an operator that every runtime has."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.gain = nn.Parameter(norm.weight.detach().clone())
        self.shift = nn.Parameter(norm.bias.detach().clone())
        self.epsilon = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """Over the last axis."""
        x = x - x.mean(-1, keepdim=True)
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.epsilon) * self.gain + self.shift


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data = weight.detach().clone().contiguous()
    layer.bias.data = bias.detach().clone().contiguous()
    return layer
