"""The byte form of a bundle: USTAR members in one solid LZMA2 stream, one byte form for one content.

Every header is the one that `header(name, size)` makes - regular file, mode 0644, owner 0, time 0 -
so a reader takes name and size out of a header and compares the rest: links, folders, devices, long
names and extensions are refused because they have no such header. One solid stream with a dictionary
as large as the content stores buffers that several graphs share once. Format: `docs/ref-bundle.md`.
"""

from __future__ import annotations

import lzma
import re
import tarfile
from collections.abc import Iterable, Iterator
from typing import Any

from firmware_py.contracts.errors import BundleCorruptError, BundleTooLargeError, BundleTruncatedError

MAX_ARCHIVE_BYTES = 64 * 2**20
MAX_UNPACKED_BYTES = 512 * 2**20
MAX_DICT_BYTES = 64 * 2**20
MIN_DICT_BYTES = 2**20
MEMORY_LIMIT_BYTES = MAX_DICT_BYTES + 8 * 2**20  # the decoder needs the dictionary and some 40 KiB
BLOCK = 512  # USTAR record, POSIX.1-1988
CHUNK_BYTES = 256 * 1024
_NAME = re.compile(rb"[a-z0-9][a-z0-9._-]{0,99}")


def header(name: str, size_bytes: int) -> bytes:
    """The one 512-byte header of a member of this name and size."""
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    info.mode = 0o644
    return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def pack(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Members, in the order given, as archive bytes; the same members give the same bytes."""
    parts: list[bytes] = []
    for name, data in members:
        parts += [header(name, len(data)), data, bytes(-len(data) % BLOCK)]
    parts.append(bytes(2 * BLOCK))
    content = b"".join(parts)
    dictionary = MIN_DICT_BYTES
    while dictionary < min(len(content), MAX_DICT_BYTES):
        dictionary *= 2
    # All fields are spelled out: a preset means other things in other versions of liblzma.
    filters: list[dict[str, Any]] = [
        {
            "id": lzma.FILTER_LZMA2,
            "dict_size": dictionary,
            "lc": 3,
            "lp": 0,
            "pb": 2,
            "mode": lzma.MODE_NORMAL,
            "nice_len": 273,
            "mf": lzma.MF_BT4,
            "depth": 512,
        }
    ]
    return lzma.compress(content, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=filters)


class Reader:
    """Walks an archive front to back in bounded memory: `entry`, then its `chunks`, then the next."""

    def __init__(self, archive: bytes) -> None:
        self._archive = memoryview(archive)
        self._offset = 0
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, MEMORY_LIMIT_BYTES)
        self._buffer = b""
        self.produced_bytes = 0

    def entry(self) -> tuple[str, int] | None:
        """Name and size of the next member, or None after the last.

        Raises:
            BundleCorruptError: not an archive of this form.
            BundleTruncatedError: the archive ends before its end mark.
            BundleTooLargeError: it unpacks to more than `MAX_UNPACKED_BYTES`.
        """
        block = self._take(BLOCK)
        if block == bytes(BLOCK):
            self._finish()
            return None
        raw_name, raw_size = block[:100].rstrip(b"\0"), block[124:135]
        if not _NAME.fullmatch(raw_name) or not re.fullmatch(rb"[0-7]{11}", raw_size):
            msg = "a member of the archive has a forbidden name or size"
            raise BundleCorruptError(msg)
        name, size = raw_name.decode("ascii"), int(raw_size, 8)
        if block != header(name, size):
            msg = f"the archive's header of {name} is not in the one allowed form"
            raise BundleCorruptError(msg)
        return name, size

    def chunks(self, size_bytes: int) -> Iterator[bytes]:
        """The body of the member whose entry was just read, in pieces of at most `CHUNK_BYTES`."""
        left = size_bytes
        while left:
            piece = self._take(min(left, CHUNK_BYTES))
            left -= len(piece)
            yield piece
        if any(self._take(-size_bytes % BLOCK)):
            msg = "the padding of a member is not empty"
            raise BundleCorruptError(msg)

    def _finish(self) -> None:
        """Nothing may follow the end mark: not in the tar, not behind the xz stream."""
        tail_empty = self._take(BLOCK) == bytes(BLOCK) and not self._buffer
        if not self._decoder.eof:
            tail_empty = tail_empty and not self._decode()
        if not tail_empty or self._offset != len(self._archive) or self._decoder.unused_data:
            msg = "bytes follow the archive's end mark"
            raise BundleCorruptError(msg)
        if not self._decoder.eof:
            msg = "the archive is cut short"
            raise BundleTruncatedError(msg)

    def _take(self, count: int) -> bytes:
        """Exactly `count` decompressed bytes."""
        while len(self._buffer) < count:
            # No further than asked: who reads the manifest of a bundle that lies unpacked reads nothing behind it.
            piece = self._decode(min(count - len(self._buffer), CHUNK_BYTES))
            if not piece:
                msg = "the archive is cut short"
                raise BundleTruncatedError(msg)
            self._buffer += piece
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _decode(self, most_bytes: int = CHUNK_BYTES) -> bytes:
        """Some more decompressed bytes; empty at the end of the input."""
        while not self._decoder.eof:
            feed = b""
            if self._decoder.needs_input:
                feed = bytes(self._archive[self._offset : self._offset + CHUNK_BYTES])
                self._offset += len(feed)
            try:
                piece = self._decoder.decompress(feed, most_bytes)
            except (lzma.LZMAError, EOFError) as error:
                # liblzma says "Memory usage limit was exceeded" for a dictionary over the limit.
                if "emory" in str(error):
                    msg = "the archive asks for more memory than a bundle may"
                    raise BundleTooLargeError(msg) from error
                msg = "the archive is not a readable xz stream"
                raise BundleCorruptError(msg) from error
            self.produced_bytes += len(piece)
            if self.produced_bytes > MAX_UNPACKED_BYTES:
                msg = f"the archive unpacks to more than {MAX_UNPACKED_BYTES} bytes"
                raise BundleTooLargeError(msg)
            if piece:
                return piece
            if not feed and self._decoder.needs_input:
                return b""
        return b""
