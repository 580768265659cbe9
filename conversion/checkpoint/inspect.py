"""What a checkpoint folder holds, and whether it can be read here: found out before anything is computed.

The tokenizer's file is found here and opened in `tokenizer.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from conversion.checkpoint.families import CONFIG, Architecture, read_architecture, wanted
from conversion.checkpoint.shards import SCALE, Entry, Shards, check_finite, is_scaled, open_shards
from conversion.data.digests import found_sha256
from firmware_py.contracts.errors import (
    CheckpointIncompleteError,
    CheckpointInvalidError,
    CheckpointUnsupportedError,
    DataMissingError,
    ResourcesShortError,
)

TOKENS_A_BATCH = 2048  # padded ones
FIXED_BYTES = 300 * 2**20  # of the process beside weights and activations
LOOKED_AT = 2000  # tensors of a first look, some seconds: a layer of 256 experts alone has 768
VOCABULARY, TOKENIZER_SETTINGS = "vocab.txt", "tokenizer_config.json"
_EXACT = {"F64", "F32", "F16", "BF16"}
_FLOATS = {*_EXACT, "F8_E4M3"}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder that has everything.

    `tensors` are those that are read, scales among them; `layer_parameters` is of the largest layer, `size_bytes` of
    all shards.
    """

    folder: Path
    architecture: Architecture
    shards: Shards
    tensors: tuple[str, ...]
    prefix: str
    tokenizer: Path
    parameters: int
    layer_parameters: int
    largest_tensor: int
    size_bytes: int

    def memory_bytes(self, dtype: torch.dtype) -> int:
        """What reading needs at once: the largest layer, one more tensor of it as stored, one batch."""
        raw = self.architecture.raw
        size = torch.finfo(dtype).bits // 8
        inner = int(raw.get("intermediate_size") or 4 * self.architecture.width)
        rows = TOKENS_A_BATCH * (12 * self.architecture.width + 4 * inner) * 4
        return self.layer_parameters * size + self.largest_tensor * 8 + rows + FIXED_BYTES

    def key(self) -> dict[str, Any]:
        """What the teaching depends on: the weights, and each file that decides what they say of a text."""
        files = {CONFIG, self.tokenizer.name, VOCABULARY, TOKENIZER_SETTINGS}
        return {"weights": self.shards.fingerprint(), **found_sha256(self.folder, sorted(files))}

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        architecture = self.architecture
        return {
            "folder": self.folder.name,
            "architecture": architecture.name,
            "layers": architecture.layers,
            "hidden_size": architecture.width,
            "parameters_without_embeddings": self.parameters,
            "tokenizer": self.tokenizer.name,
            "shards": len(self.shards.files),
            "bytes": self.size_bytes,
            "sha256_of_headers_and_samples": self.shards.fingerprint(),
        }


def inspect(folder: Path) -> Checkpoint:
    """Hold configuration and headers against what the architecture needs; reads no weights.

    Raises:
        DataMissingError: there is no such folder.
        CheckpointIncompleteError: a shard, a tensor, the configuration or the tokenizer is missing or cut short.
        CheckpointInvalidError: a file is not what its format says, or a tensor has another shape.
        CheckpointUnsupportedError: another architecture, pickled or otherwise quantised weights.
    """
    if not folder.is_dir():
        msg = f"there is no checkpoint folder {folder}"
        raise DataMissingError(msg, hint="Give --checkpoint the folder that holds config.json.")
    architecture = read_architecture(folder)
    shards = open_shards(folder, architecture.block)
    tokenizer = find_tokenizer(folder)
    prefix = architecture.family.prefix
    if not any(name.startswith(prefix + architecture.family.embedding) for name in shards.entries):
        prefix = ""  # saved without a head
    needed = dict(_needed(architecture, prefix))
    found = _found(shards, needed)
    sizes: dict[int, int] = {}
    for name, (layer, shape) in needed.items():
        _check_tensor(name, found[name], shape)
        if is_scaled(found[name]):
            _check_scales(name + SCALE, found[name + SCALE], shards.scales(found[name]))
        sizes[layer] = sizes.get(layer, 0) + _count(shape)
    return Checkpoint(
        folder=folder,
        architecture=architecture,
        shards=shards,
        tensors=tuple(found),
        prefix=prefix,
        tokenizer=tokenizer,
        parameters=sum(size for layer, size in sizes.items() if layer >= 0),
        layer_parameters=max(
            size for layer, size in sizes.items() if layer >= 0 or not architecture.family.causal
        ),
        largest_tensor=max(_count(shape) for layer, shape in needed.values() if layer >= 0),
        size_bytes=sum(path.stat().st_size for path in shards.files),
    )


