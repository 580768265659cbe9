"""Which arithmetic training uses on this CPU."""

from __future__ import annotations

from typing import Any

import torch


def fast() -> Any:
    """bfloat16 matrix products where the CPU has them; elsewhere they would be slower than float32."""
    supported = torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001 - there is no public name for it
    return torch.autocast("cpu", torch.bfloat16, enabled=supported)
