"""Inputs of every graph as it meets them on real sentences: what static quantisation takes its ranges from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from conversion.export.quantise import Inputs
from conversion.export.recipes import Form
from conversion.export.stage_graph import StageGraph
from conversion.nets.deepseek_lite import GROUPS, DeepSeekLite
from firmware_py.contracts.run import GraphKey
from firmware_py.inference.tensors import bias, position_tables

EACH = 16  # sentences a graph; each has T rows, and the quantiser reads every tensor of every run


def samples_of(
    trunk: DeepSeekLite, keys: Sequence[GraphKey], sentences: Sequence[Sequence[int]], form: Form
) -> dict[GraphKey, list[Inputs]]:
    """Up to `EACH` samples a graph, from sentences (token ids) of its length, else from shorter ones.

    A stage is fed what the stages before say, of padded rows too, at its own width and at full width in
    turn: any width may stand before any other.
    """
    buckets = sorted({key.bucket for key in keys})
    found: dict[GraphKey, list[Inputs]] = {key: [] for key in keys}
    for place, bucket in enumerate(buckets):
        low = buckets[place - 1] if place else 0
        fitting = [one for one in sentences if low < len(one) <= bucket]
        chosen = (fitting + [one for one in sentences if 0 < len(one) <= low])[:EACH]
        here = [key for key in keys if key.bucket == bucket]
        widths = {key.width for key in here} | {GROUPS}
        chains = {width: _chain(trunk, width, max(key.stage for key in here), form) for width in widths}
        cos, sin = position_tables(bucket, trunk.dims.rope)
        for number, ids in enumerate(chosen):
            rest = {"bias": bias(len(ids), bucket), "cos": cos, "sin": sin}
            before = {width: _rows_before(trunk, chains[width], (ids, bucket), rest) for width in widths}
            for key in here:
                h = before[GROUPS if number % 2 else key.width][key.stage - 1]
                found[key].append({"h": h, **rest})
    return found


def _chain(trunk: DeepSeekLite, width: int, stages: int, form: Form) -> list[StageGraph]:
    return [StageGraph(trunk, stage, width, form).eval() for stage in range(1, stages)]


def _rows_before(
    trunk: DeepSeekLite, chain: Sequence[StageGraph], text: tuple[Sequence[int], int], rest: Inputs
) -> list[npt.NDArray[np.float32]]:
    """What each stage is fed, h [T,d], the first one's first."""
    ids, bucket = text
    fed = [torch.from_numpy(np.array(rest[name])) for name in ("bias", "cos", "sin")]
    with torch.no_grad():
        h = torch.zeros(bucket, trunk.dims.d)
        h[: len(ids)] = trunk.embedding(torch.tensor(list(ids)))
        rows = [h]
        for graph in chain:
            rows.append(graph(rows[-1], *fed)[0])
    return [one.numpy() for one in rows]