def check_values(checkpoint: Checkpoint, *, whole: bool) -> None:
    """Look whether weights are finite numbers: at all of them, or at a few of each of at most `LOOKED_AT` tensors.

    Raises:
        CheckpointInvalidError: one is not; the message names its tensor.
    """
    shards, names = checkpoint.shards, checkpoint.tensors
    for name in names if whole else names[:: -(-len(names) // LOOKED_AT)]:
        check_finite(name, shards.read(name) if whole else shards.sample(name))


def arithmetic(checkpoint: Checkpoint, available_bytes: int | None = None) -> torch.dtype:
    """float32 where the largest layer fits so, else bfloat16.

    Raises:
        ResourcesShortError: it does not fit either way.
    """
    free = free_memory_bytes() if available_bytes is None else available_bytes
    for dtype in (torch.float32, torch.bfloat16):
        if checkpoint.memory_bytes(dtype) <= free:
            return dtype
    need = checkpoint.memory_bytes(torch.bfloat16)
    msg = f"reading the largest layer needs {need / 1e9:.2f} GB of memory, {free / 1e9:.2f} GB are free"
    raise ResourcesShortError(msg)


def check_disk(folder: Path, need_bytes: int) -> None:
    """Refuse what would fill the disk; the folder need not be there yet, and what lies in it may be written over.

    Raises:
        ResourcesShortError: fewer bytes are free.
    """
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    free = shutil.disk_usage(there).free + sum(path.stat().st_blocks * 512 for path in folder.glob("*"))
    if need_bytes > free:
        msg = f"what is kept of the checkpoint needs {need_bytes / 1e9:.2f} GB of disk at {there}, {free / 1e9:.2f} GB are free"
        raise ResourcesShortError(msg)


def free_memory_bytes(proc: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int:
    """What the kernel calls available, or less where a control group allows less."""
    lines = dict(line.split(":", 1) for line in proc.read_text("utf-8").splitlines() if ":" in line)
    free = int(lines["MemAvailable"].split()[0]) * 1024
    try:
        bound = (group / "memory.max").read_text("ascii").strip()
        used = int((group / "memory.current").read_text("ascii"))
    except (OSError, ValueError):
        return free
    return free if bound == "max" else max(0, min(free, int(bound) - used))


def find_tokenizer(folder: Path) -> Path:
    """`tokenizer.json`, else BERT's `vocab.txt`.

    Raises:
        CheckpointIncompleteError: neither is there.
    """
    for name in ("tokenizer.json", VOCABULARY):
        if (folder / name).is_file():
            return folder / name
    msg = f"there is no tokenizer in {folder}: neither tokenizer.json nor vocab.txt"
    raise CheckpointIncompleteError(msg)


def _found(shards: Shards, needed: Iterable[str]) -> dict[str, Entry]:
    """Every needed tensor and the scales of those that are float8, by the name they are read by.

    Raises:
        CheckpointIncompleteError: some are not there.
    """
    entries = {name: shards.find(name) for name in needed}
    scaled = [name + SCALE for name, entry in entries.items() if entry is not None and is_scaled(entry)]
    entries |= {name: shards.find(name) for name in scaled}
    lost = [name for name, entry in entries.items() if entry is None]
    if lost:
        msg = f"{len(lost)} of {len(entries)} tensors are missing: {', '.join(lost[:3])}{' …' if lost[3:] else ''}"
        raise CheckpointIncompleteError(msg)
    return {name: entry for name, entry in entries.items() if entry is not None}


def _needed(architecture: Architecture, prefix: str) -> Iterator[tuple[str, tuple[int, tuple[int, ...]]]]:
    """Every tensor that reading needs: its name, its layer (-1: embeddings, -2: the last norm), its shape."""
    family, by_kind = architecture.family, {}
    for layer in range(architecture.layers):
        kind = architecture.kind(layer)
        if kind not in by_kind:
            model = architecture.one_layer(layer)
            by_kind[kind] = wanted(model.get_submodule(family.layers)[0], "")
            if len(by_kind) == 1:
                yield from (
                    (name, (-1, shape))
                    for name, shape in wanted(
                        model.get_submodule(family.embedding), f"{prefix}{family.embedding}."
                    ).items()
                )
                if family.causal:
                    yield f"{prefix}norm.weight", (-2, tuple(model.norm.weight.shape))
        for name, shape in by_kind[kind].items():
            yield f"{prefix}{family.layers}.{layer}.{name}", (layer, shape)


def _check_tensor(name: str, found: Entry, needed: tuple[int, ...]) -> None:
    if found.shape != needed:
        msg = f"{name} has shape {list(found.shape)}, the configuration asks for {list(needed)}"
        raise CheckpointInvalidError(msg)
    if found.dtype not in _FLOATS or (is_scaled(found) and len(needed) != 2):
        msg = f"{name} {list(needed)} is stored as {found.dtype}"
        raise CheckpointUnsupportedError(msg)


def _check_scales(name: str, found: Entry, needed: tuple[int, int]) -> None:
    if found.shape != needed:
        msg = f"{name} has shape {list(found.shape)}, the weight's blocks ask for {list(needed)}"
        raise CheckpointInvalidError(msg)
    if found.dtype not in _EXACT:
        msg = f"{name} is stored as {found.dtype}"
        raise CheckpointUnsupportedError(msg)


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total
