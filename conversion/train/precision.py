"""Which arithmetic training uses on this CPU, and on how many threads: both are in the last bits of the weights."""

from __future__ import annotations

from typing import Any

import torch

THREADS = 1  # two were slower whenever anything else ran: workers spin at every barrier


def fast() -> Any:
    """bfloat16 matrix products where the CPU has them; elsewhere they would be slower than float32."""
    supported = torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 - there is no public name for it
    return torch.autocast("cpu", torch.bfloat16, enabled=supported)


def settle_threads() -> None:
    """Let torch compute in this process as the provenance says."""
    torch.set_num_threads(THREADS)
