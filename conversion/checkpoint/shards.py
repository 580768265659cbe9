"""The tensors of a checkpoint folder: safetensors files by name, nothing read before it is asked for.

Format (github.com/huggingface/safetensors, "Format"): 8 bytes little-endian n, n bytes of JSON that map a
name to dtype, shape and data offsets, then the data. Headers are held against the files' sizes at once, so
that a shard that was cut short is found before anything is computed. Pickled weights are never opened:
loading them would run their author's code.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from firmware_py.contracts.errors import (
    CheckpointIncompleteError,
    CheckpointInvalidError,
    CheckpointUnsupportedError,
)

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
MAX_HEADER_BYTES = 100_000_000  # the format's own bound
MAX_INDEX_BYTES = 64 * 2**20  # DeepSeek-V3's has 9 MB
_SAMPLES, _SAMPLE_BYTES = 16, 4096  # of each shard, for the fingerprint
_DTYPES: dict[str, tuple[torch.dtype, int]] = {
    "F64": (torch.float64, 8), "F32": (torch.float32, 4), "F16": (torch.float16, 2), "BF16": (torch.bfloat16, 2),
    "F8_E4M3": (torch.float8_e4m3fn, 1), "F8_E5M2": (torch.float8_e5m2, 1),
    "I64": (torch.int64, 8), "I32": (torch.int32, 4), "I16": (torch.int16, 2), "I8": (torch.int8, 1),
    "U8": (torch.uint8, 1), "BOOL": (torch.bool, 1),
}  # fmt: skip
SCALE = "_scale_inv"  # DeepSeek-V3's float8 weights: one factor for each block of 128 x 128


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one tensor lies: file, dtype as written, shape, first byte, bytes."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    size_bytes: int


class Shards:
    """All tensors of a folder by name."""

    def __init__(self, files: Sequence[Path], entries: Mapping[str, Entry], block: tuple[int, int]) -> None:
        """Take what `open_shards` found; `block` is the float8 scales' block."""
        self.files = tuple(files)
        self.entries = entries
        self._block = block

    def find(self, name: str) -> Entry | None:
        """The tensor's entry; BERT's first checkpoints call a norm's weight and bias gamma and beta."""
        older = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        )
        return self.entries.get(name) or self.entries.get(older)

    def read(self, name: str) -> Tensor:
        """The whole tensor, float8 blocks multiplied out to float32.

        Raises:
            CheckpointIncompleteError: it is not there, or lacks its scales.
        """
        entry = self._need(name)
        data = np.fromfile(entry.file, np.uint8, entry.size_bytes, offset=entry.start)
        if len(data) != entry.size_bytes:
            msg = f"{entry.file.name} became shorter while it was read"
            raise CheckpointIncompleteError(msg)
        tensor = torch.from_numpy(data).view(_DTYPES[entry.dtype][0]).reshape(entry.shape)
        if not is_scaled(entry):
            return tensor
        factor = self.read(name + SCALE).float()
        for axis, step in enumerate(self._block):
            factor = factor.repeat_interleave(step, axis)
        return tensor.float() * factor[: tensor.shape[0], : tensor.shape[1]]

    def scales(self, entry: Entry) -> tuple[int, int]:
        """The shape that a float8 matrix's scales must have: one for each block, the last ones cut short."""
        (rows, columns), (high, wide) = entry.shape, self._block
        return -(-rows // high), -(-columns // wide)

    def rows(self, name: str, numbers: Sequence[int]) -> Tensor:
        """Some rows of a matrix as float32, in the order asked: an embedding table never lies in memory."""
        entry = self._need(name)
        table = np.memmap(
            entry.file, np.uint8, "r", entry.start, (entry.shape[0], entry.size_bytes // entry.shape[0])
        )
        picked = torch.from_numpy(np.ascontiguousarray(table[np.asarray(numbers, np.intp)]))
        rows = picked.view(_DTYPES[entry.dtype][0]).float()
        if not is_scaled(entry):
            return rows
        factor = self.read(name + SCALE).float()[torch.tensor(numbers) // self._block[0]]
        return rows * factor.repeat_interleave(self._block[1], 1)[:, : rows.shape[1]]

    def sample(self, name: str, piece_bytes: int = _SAMPLE_BYTES) -> Tensor:
        """Some values of a tensor as they are stored, in float32: of its beginning, its middle and its end."""
        entry = self._need(name)
        dtype, size = _DTYPES[entry.dtype]
        values, piece = entry.size_bytes // size, piece_bytes // size
        starts = {max(0, (values - piece) * part // 2) for part in range(3)}
        read = [
            np.fromfile(entry.file, np.uint8, min(piece, values) * size, offset=entry.start + start * size)
            for start in sorted(starts)
        ]
        return torch.from_numpy(np.concatenate(read)).view(dtype).float()

    def fingerprint(self) -> str:
        """SHA-256 over sizes, headers and samples of every shard: a whole read would take hours."""
        digest = hashlib.sha256()
        for path in self.files:
            size = path.stat().st_size
            digest.update(f"{path.name} {size}\n".encode())
            with path.open("rb") as file:
                head = int.from_bytes(file.read(8), "little")
                digest.update(file.read(head))
                for number in range(_SAMPLES):
                    file.seek(8 + head + (size - 8 - head) * number // _SAMPLES)
                    digest.update(file.read(_SAMPLE_BYTES))
        return digest.hexdigest()

    def _need(self, name: str) -> Entry:
        entry = self.find(name)
        if entry is None:
            msg = f"the checkpoint has no tensor {name}"
            raise CheckpointIncompleteError(msg)
        return entry


def check_finite(name: str, tensor: Tensor) -> None:
    """Refuse weights that are no numbers: what they say would be none either, which shows hours later.

    Raises:
        CheckpointInvalidError: one is NaN or infinite.
    """
    # Least and greatest: no copy is made, and NaN is both.
    if tensor.numel() and not torch.isfinite(torch.stack(torch.aminmax(tensor))).all():
        msg = f"{name} has a value that is no finite number"
        raise CheckpointInvalidError(msg, hint="Get the shard again, or another checkpoint of the training.")


def is_scaled(entry: Entry) -> bool:
    """Whether the tensor is float8, which says nothing without its scales."""
    return entry.dtype.startswith("F8")


def open_shards(folder: Path, block: tuple[int, int] = (128, 128)) -> Shards:
    """Read index and headers, and hold them against the files.

    Raises:
        CheckpointIncompleteError: no weights, a shard is missing or cut short.
        CheckpointInvalidError: an index or header is not what the format says.
        CheckpointUnsupportedError: the weights are pickled.
    """
    files = [folder / name for name in _listed(folder)]
    lost = [path.name for path in files if not path.is_file()]
    if lost:
        msg = (
            f"{len(lost)} of {len(files)} shards are missing: {', '.join(lost[:3])}{' …' if lost[3:] else ''}"
        )
        raise CheckpointIncompleteError(msg)
    entries: dict[str, Entry] = {}
    for path in files:
        entries |= read_header(path)
    return Shards(files, entries, block)


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of one file.

    Raises:
        CheckpointIncompleteError: the file ends before its last tensor does.
        CheckpointInvalidError: the header is not the format's.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            if length > MAX_HEADER_BYTES:
                msg = f"{path.name} is not a safetensors file"
                raise CheckpointInvalidError(msg)
            msg = f"{path.name} is cut short: it has {size} bytes, its header alone {length + 8}"
            raise CheckpointIncompleteError(msg)
        if length > MAX_HEADER_BYTES:
            msg = f"the header of {path.name} has {length} bytes, the format allows {MAX_HEADER_BYTES}"
            raise CheckpointInvalidError(msg)
        raw = load_json(file.read(length), path.name)
    raw.pop("__metadata__", None)
    entries = {str(name): _entry(path, str(name), item, 8 + length) for name, item in raw.items()}
    end = max((entry.start + entry.size_bytes for entry in entries.values()), default=0)
    if end > size:
        msg = f"{path.name} is cut short: it has {size} of {end} bytes"
        raise CheckpointIncompleteError(msg)
    return entries


def load_json(data: bytes, name: str) -> dict[str, Any]:
    """One JSON object.

    Raises:
        CheckpointInvalidError: it is something else.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        msg = f"{name} is not readable as JSON"
        raise CheckpointInvalidError(msg) from error
    if not isinstance(found, dict):
        msg = f"{name} is not a JSON object"
        raise CheckpointInvalidError(msg)
    return found


def _listed(folder: Path) -> list[str]:
    """File names of all shards, none with a folder in it."""
    index = folder / INDEX
    if not index.is_file():
        if (folder / SINGLE).is_file():
            return [SINGLE]
        if any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth")):
            msg = "the weights are pickled, which runs their author's code on loading"
            raise CheckpointUnsupportedError(
                msg, hint="Save them as safetensors where you trust them: `model.save_pretrained(DIR)`."
            )
        msg = f"there is neither {INDEX} nor {SINGLE} in {folder}"
        raise CheckpointIncompleteError(msg)
    if index.stat().st_size > MAX_INDEX_BYTES:
        msg = f"{INDEX} is larger than {MAX_INDEX_BYTES} bytes"
        raise CheckpointInvalidError(msg)
    table = load_json(index.read_bytes(), INDEX).get("weight_map")
    if not isinstance(table, dict) or not table:
        msg = f"{INDEX} has no weight_map"
        raise CheckpointInvalidError(msg)
    names = sorted({str(name) for name in table.values()})
    strange = [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]
    if strange:
        msg = f"{INDEX} names {strange[0][:80]!r}, which is no safetensors file of this folder"
        raise CheckpointInvalidError(msg)
    return names


def _entry(path: Path, name: str, item: Any, base: int) -> Entry:
    try:
        dtype, shape, (start, end) = str(item["dtype"]), tuple(item["shape"]), item["data_offsets"]
        whole = all(type(number) is int and number >= 0 for number in (*shape, start, end))
        right = whole and end - start == math.prod(shape) * _DTYPES[dtype][1]
    except (KeyError, TypeError, ValueError):
        right = False
    if not right:
        msg = f"{path.name}: the header's line for {name[:100]} is not the format's"
        raise CheckpointInvalidError(msg)
    return Entry(path, dtype, shape, base + start, end - start)
