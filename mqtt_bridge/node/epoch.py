"""A node's epoch: a number that grows with every start, so that an old will is told from a new life."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from firmware_py.bundles.write import write_atomic
from firmware_py.contracts.clock import Clock
from firmware_py.contracts.errors import ConfigError

_log = logging.getLogger(__name__)

_MOST = 2**53 - 2  # what JSON keeps exact, less the step to the next


def next_epoch(clock: Clock, folder: Path | None) -> int:
    """Milliseconds since 1970, but more than the last one in `<folder>/epoch`, which is then replaced.

    Boards without a battery clock start in the past: there the file alone keeps the order. Without
    a folder the clock alone does, and for this life also where the file cannot be replaced any more: a full disk or
    a card that went read-only must not keep a node down. What is no epoch in the file is not believed.

    Raises:
        ConfigError: the folder could never be written.
    """
    now = int(clock.utc().timestamp() * 1000.0)
    if folder is None:
        return now
    path = folder / "epoch"
    last = 0
    with contextlib.suppress(OSError, ValueError):
        last = int(path.read_text(encoding="ascii"))
    epoch = max(now, last + 1 if 0 <= last <= _MOST else 0)
    try:
        write_atomic(path, f"{epoch}\n".encode("ascii"))
    except OSError as error:
        if path.exists():
            _log.warning(
                "%s cannot be replaced (%s): the next start may take this epoch again", path, error.strerror
            )
            return epoch
        msg = f"the state folder {folder} cannot be written"
        raise ConfigError(msg, hint="Give a writable folder with --state.") from error
    return epoch
