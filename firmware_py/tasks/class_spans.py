"""Where a kind of device ends: "puerta del | garaje" is one garage door, not a door's name and a garage. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from firmware_py.tasks.number_spans import Found
from firmware_py.tasks.values import SlotValues

_NAME, _CLASS = "name", "device_class"


def with_whole_classes(found: Sequence[Found], sentence: str, values: SlotValues) -> list[Found]:
    """The slots, with one in place of a name and a kind of device that stand side by side and are a kind together."""
    out = list(found)
    for name, kind in itertools.pairwise(found):
        both = replace(kind, start=name.start)
        if (name.name, kind.name) == (_NAME, _CLASS) and values.knows(
            _CLASS, sentence[both.start : both.end]
        ):
            out = [slot for slot in out if slot not in (name, kind)] + [both]
    return sorted(out, key=lambda slot: slot.start)
