"""All texts through one layer at a time: a checkpoint larger than memory, read once.

The hidden rows of all texts lie in one file, `rows-<layer>.f32` [all tokens, d]; a layer reads the one
before it and writes its own, which gets its name when it is whole. So a run that was killed goes on with the
layer it was at. What a layer computes is transformers' own model of that one layer - masks, positions and
experts are not written a second time - on rows instead of ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from conversion.checkpoint.families import parts
from conversion.checkpoint.inspect import TOKENS_A_BATCH, Checkpoint
from conversion.checkpoint.shards import check_finite

Tell = Callable[[float], None]
Array = npt.NDArray[Any]
_ROWS_READ = 4096  # of an embedding table at once


class Passthrough(nn.Module):
    """Stands where the embeddings were: rows go in, the same rows come out."""

    def forward(self, inputs_embeds: Tensor, **_: object) -> Tensor:
        """Give the rows back."""
        return inputs_embeds


@dataclass(frozen=True, slots=True)
class Texts:
    """Token ids of N texts in the order in which they are kept: by length."""

    ids: tuple[tuple[int, ...], ...]

    @property
    def starts(self) -> Array:
        """Where each text's rows begin in the file, and the end: int64 [N+1]."""
        return np.concatenate([[0], np.cumsum([len(row) for row in self.ids])]).astype(np.int64)

    def batches(self) -> Iterator[tuple[int, int]]:
        """Ranges of texts that are run together: like lengths, a bounded number of padded tokens."""
        start = 0
        while start < len(self.ids):
            end = start + 1
            while end < len(self.ids) and (end + 1 - start) * len(self.ids[end]) <= TOKENS_A_BATCH:
                end += 1
            yield start, end
            start = end


@dataclass(frozen=True, slots=True)
class Reading:
    """A checkpoint, the arithmetic it is run in, the texts, and the folder that keeps their rows."""

    checkpoint: Checkpoint
    dtype: torch.dtype
    texts: Texts
    folder: Path

    def path(self, layer: int) -> Path:
        """The rows behind so many layers."""
        return self.folder / f"rows-{layer:03}.f32"

    def open(self, path: Path, mode: str) -> Array:
        """The rows of all texts, float32 [tokens, d]; `w+` makes the file."""
        shape = int(self.texts.starts[-1]), self.checkpoint.architecture.width
        return np.memmap(path, np.float32, mode, shape=shape)  # type: ignore[call-overload]

    def done(self) -> int | None:
        """How many layers the newest whole file stands behind; None when there is none."""
        found = sorted(self.folder.glob("rows-*.f32"))
        return int(found[-1].stem.removeprefix("rows-")) if found else None


def embed(reading: Reading) -> None:
    """Write the rows that go into the first layer.

    Raises:
        CheckpointInvalidError: a weight is no finite number.
    """
    checkpoint, texts = reading.checkpoint, reading.texts
    family = checkpoint.architecture.family
    part = reading.path(0).with_suffix(".part")
    rows, starts = reading.open(part, "w+"), texts.starts
    if family.causal:
        name = f"{checkpoint.prefix}{family.embedding}.weight"
        flat = [piece for row in texts.ids for piece in row]
        for begin in range(0, len(flat), _ROWS_READ):
            some = checkpoint.shards.rows(name, flat[begin : begin + _ROWS_READ])
            check_finite(name, some)
            rows[begin : begin + _ROWS_READ] = some.numpy()
    else:
        module = _embeddings(checkpoint)
        with torch.no_grad():
            for begin, end in texts.batches():
                ids, mask = padded(texts, begin, end, checkpoint.architecture.raw.get("pad_token_id") or 0)
                said = module(input_ids=ids)
                rows[starts[begin] : starts[end]] = said[mask.bool()].numpy()
    _commit(rows, part, reading.path(0))


