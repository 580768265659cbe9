"""Plain documents with one value changed: what a reader must refuse, or must not mind."""

from __future__ import annotations

import copy
from typing import Any


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with one value changed, or taken out where it is `...`."""
    out = copy.deepcopy(data)
    inner = out
    for step in path[:-1]:
        inner = inner[step]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return out
