"""What a checkpoint makes of texts: one mean row a text behind some of its layers, kept on disk.

The key is of everything that the rows depend on - weights, tokenizer, texts, arithmetic - so a second call
reads the file, and a call after an interruption goes on with the layer at hand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from conversion.checkpoint.inspect import TOKENIZER_SETTINGS, VOCABULARY, Checkpoint, arithmetic, check_disk
from conversion.checkpoint.layers import (
    Reading,
    Tell,
    Texts,
    embed,
    mean_rows,
    order_by_length,
    run_layer,
)
from conversion.checkpoint.tokenizer import encode, longest

DEPTHS = 4  # that the probe may choose from, evenly spaced, the last layer among them
VERSION = 1  # of what is kept


@dataclass(frozen=True, slots=True)
class Heard:
    """Mean rows float32 [D,N,d] of N texts in their order behind D depths (numbers of layers)."""

    rows: npt.NDArray[Any]
    depths: tuple[int, ...]
    arithmetic: str


def listen_checkpoint(
    checkpoint: Checkpoint, texts: Sequence[str], cache: Path, tell: Tell = lambda _: None
) -> Heard:
    """Read the checkpoint over the texts, layer by layer, or take what an earlier call kept.

    Raises:
        CiuicError: its tokenizer cannot be opened, or memory or disk is too small, before anything is computed.
    """
    depths = chosen_depths(checkpoint.architecture.layers)
    for name in ("float32", "bfloat16"):  # what is kept needs no memory
        kept = _kept(cache / _key(checkpoint, texts, name), depths)
        if all(path.is_file() for path in kept):
            break
    else:
        dtype = arithmetic(checkpoint)
        name = str(dtype).removeprefix("torch.")
        place = cache / _key(checkpoint, texts, name)
        kept = _kept(place, depths)
        ids = encode(checkpoint, texts)
        order = order_by_length(ids)
        reading = Reading(checkpoint, dtype, Texts(tuple(ids[number] for number in order)), place)
        check_disk(place, disk_bytes(checkpoint, int(reading.texts.starts[-1]), len(texts)))
        place.mkdir(parents=True, exist_ok=True)
        _read(reading, order, dict(zip(depths, kept, strict=True)), tell)
    tell(1.0)
    return Heard(np.stack([np.load(path) for path in kept]), depths, name)


def disk_bytes(checkpoint: Checkpoint, tokens: int, texts: int) -> int:
    """What reading so many tokens of so many texts keeps at once: the rows of two layers, the mean rows of all depths."""
    depths = len(chosen_depths(checkpoint.architecture.layers))
    return 4 * checkpoint.architecture.width * (2 * tokens + depths * texts)


def chosen_depths(layers: int) -> tuple[int, ...]:
    """Up to `DEPTHS` numbers of layers, evenly spaced: a decoder's middle often knows more than its end."""
    return tuple(sorted({max(1, round(layers * (number + 1) / DEPTHS)) for number in range(DEPTHS)}))


def _kept(place: Path, depths: Sequence[int]) -> list[Path]:
    return [place / f"mean-{depth:03}.npy" for depth in depths]


def _read(reading: Reading, order: Sequence[int], kept: dict[int, Path], tell: Tell) -> None:
    layers = reading.checkpoint.architecture.layers
    done = reading.done()
    # A file of rows that is further than a mean row that is still missing cannot be gone back from.
    if done is None or any(depth < done and not path.is_file() for depth, path in kept.items()):
        for path in reading.folder.glob("rows-*"):
            path.unlink()
        embed(reading)
        done = 0
    for layer in range(done, layers):
        _keep(reading, layer, order, kept)
        run_layer(reading, layer, lambda share, layer=layer: tell((layer + share) / layers))  # type: ignore[misc]
    _keep(reading, layers, order, kept)
    for path in reading.folder.glob("rows-*"):
        path.unlink()


def _keep(reading: Reading, depth: int, order: Sequence[int], kept: dict[int, Path]) -> None:
    """Write the mean rows behind so many layers in the texts' own order, if they are asked for."""
    path = kept.get(depth)
    if path is None or path.is_file():
        return
    rows = mean_rows(reading, depth)
    out = np.empty_like(rows)
    out[np.asarray(order)] = rows
    part = path.with_suffix(".part.npy")
    np.save(part, out)
    part.replace(path)


def _key(checkpoint: Checkpoint, texts: Sequence[str], arithmetic_name: str) -> str:
    digest = hashlib.sha256(checkpoint.shards.fingerprint().encode())
    digest.update(json.dumps(dict(checkpoint.architecture.raw), sort_keys=True).encode())
    digest.update(checkpoint.tokenizer.read_bytes())
    settings = checkpoint.folder / TOKENIZER_SETTINGS
    if checkpoint.tokenizer.name == VOCABULARY and settings.is_file():
        digest.update(settings.read_bytes())  # says how a bare vocabulary is read
    digest.update(json.dumps([VERSION, longest(checkpoint), DEPTHS, arithmetic_name, list(texts)]).encode())
    return digest.hexdigest()[:24]
