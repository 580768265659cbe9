"""The processes of a benchmark find compiled modules, as a user's do, also where this environment keeps none.

Compiling is some two fifths of a start's processor time. pip or the first start does it once, unless
`PYTHONDONTWRITEBYTECODE` says that nothing is kept; then every start compiles numpy and all the rest anew.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FORBIDS, _WHERE = "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"
NOTE = f"{_FORBIDS} is set here: the processes of the benchmark kept their compiled modules in a folder of its own"


@contextmanager
def compiled_in(folder: Path) -> Iterator[None]:
    """For the length of a block children keep compiled modules below a folder, where they may keep none otherwise."""
    if not sys.dont_write_bytecode:
        yield
        return
    before = {name: os.environ.pop(name, None) for name in (_FORBIDS, _WHERE)}
    os.environ[_WHERE] = str(folder)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def compiled_notes() -> tuple[str, ...]:
    """What to say of it in the measurement."""
    return (NOTE,) if sys.dont_write_bytecode else ()
