"""What stands in files of variants from before the lesson changed: told by the settings in them, named by what it is.

A variant is compared with the student that learned as it did but for one thing. What ships has been shown rows with
and without marks at their ends since that was a setting; students from before were not, and are compared with `no-marks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SHIPPED, NO_MARKS = "as-shipped", "no-marks"
STATIC = ("static-1", "static-2", "static-3")
_UNSORTED, _UNMARKED = ", no sandwich", ", no marks"


def name_of(name: str, settings: Mapping[str, Any], shipped: Mapping[str, Any]) -> str | None:
    """What a variant's file measured, by the settings in it and those of the student that ships; None: nothing of use now.

    Of no use are a static student of another lesson than the cascade's, any from after what ships was trained, and any whose
    stages have another number of layers. Where nothing is known of what ships, a file is what its name says.
    """
    if not settings:
        return name
    if shipped and settings.get("layers") != shipped.get("layers"):
        return None
    unsorted = name == "groups-magnitude" and settings.get("sandwich") is False
    seen, seen_by_shipped = (bool(one.get("punctuated", 0.0)) for one in (settings, shipped))
    if not shipped or name == NO_MARKS or seen == seen_by_shipped:
        return name + _UNSORTED * unsorted
    if seen or name in STATIC:
        return None
    return name + _UNSORTED * unsorted + _UNMARKED


def against(name: str) -> str:
    """The student that a variant differs from in one thing."""
    return NO_MARKS if name.endswith(_UNMARKED) else SHIPPED
