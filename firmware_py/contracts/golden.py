"""One line of a bundle's `golden.jsonl`: a sentence of its own and what every exit must say of it.

The same rows serve the parity gate of a build, a node's self-test, a delegate's re-test and a rig's
certification. `atol` is the publisher's: how far a logit may lie from its reference on any runtime
that the manifest names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from firmware_py.contracts.check import Fields
from firmware_py.contracts.errors import BundleFormatError

MAX_ROWS = 1000


@dataclass(frozen=True, slots=True)
class GoldenRow:
    """A sentence and its reference.

    `ids` are the kept tokens. `logits` holds one row per exit, in the order of the manifest's labels,
    as the heads give them (before temperature). `tags` are the tags of the last exit, one per
    token; empty where the bundle has no slots. `widths` are the width groups per stage that the row is of,
    empty for full width. `zeroth` are exit 0's logits; empty where there is none or it is not tested.
    """

    text: str
    ids: tuple[int, ...]
    logits: tuple[tuple[float, ...], ...]
    atol: float
    tags: tuple[int, ...] = ()
    widths: tuple[int, ...] = ()
    zeroth: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; logits rounded to what a tolerance can tell apart."""
        out: dict[str, Any] = {
            "text": self.text,
            "ids": list(self.ids),
            "logits": [[round(value, 4) for value in row] for row in self.logits],
            "atol": self.atol,
            "tags": list(self.tags),
        }
        if self.widths:
            out["widths"] = list(self.widths)
        if self.zeroth:
            out["zeroth"] = [round(value, 4) for value in self.zeroth]
        return out


def write_golden(rows: Iterable[GoldenRow]) -> bytes:
    """The member's bytes: one JSON object a line, UTF-8."""
    return "".join(json.dumps(row.to_dict(), ensure_ascii=False) + "\n" for row in rows).encode()


def parse_golden(data: bytes) -> tuple[GoldenRow, ...]:
    """Read a `golden.jsonl` member; empty lines are skipped.

    Raises:
        BundleFormatError: a row of another form, no row, or more than `MAX_ROWS`.
    """
    try:
        rows = tuple(_parse_row(json.loads(line)) for line in data.decode().split("\n") if line)
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        msg = "golden.jsonl holds a line that is no golden row"
        raise BundleFormatError(msg) from error
    if not 0 < len(rows) <= MAX_ROWS:
        msg = f"golden.jsonl has {len(rows)} rows, a bundle has 1 to {MAX_ROWS}"
        raise BundleFormatError(msg)
    return rows


def _parse_row(data: Any) -> GoldenRow:
    row = Fields(data, "golden row", BundleFormatError)
    return GoldenRow(
        text=row.text("text", limit=4096),
        ids=tuple(int(value) for value in row.array("ids", limit=4096)),
        logits=tuple(tuple(float(value) for value in exit_row) for exit_row in row.array("logits", limit=16)),
        atol=row.number("atol", low=0.0),
        tags=tuple(int(value) for value in row.array("tags", (), limit=4096)),
        widths=row.integers("widths", (), high=4, limit=16),
        zeroth=tuple(float(value) for value in row.array("zeroth", (), limit=4096)),
    )
