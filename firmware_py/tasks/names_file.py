"""The names file on the disk: read strictly at the start, read again when it changes, never in a request's way."""

from __future__ import annotations

import errno
import json
import logging
import os
import stat
import threading
import tomllib
from pathlib import Path
from typing import Any, NoReturn

from firmware_py.contracts.errors import NamesError
from firmware_py.tasks.names import Names, parse_names

_log = logging.getLogger(__name__)

MAX_BYTES = 4 * 2**20
LOOK_S = 2.0  # a change is taken when two looks in a row find the same file: no editor is read half-way

_LAST_LOOK_S = 2.0  # a disk that hangs does not keep the node from stopping

_Mark = tuple[int, int, int]


def load_names(path: Path, version: int = 0) -> Names:
    """Read a names file, JSON where its name ends in `.json`, else TOML.

    Raises:
        NamesError: unreadable, too large, or of another form.
    """
    try:
        with open(path, "rb", opener=_opened) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise NamesError(msg) from error
    if len(data) > MAX_BYTES:
        msg = f"{path} is over {MAX_BYTES} bytes"
        raise NamesError(msg)
    return parse_names(_decode(path, data), path.name, version)


def _opened(path: str, flags: int) -> int:
    """Without waiting for who writes into a pipe: only what lies on a disk is a names file."""
    number = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return number


def _decode(path: Path, data: bytes) -> Any:
    def twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("a key stands twice")
        return dict(pairs)

    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    is_json = path.suffix.lower() == ".json"
    try:
        text = data.decode("utf-8-sig")
        if is_json:
            found = json.loads(text, object_pairs_hook=twice, parse_constant=refuse)
            json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair could not be sent
            return found
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{path.name} is not {'JSON' if is_json else 'TOML'}: {error}"
        raise NamesError(msg) from error


class NamesFile:
    """The names as they stand in a file now; `current` is swapped whole, so readers need no lock."""

    __slots__ = ("_mark", "_path", "_seen", "_stop", "_thread", "current")

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            NamesError: it cannot be used; a node does not start with names that nobody would find.
        """
        self._path = path
        self._mark = self._seen = _mark(path)
        self.current = load_names(path)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self) -> bool:
        """Take a changed file; a broken one is said once and the names before it stay. True when taken."""
        mark = _mark(self._path)
        settled, self._seen = mark == self._seen, mark
        if not settled or mark == self._mark:
            return False
        self._mark = mark
        try:
            self.current = load_names(self._path, self.current.version + 1)
        except NamesError as error:
            _log.warning("the names stay as they were: %s", error)
            return False
        _log.info("%d names from %s", len(self.current.entries), self._path.name)
        return True

    def watch(self) -> None:
        """Look every `LOOK_S` seconds, on a thread of its own, until closed."""
        self._thread = threading.Thread(target=self._watch, name="names", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking; a second call does nothing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_LAST_LOOK_S)
            self._thread = None

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.look()


def _mark(path: Path) -> _Mark:
    """What tells two states of a file apart; zeros while it is absent."""
    try:
        found = os.stat(path)  # noqa: PTH116 - follows the link that a configuration manager swaps
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)
