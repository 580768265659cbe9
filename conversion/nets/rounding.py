"""From float32 to int8: a matrix by itself, or by what it will be multiplied with."""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 127
_DAMPING = 0.01  # of the mean square of the inputs: few rows leave directions that nothing is known of
_LEAST = 1e-9  # where all inputs are zero


def steps(weight: Tensor) -> Tensor:
    """The int8 step of each output column [.., 1, O] of a weight [.., I, O]: its largest magnitude is 127 of them."""
    return weight.abs().amax(-2, keepdim=True).clamp(min=1e-8) / LEVELS


def nearest(weight: Tensor) -> Tensor:
    """Levels int8 [.., I, O]: each weight by itself."""
    return (weight / steps(weight)).round().clamp(-LEVELS, LEVELS).to(torch.int8)


def compensated(weight: Tensor, seen: Tensor) -> Tensor:
    """Levels int8 [I,O], rounded for the products with inputs like `seen`.

    Row by row, the inputs of most energy first, what rounding (or 127 as the most) costs is made up for by the rows that
    are still to come (GPTQ, Frantar et al. 2022, arXiv 2210.17323, section 3). Of inputs that are unlike `seen` nothing is promised.

    Args:
        weight: float32 [I,O].
        seen: inputs [N,I], some thousand of them.
    """
    inputs = seen.double()
    energy = inputs.T @ inputs / len(inputs)
    energy += torch.eye(len(energy), dtype=energy.dtype) * _DAMPING * energy.diag().mean().clamp(min=_LEAST)
    order = torch.argsort(-energy.diag(), stable=True)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(energy[order][:, order]))
    passed_on = torch.linalg.cholesky(inverse, upper=True)
    rest, step = weight.double()[order], steps(weight).double()[0]
    levels = torch.zeros_like(rest)
    for row in range(len(rest)):
        levels[row] = (rest[row] / step).round().clamp(-LEVELS, LEVELS)
        lost = (rest[row] - levels[row] * step) / passed_on[row, row]
        rest[row + 1 :] -= passed_on[row, row + 1 :, None] * lost
    out = torch.empty_like(levels)
    out[order] = levels
    return out.to(torch.int8)
