"""Builds the board's real parts from profile and configuration; nothing else opens anything.

places      profile, bundles, trust folder, name
ground      what all tasks of a board share, with its meter (energy)
models      each bundle: verified, proved, given to every slot
spare_time  what a free slot does: calibration, delegates that come back
node        all of it as a CiuicNode, or as an Assembly for benchmarks and evaluation
"""

from __future__ import annotations

from firmware_py.compose.node import Assembly, assembled, build_node
from firmware_py.compose.places import (
    CHECKOUT,
    SHIPPED_TRUST,
    board_of,
    node_name,
    profile_values,
    shipped,
    trust_of,
)

__all__ = [
    "CHECKOUT", "SHIPPED_TRUST", "Assembly", "assembled", "board_of", "build_node", "node_name", "profile_values",
    "shipped", "trust_of",
]  # fmt: skip
