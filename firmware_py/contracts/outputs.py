"""Whether what a command is to write can be written, looked at before the work and not after it."""

from __future__ import annotations

import os
from pathlib import Path

from firmware_py.contracts.errors import ConfigError


def why_unwritable(path: Path, *, folder: bool = False) -> str | None:
    """Why a file (or, with `folder`, files in a folder) cannot be written at `path`; None: nothing is in the way.

    Missing folders above it count as writable where they could be made. Nothing is written or made.
    """
    for place in (path, *path.parents):
        if not os.path.exists(place):  # noqa: PTH110 - pathlib's raises below a folder that may not be entered
            continue
        whole = place == path
        if place.is_dir() is (whole and not folder):
            return f"{place} is {'a folder' if place.is_dir() else 'no folder'}"
        need = os.W_OK | os.X_OK if place.is_dir() else os.W_OK
        return None if os.access(place, need) else f"{place} may not be written to"
    return "the current folder is gone"


def check_output(path: Path, flag: str = "--out") -> None:
    """Say what is in the way of a result before the work for it begins; `flag` names another place.

    Raises:
        ConfigError: the file cannot be written.
    """
    why = why_unwritable(path)
    if why is not None:
        msg = f"{path} cannot be written: {why}"
        raise ConfigError(msg, hint=f"Name a place that you may write to with {flag}.")
