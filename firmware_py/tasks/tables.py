"""The word tables beside this file: TOML, one top-level table a language."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib.resources import files
from typing import Any


def load_tables(name: str, sections: Iterable[str]) -> dict[str, Any]:
    """Some top-level tables of a data file; the others are not even parsed, which takes most of a start's time."""
    text = files("firmware_py.tasks").joinpath(name).read_text(encoding="utf-8")
    wanted = set(sections)
    parts = (part for part in text.split("\n[") if re.split(r"[\].]", part, maxsplit=1)[0] in wanted)
    return tomllib.loads("\n".join(f"[{part}" for part in parts))
