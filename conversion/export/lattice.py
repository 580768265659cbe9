"""Which graphs a bundle has, and what their files are called."""

from __future__ import annotations

from collections.abc import Sequence

from conversion.nets.deepseek_lite import GROUPS
from firmware_py.contracts.run import GraphKey

BUCKETS = (8, 16, 32, 64)
NARROW_UPTO = 32  # tokens; a longer text is rare, so its narrow graphs would be paid for and not used
WIDTHS = tuple(range(1, GROUPS + 1))


def lattice_keys(
    stages: int, buckets: Sequence[int] = BUCKETS, widths: Sequence[int] = WIDTHS
) -> list[GraphKey]:
    """Every stage at every width and length; lengths above `NARROW_UPTO` at the largest width only.

    Three stages, four widths and the buckets 8, 16, 32, 64 make 39.
    """
    return [
        GraphKey(bucket, stage, width)
        for bucket in sorted(buckets)
        for stage in range(1, stages + 1)
        for width in sorted(widths)
        if bucket <= NARROW_UPTO or width == max(widths)
    ]


def widths_by_bucket() -> dict[int, tuple[int, ...]]:
    """The widths that each length has."""
    return {bucket: WIDTHS if bucket <= NARROW_UPTO else WIDTHS[-1:] for bucket in BUCKETS}


def graph_name(key: GraphKey) -> str:
    """A graph's file name in the archive."""
    return f"s{key.stage}-w{key.width}-t{key.bucket}.tflite"
