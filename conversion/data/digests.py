"""SHA-256 of files: what a report says of its sources, and what a step's key is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def file_sha256(path: Path) -> str:
    """The digest in hex.

    Raises:
        OSError: the file cannot be read.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lines_sha256(lines: Iterable[str]) -> str:
    """The digest in hex of texts, one a line."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def found_sha256(folder: Path | None, names: Iterable[str]) -> dict[str, str | None]:
    """The digest of each named file below a folder; None for one that is not there."""
    paths = {name: (folder or Path()) / name for name in names}
    there = {name for name, path in paths.items() if folder is not None and path.is_file()}
    return {name: file_sha256(path) if name in there else None for name, path in paths.items()}
