"""The members that are no graphs: token table, heads, vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from conversion.nets.deepseek_lite import DeepSeekLite, quantise_rows
from conversion.nets.heads import npz_bytes
from conversion.nets.student import Student

_BATCH = 256


def table_arrays(table: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
    """A token table [V,d] as int8 `rows` with one float16 `scale` each (symmetric, largest magnitude = 127).

    Rows are rounded by the scale as it is stored, so its own rounding costs nothing.
    """
    scale = (np.abs(table).max(1) / 127.0).astype(np.float16)
    scale = np.maximum(scale, np.finfo(np.float16).tiny)  # below it float16 has ever fewer digits
    rows = np.clip(np.rint(table / scale.astype(np.float32)[:, None]), -127, 127).astype(np.int8)
    return {"rows": rows, "scale": scale}


def packed_arrays(table: Tensor) -> dict[str, npt.NDArray[Any]]:
    """A token table [V,d] as `nibbles` uint8 [V,d/2] with one float16 `scale` each.

    A byte holds two columns, the even one in its low half, each as its level + 8.
    """
    levels, scale = quantise_rows(table)
    shifted = (levels + 8).to(torch.uint8).numpy()
    return {"nibbles": shifted[:, ::2] | shifted[:, 1::2] << 4, "scale": scale[:, 0].half().numpy()}


def embedding_bytes(trunk: DeepSeekLite) -> bytes:
    """The member `embedding.npz`: the token table."""
    return npz_bytes(packed_arrays(trunk.embedding.weight.detach().float()))


def vocabulary_bytes(pieces: Sequence[str]) -> bytes:
    """One word piece a line."""
    return ("\n".join(pieces) + "\n").encode()


def pooled(student: Student, sentences: Sequence[Sequence[int]]) -> list[Tensor]:
    """What each exit's head reads of sentences given as token ids, at full width: pooled rows [N,3d], the zeroth exit's first."""
    longest = max(map(len, sentences))
    ids = torch.tensor([[*one, *[0] * (longest - len(one))] for one in sentences])
    mask = torch.tensor([[1.0] * len(one) + [0.0] * (longest - len(one)) for one in sentences])
    with torch.no_grad():
        said = [student(*rows) for rows in zip(ids.split(_BATCH), mask.split(_BATCH), strict=True)]
    return [torch.cat([one.pool for one in exit_said]) for exit_said in zip(*said, strict=True)]


def write_parts(
    student: Student, pieces: Sequence[str], folder: Path, sentences: Sequence[Sequence[int]] = ()
) -> Path:
    """`vocab.txt`, `embedding.npz` and `head-<exit>.npz` with the zeroth exit as `head-0.npz`.

    `sentences`: token ids of training texts, for which the heads are rounded; none: each weight by itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_bytes(vocabulary_bytes(pieces))
    (folder / "embedding.npz").write_bytes(embedding_bytes(student.trunk))
    seen = pooled(student, sentences) if sentences else [None] * len(student.heads)
    for number, (head, pools) in enumerate(zip(student.heads, seen, strict=True)):
        (folder / f"head-{number}.npz").write_bytes(head.to_bytes(pools))
    return folder
