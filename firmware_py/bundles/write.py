"""Writes a bundle: one content, one byte form; a file appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from firmware_py.bundles.archive import MAX_ARCHIVE_BYTES, MAX_UNPACKED_BYTES, pack
from firmware_py.contracts.errors import BundleFormatError, BundleHashError, BundleTooLargeError
from firmware_py.contracts.manifest import Manifest, Member, parse_manifest

MANIFEST_NAME = "manifest.json"


def member(name: str, data: bytes) -> Member:
    """The manifest's line for a file."""
    return Member(name, len(data), hashlib.sha256(data).hexdigest())


def manifest_bytes(manifest: Manifest) -> bytes:
    """The archived form: JSON with sorted keys, UTF-8.

    Raises:
        BundleFormatError: the manifest would not be read back to an equal value.
    """
    try:
        data = json.dumps(manifest.to_dict(), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
        same = parse_manifest(json.loads(data)) == manifest
    except (TypeError, ValueError) as error:
        msg = "the manifest holds what JSON cannot"
        raise BundleFormatError(msg) from error
    if not same:
        msg = "the manifest is not read back as it was written (lists where tuples belong, keys not strings)"
        raise BundleFormatError(msg)
    return (data + "\n").encode()


def write_bundle(path: Path, manifest: Manifest, files: Mapping[str, bytes]) -> str:
    """Write the archive and return its SHA-256 in hex.

    `files` are the manifest's members by name, no more and no fewer.

    Raises:
        BundleFormatError: a member is missing or not in the manifest, or the manifest is invalid.
        BundleHashError: a file's size or hash is not the manifest's.
        BundleTooLargeError: over the limits that readers keep.
    """
    members = manifest.members()
    names = [entry.name for entry in members]
    if MANIFEST_NAME in names or set(names) != set(files):
        odd = ", ".join(sorted(set(names) ^ set(files))) or MANIFEST_NAME
        msg = f"files and manifest differ: {odd}"
        raise BundleFormatError(msg)
    for entry in members:
        if member(entry.name, files[entry.name]) != entry:
            msg = f"{entry.name} is not the file that the manifest describes"
            raise BundleHashError(msg)
    head = manifest_bytes(manifest)
    unpacked = len(head) + sum(entry.size_bytes for entry in members)
    archive = pack([(MANIFEST_NAME, head), *((name, files[name]) for name in sorted(names))])
    if len(archive) > MAX_ARCHIVE_BYTES or unpacked + 1024 * (len(names) + 2) > MAX_UNPACKED_BYTES:
        msg = f"the bundle has {len(archive)} bytes and unpacks to {unpacked}"
        raise BundleTooLargeError(msg)
    write_atomic(path, archive)
    return hashlib.sha256(archive).hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write beside, flush to the disk, rename: a power cut leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, without which a rename may not survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
