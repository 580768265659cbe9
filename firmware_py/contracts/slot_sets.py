"""Which slots sentences of one label have together: what a bundle knows of it, counted over its training rows.

A set is a multiset: a slot that a sentence has in two places is in it twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firmware_py.contracts.check import Fields
from firmware_py.contracts.errors import BundleFormatError
from firmware_py.contracts.records import record

MAX_SETS = 10_000
MAX_SPANS = 64  # of one sentence
MAX_WEIGHT = 100.0
MAX_ROWS = 2**53


@record(frozen=True, slots=True)
class SlotSets:
    """Label index -> slot indexes, ascending, one per span -> training rows that have just these.

    `weight`: what the logarithm of a set's rows is worth beside the tag head's scores.
    """

    weight: float
    rows: Mapping[int, Mapping[tuple[int, ...], int]]

    @property
    def count(self) -> int:
        """How many sets there are."""
        return sum(map(len, self.rows.values()))

    def to_dict(self) -> dict[str, Any]:
        """The manifest's form: `[label, rows, slot, …]` for each set."""
        sets = [
            [label, count, *slots] for label, counts in self.rows.items() for slots, count in counts.items()
        ]
        return {"weight": self.weight, "sets": sets}


def parse_slot_sets(data: Any, labels: int, slots: int) -> SlotSets | None:
    """Read `manifest.slot_sets`, or nothing.

    Args:
        data: the decoded field, None where the manifest has none.
        labels: how many the manifest has.
        slots: so.

    Raises:
        BundleFormatError: it has another form, or names a label or slot that the manifest lacks.
    """
    if data is None:
        return None
    top = Fields(data, "manifest.slot_sets", BundleFormatError)
    rows: dict[int, dict[tuple[int, ...], int]] = {}
    for item in top.array("sets", limit=MAX_SETS):
        label, count, *spans = _whole_numbers(top, item)
        if not (label < labels and 0 < count <= MAX_ROWS and all(slot < slots for slot in spans)):
            top.fail("manifest.slot_sets names a label or slot that there is not, or a set of no row")
        known, key = rows.setdefault(label, {}), tuple(sorted(spans))
        if list(key) != spans or key in known:
            top.fail("manifest.slot_sets has a set twice, or its slots not ascending")
        known[key] = count
    return SlotSets(top.number("weight", low=0.0, high=MAX_WEIGHT), rows)


def _whole_numbers(top: Fields, item: Any) -> list[int]:
    whole = isinstance(item, list) and all(type(one) is int and one >= 0 for one in item)
    if not whole or not 2 <= len(item) <= 2 + MAX_SPANS:
        top.fail("manifest.slot_sets has a set that is not [label, rows, slot, ...]")
    numbers: list[int] = item
    return numbers