def run_layer(reading: Reading, layer: int, tell: Tell) -> None:
    """From the rows behind `layer` layers to those behind one more.

    Raises:
        CheckpointInvalidError: a weight is no finite number, or a row that comes out is not.
    """
    checkpoint, texts, starts = reading.checkpoint, reading.texts, reading.texts.starts
    model = one_layer(checkpoint, layer, reading.dtype)
    before = reading.open(reading.path(layer), "r")
    part = reading.path(layer + 1).with_suffix(".part")
    after = reading.open(part, "w+")
    with torch.no_grad():
        for begin, end in texts.batches():
            _, mask = padded(texts, begin, end, 0)
            h = torch.zeros(*mask.shape, checkpoint.architecture.width)
            h[mask.bool()] = torch.from_numpy(np.array(before[starts[begin] : starts[end]]))
            said = model(inputs_embeds=h.to(reading.dtype), attention_mask=mask, use_cache=False)
            some = said.last_hidden_state.float()[mask.bool()]
            check_finite(f"what layer {layer} makes of a text", some)
            after[starts[begin] : starts[end]] = some.numpy()
            tell(end / len(texts.ids))
    _commit(after, part, reading.path(layer + 1))
    reading.path(layer).unlink()


def one_layer(checkpoint: Checkpoint, layer: int, dtype: torch.dtype) -> Any:
    """transformers' model of that layer alone with its weights in; behind the last one the final norm."""
    architecture = checkpoint.architecture
    family = architecture.family
    model = architecture.one_layer(layer)
    place = f"{checkpoint.prefix}{family.layers}.{layer}."
    _fill(model.get_submodule(family.layers)[0], checkpoint, place, dtype)
    if not family.causal:
        model.embeddings = Passthrough()
    elif layer + 1 == architecture.layers:
        _fill(model.norm, checkpoint, f"{checkpoint.prefix}norm.", dtype)
    else:
        model.norm = nn.Identity()
    return model


def padded(texts: Texts, begin: int, end: int, padding: int) -> tuple[Tensor, Tensor]:
    """ids and mask [B,T] of some texts, padded behind."""
    longest = max(len(row) for row in texts.ids[begin:end])
    ids = torch.full((end - begin, longest), padding)
    mask = torch.zeros(end - begin, longest, dtype=torch.long)
    for number, row in enumerate(texts.ids[begin:end]):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    return ids, mask


def mean_rows(reading: Reading, layer: int) -> Array:
    """Each text's mean row behind so many layers, float32 [N,d]."""
    rows, starts = reading.open(reading.path(layer), "r"), reading.texts.starts
    out = np.empty((len(reading.texts.ids), rows.shape[1]), np.float32)
    for number in range(len(out)):
        out[number] = rows[starts[number] : starts[number + 1]].mean(0)
    return out


def _embeddings(checkpoint: Checkpoint) -> Any:
    """An encoder's embeddings with their weights: table, positions, token types, norm."""
    architecture = checkpoint.architecture
    model = architecture.one_layer(0)
    module = type(model.embeddings)(model.config).eval()  # its own buffers are made with it
    _fill(module, checkpoint, f"{checkpoint.prefix}{architecture.family.embedding}.", torch.float32)
    return module


def _fill(module: nn.Module, checkpoint: Checkpoint, place: str, dtype: torch.dtype) -> None:
    """Put weights in, one tensor of the file at a time: at most one lies in memory twice."""
    state: dict[str, Tensor] = {}
    for name, empty in module.state_dict().items():
        # A router's correction decides between experts: it stays exact.
        made = torch.empty(empty.shape, dtype=torch.float32 if name.endswith("_bias") else dtype)
        for part, where in parts(name, tuple(empty.shape)):
            made[where].copy_(checkpoint.shards.read(place + part))
            check_finite(place + part, made[where])
        state[name] = made
    module.load_state_dict(state, assign=True)


def _commit(rows: Any, part: Path, path: Path) -> None:
    """Give a whole file its name."""
    rows.flush()
    part.replace(path)


def order_by_length(ids: Sequence[Sequence[int]]) -> list[int]:
    """The texts' numbers, short ones first, equal ones as they came."""
    return sorted(range(len(ids)), key=lambda number: (len(ids[number]), number))
