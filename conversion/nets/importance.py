"""Which heads and FFN columns matter, and putting the ones that do into the groups that run first.

Importance is the first-order change of the loss when one is taken away: |d loss / d mask| with every mask at 1
(Michel et al. 2019, "Are Sixteen Heads Really Better than One?", section 4.1; DynaBERT, Hou et al. 2020, rewires
a network by it before widths are cut).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor

from conversion.nets.deepseek_lite import DeepSeekLite, Layer

Order = Literal["importance", "magnitude", "random"]


def sort_groups(trunk: DeepSeekLite, order: Order, losses: Iterable[Callable[[], Tensor]], seed: int) -> None:
    """Reorder every layer in place, the most important heads and columns first.

    Args:
        trunk: at full width it computes the same before and after.
        order: by importance; by the size of the outgoing weights; or at random (what the others are held against).
        losses: each call gives the loss of one batch; only `importance` uses them.
        seed: of the random order.
    """
    layers = [layer for stage in trunk.stages for layer in stage]
    generator = torch.Generator().manual_seed(seed)
    scores = _by_loss(layers, losses) if order == "importance" else None
    for number, layer in enumerate(layers):
        if scores is not None:
            heads, columns = scores[number]
        elif order == "magnitude":
            heads = layer.out.weight.detach().square().sum(0).view(layer.dims.heads, -1).sum(1)
            columns = layer.down.weight.detach().square().sum(0)
        else:
            heads = torch.rand(layer.dims.heads, generator=generator)
            columns = torch.rand(layer.dims.ffn, generator=generator)
        layer.reorder(
            heads.argsort(descending=True, stable=True), columns.argsort(descending=True, stable=True)
        )


def _by_loss(layers: list[Layer], losses: Iterable[Callable[[], Tensor]]) -> list[tuple[Tensor, Tensor]]:
    total = [(torch.zeros(layer.dims.heads), torch.zeros(layer.dims.ffn)) for layer in layers]
    try:
        for layer in layers:
            layer.masks = (
                torch.ones(layer.dims.heads, requires_grad=True),
                torch.ones(layer.dims.ffn, requires_grad=True),
            )
        masks = [mask for layer in layers for mask in layer.masks or ()]
        for loss in losses:
            gradients = torch.autograd.grad(loss(), masks)
            for sums, head, column in zip(total, gradients[::2], gradients[1::2], strict=True):
                sums[0].add_(head.abs())
                sums[1].add_(column.abs())
    finally:
        for layer in layers:
            layer.masks = None
    return total
