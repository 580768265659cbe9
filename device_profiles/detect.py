"""Which board is this? Read from the device tree; the root is an argument, so tests use their own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from device_profiles.loader import list_profiles, load_profile

# Both name the same tree; the second is there when /proc is not mounted.
_TREES = ("proc/device-tree", "sys/firmware/devicetree/base")


def compatible(root: Path) -> tuple[str, ...]:
    """The machine's `compatible` strings, most special first; empty where there is no device tree."""
    for tree in _TREES:
        try:
            raw = (root / tree / "compatible").read_bytes()
        except OSError:
            continue
        return tuple(part.decode("ascii", errors="replace") for part in raw.split(b"\0") if part)
    return ()


def model(root: Path) -> str | None:
    """The machine's own name in the device tree, for people."""
    for tree in _TREES:
        try:
            raw = (root / tree / "model").read_bytes()
        except OSError:
            continue
        return raw.rstrip(b"\0").decode("utf-8", errors="replace") or None
    return None


def detect(root: Path) -> str | None:
    """The profile whose match names this machine most specially, or null.

    The device tree lists `compatible` from special to general, so the first hit is the board itself
    and not its family.
    """
    names = compatible(root)
    owners = _owners() if names else {}
    return next((owners[name] for name in names if name in owners), None)


@cache
def _owners() -> Mapping[str, str]:
    """Which shipped profile matches a `compatible` string: reading them all takes tens of milliseconds on a board."""
    return {match: name for name in list_profiles() for match in load_profile(name).match}
