"""A node's epoch: a number that grows with every start, so that an old will is told from a new life."""

from __future__ import annotations

import contextlib
from pathlib import Path

from firmware_py.bundles.write import write_atomic
from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import ConfigError


def next_epoch(clock: Clock, folder: Path | None) -> int:
    """Milliseconds since 1970, but more than the last one in `<folder>/epoch`, which is then replaced.

    Boards without a battery clock start in the past: there the file alone keeps the order. Without
    a folder the clock alone does.

    Raises:
        ConfigError: the folder cannot be written.
    """
    now = int(clock.utc().timestamp() * 1000.0)
    if folder is None:
        return now
    path = folder / "epoch"
    last = 0
    with contextlib.suppress(OSError, ValueError):
        last = int(path.read_text(encoding="ascii"))
    epoch = max(now, last + 1)
    try:
        write_atomic(path, f"{epoch}\n".encode("ascii"))
    except OSError as error:
        msg = f"the state folder {folder} cannot be written"
        raise ConfigError(msg, hint="Give a writable folder with --state.") from error
    return epoch
