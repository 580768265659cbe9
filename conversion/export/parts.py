"""The members that are no graphs: token table, heads, vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from conversion.nets.deepseek_lite import DeepSeekLite
from conversion.nets.heads import npz_bytes
from conversion.nets.student import Student


def embedding_bytes(trunk: DeepSeekLite) -> bytes:
    """The token table as int8 rows with one scale each (symmetric, largest magnitude = 127)."""
    table = trunk.embedding.weight.detach().numpy().astype(np.float32)
    scale = np.maximum(np.abs(table).max(1), 1e-8) / 127.0
    rows = np.clip(np.rint(table / scale[:, None]), -127, 127).astype(np.int8)
    return npz_bytes({"rows": rows, "scale": scale.astype(np.float32)})


def vocabulary_bytes(pieces: Sequence[str]) -> bytes:
    """One word piece a line."""
    return ("\n".join(pieces) + "\n").encode()


def write_parts(student: Student, pieces: Sequence[str], folder: Path) -> Path:
    """`vocab.txt`, `embedding.npz` and `head-<exit>.npz` with the zeroth exit as `head-0.npz`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_bytes(vocabulary_bytes(pieces))
    (folder / "embedding.npz").write_bytes(embedding_bytes(student.trunk))
    for number, head in enumerate(student.heads):
        (folder / f"head-{number}.npz").write_bytes(head.to_bytes())
    return folder
