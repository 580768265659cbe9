"""Reads a bundle: size, signature, then decompression in bounds, then every member against the manifest.

Nothing is decompressed before its publisher is known, nothing is handed out before its hash is
checked, and nothing appears in the store before all of it is on the disk.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, NoReturn

from firmware_py.bundles.archive import MAX_ARCHIVE_BYTES, Reader
from firmware_py.bundles.verify import MAX_SIGNATURE_BYTES, Trust, check_archive, signature_path
from firmware_py.bundles.write import MANIFEST_NAME, sync_folder
from firmware_py.contracts.errors import (
    BundleCorruptError,
    BundleFormatError,
    BundleHashError,
    BundleMissingError,
    BundleTooLargeError,
    ConfigError,
)
from firmware_py.contracts.manifest import Manifest, parse_manifest

_log = logging.getLogger(__name__)

MAX_MANIFEST_BYTES = 4 * 2**20
_TEMPORARY = ".unpacking-"
_LOOK_S, _TELL_LOOKS = 0.05, 20  # how often a lock that another process holds is tried, and when we say so


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle in memory: `files` are its members by name, `head` is the manifest as archived."""

    manifest: Manifest
    sha256: str
    files: Mapping[str, bytes]
    head: bytes


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A verified bundle on the disk; graphs are mapped from `folder` by path.

    `mended`: put there anew just now, because what lay there was damaged: whatever ran before ran that.
    """

    folder: Path
    manifest: Manifest
    sha256: str
    mended: bool = field(default=False, compare=False)

    def path(self, name: str) -> Path:
        """Where a member lies."""
        return self.folder / name

    def read(self, name: str) -> bytes:
        """A member's bytes.

        Raises:
            BundleCorruptError: the unpacked file is gone.
        """
        return _load(self.folder / name)


def read_bundle(path: Path, trust: Trust) -> Bundle:
    """Read and verify a whole bundle into memory.

    Raises:
        BundleError: one code per fault; `docs/ref-bundle.md` lists them.
        KeyFileError: a key of the trust folder is unreadable.
    """
    archive, sha256 = load_archive(path, trust)
    files: dict[str, bytes] = {}
    reader = Reader(archive)
    head = _read_head(reader)
    manifest = _parse(head)

    def keep(name: str, chunks: Iterator[bytes]) -> None:
        files[name] = b"".join(chunks)

    _read_members(reader, manifest, keep)
    return Bundle(manifest, sha256, files, head)


def load_archive(path: Path, trust: Trust) -> tuple[bytes, str]:
    """The archive's bytes and SHA-256, after size and signature are checked; nothing is decompressed.

    Raises:
        BundleMissingError: no such file.
        BundleTooLargeError: over `MAX_ARCHIVE_BYTES`.
        BundleError: as `check_archive`.
    """
    try:
        with path.open("rb") as file:
            archive = file.read(MAX_ARCHIVE_BYTES + 1)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise BundleMissingError(msg) from error
    if len(archive) > MAX_ARCHIVE_BYTES:
        msg = f"{path} is over {MAX_ARCHIVE_BYTES} bytes"
        raise BundleTooLargeError(msg)
    signature: bytes | None
    beside = signature_path(path)
    try:
        with beside.open("rb") as file:
            signature = file.read(MAX_SIGNATURE_BYTES + 1)
    except FileNotFoundError:
        signature = None
    except OSError as error:
        msg = f"{beside} cannot be read: {error.strerror}"
        raise BundleMissingError(msg) from error
    return archive, check_archive(archive, signature, trust)


def unpack(bundle: Bundle | Path, trust: Trust, store: Path) -> Unpacked:
    """Put a verified bundle into `store/<sha256>/`; a second call finds it there.

    Safe against a crash at any moment and against other processes with the same store: members are
    written into a temporary folder, flushed, and the folder is renamed. The signature is over the archive,
    not over what is run: a stored folder counts only if its manifest is the archive's to the byte and every
    file has the hash that stands there; else it is made again, aloud.

    Raises:
        BundleError: one code per fault; `docs/ref-bundle.md` lists them.
        ConfigError: the store cannot be written.
    """
    source: Bundle | Reader
    if isinstance(bundle, Bundle):
        source, sha256, head = bundle, bundle.sha256, bundle.head
    else:
        archive, sha256 = load_archive(bundle, trust)
        source = Reader(archive)
        head = _read_head(source)
    wanted = Unpacked(store / sha256, _parse(head), sha256)
    try:
        store.mkdir(parents=True, exist_ok=True)
        with _locked(store):
            had = wanted.folder.is_dir()
            if _is_there(wanted, head):
                return wanted
            _unpack_into(store, wanted, head, source)
            return replace(wanted, mended=had)
    except OSError as error:
        msg = f"the model store {store} cannot be written: {error.strerror}"
        raise ConfigError(
            msg, hint="Give --store a writable folder with room for the unpacked model."
        ) from error


def check_folder(unpacked: Unpacked) -> None:
    """Hash every unpacked file again: a damaged card, or somebody's edit.

    Raises:
        BundleHashError: a file is not the manifest's.
        BundleCorruptError: a file is gone.
    """
    for member in unpacked.manifest.members():
        # Never more than the one byte that tells a longer file: who edited it chose its size.
        data = _load(unpacked.path(member.name), member.size_bytes + 1)
        if hashlib.sha256(data).hexdigest() != member.sha256:
            msg = f"the unpacked {member.name} was changed or damaged"
            raise BundleHashError(msg, hint=f"Delete {unpacked.folder}; the node unpacks the bundle again.")


def _is_there(wanted: Unpacked, head: bytes) -> bool:
    """Whether the store holds this bundle whole; a folder that was changed or damaged is deleted."""
    if not wanted.folder.is_dir():
        return False
    try:
        if _load(wanted.path(MANIFEST_NAME), len(head) + 1) == head:
            check_folder(wanted)
            return True
        reason = f"the unpacked {MANIFEST_NAME} was changed or damaged"
    except (BundleCorruptError, BundleHashError) as error:
        reason = error.message
    _log.warning("%s: %s is unpacked anew", reason, wanted.manifest.name)
    shutil.rmtree(wanted.folder)
    return False


def _unpack_into(store: Path, wanted: Unpacked, head: bytes, source: Bundle | Reader) -> None:
    """Write manifest and members; a reader stands behind its first entry, the manifest."""
    temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=store))
    try:
        if isinstance(source, Bundle):
            for name, data in source.files.items():
                _save(temporary / name, iter((data,)))
        else:
            _read_members(source, wanted.manifest, lambda name, chunks: _save(temporary / name, chunks))
        _save(temporary / MANIFEST_NAME, iter((head,)))
        sync_folder(temporary)
        temporary.chmod(0o755)
        temporary.rename(wanted.folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(store)


def _save(path: Path, chunks: Iterator[bytes]) -> None:
    with path.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o444)


def _load(path: Path, most_bytes: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most_bytes)
    except OSError as error:
        msg = f"the unpacked {path.name} cannot be read: {error.strerror}"
        raise BundleCorruptError(msg) from error


@contextmanager
def _locked(store: Path) -> Iterator[None]:
    """One process unpacks at a time; the kernel drops the lock of one that dies."""
    with (store / ".lock").open("wb") as lock:
        looks = 0
        while not _taken(lock):
            looks += 1
            if looks == _TELL_LOOKS:
                _log.warning("waiting for another process that unpacks into %s", store)
            # Not in the kernel for the lock: a signal that comes just before would not end that.
            time.sleep(_LOOK_S)
        for left in store.glob(f"{_TEMPORARY}*"):  # we hold the lock: whoever made it is dead
            shutil.rmtree(left, ignore_errors=True)
        yield


def _taken(lock: BinaryIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_head(reader: Reader) -> bytes:
    first = reader.entry()
    if first is None or first[0] != MANIFEST_NAME:
        msg = f"the archive does not begin with {MANIFEST_NAME}"
        raise BundleCorruptError(msg)
    if first[1] > MAX_MANIFEST_BYTES:
        msg = f"{MANIFEST_NAME} is over {MAX_MANIFEST_BYTES} bytes"
        raise BundleTooLargeError(msg)
    return b"".join(reader.chunks(first[1]))


def _parse(head: bytes) -> Manifest:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    try:
        manifest = parse_manifest(json.loads(head, parse_constant=refuse))
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        msg = f"{MANIFEST_NAME} is not valid JSON of the expected form"
        raise BundleFormatError(msg) from error
    if any(member.name == MANIFEST_NAME for member in manifest.members()):
        msg = f"the manifest lists a second {MANIFEST_NAME}"
        raise BundleFormatError(msg)
    return manifest


def _read_members(reader: Reader, manifest: Manifest, take: Callable[[str, Iterator[bytes]], None]) -> None:
    """Hand every member's chunks to `take`, in the manifest's order, hashing on the way."""
    for member in manifest.members():
        entry = reader.entry()
        if entry is None or entry[0] != member.name:
            msg = (
                f"the archive lacks {member.name}" if entry is None else f"{entry[0]} is not the next member"
            )
            raise BundleCorruptError(msg)
        if entry[1] != member.size_bytes:
            msg = f"{member.name} has {entry[1]} bytes, the manifest says {member.size_bytes}"
            raise BundleHashError(msg)
        digest = hashlib.sha256()
        take(member.name, _hashed(reader.chunks(entry[1]), digest))
        if digest.hexdigest() != member.sha256:
            msg = f"{member.name} is not the file that the manifest describes"
            raise BundleHashError(msg)
    if reader.entry() is not None:
        msg = "the archive holds more than the manifest lists"
        raise BundleCorruptError(msg)


def _hashed(chunks: Iterator[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
