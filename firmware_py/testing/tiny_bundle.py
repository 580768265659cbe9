"""A bundle of a few kilobytes that answers "turn on the kitchen light", without a trained model.

Runtime `scripted`: every graph passes its rows through, embedding rows name a word each, and the heads
are set by hand. Exit 1 is unsure (a high temperature) unless the text says `turn`; exits 2 and 3 are
sure. Words that are not in the vocabulary speak for `oos`.

The rich form has in addition what a bundle may have: int8 heads, an exit 0 that the rule `thrifty` asks,
graphs of every width at length 8 (only full ones at 16), and one calibrated combination of widths.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from firmware_py.bundles.write import member, write_bundle
from firmware_py.contracts.golden import GoldenRow, write_golden
from firmware_py.contracts.manifest import Graph, Head, Manifest, Task, TensorSpec, Variant
from firmware_py.contracts.run import GraphKey
from firmware_py.inference.heads import BLOCKS, WINDOW, ExitHead
from firmware_py.inference.tensors import Embedding
from firmware_py.tasks.text import WordPiece

LABELS = ("turn_on", "turn_off", "oos")
WORDS = ("[PAD]", "[UNK]", "turn", "on", "off", "kitchen", "garden", "the", "light", "lights", "please")
BUCKETS = (8, 16)
STAGES = 3
_D = 16  # one dimension for each word but [PAD]
_POSITION = 4
VARIANT = Variant((4, 2, 2), (1.0, 1.0, 1.0), {"careful": (0.9, 0.9, 0.0)}, accuracy=0.75, macs=1000)
ZEROTH_RULES = {"thrifty": 0.7}
_TEMPERATURES = (4.0, 3.0, 1.0, 1.0)  # of the exits 0 to 3
_GOLDEN = ("turn on the kitchen light", "off", "please turn off the garden lights", "sing a song")


def tiny_files(*, rich: bool = False) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest and its members; the same every time."""
    data = _npz(**(_int8(_head()) if rich else _head()))
    files: dict[str, bytes] = {
        "embedding.npz": _npz(rows=_rows(), scale=np.full(len(WORDS), 0.25, np.float32)),
        "tokenizer.txt": "".join(f"{word}\n" for word in WORDS).encode(),
    }
    heads = tuple(
        Head("home", number, _TEMPERATURES[number], member(f"head{number}.npz", data))
        for number in range(0 if rich else 1, STAGES + 1)
    )
    files |= {head.file.name: data for head in heads}
    files["golden.jsonl"] = write_golden(_golden(files, rich=rich))
    graphs = []
    for bucket in BUCKETS:
        for stage in range(1, STAGES + 1):
            for width in (1, 2, 3, 4) if rich and bucket == BUCKETS[0] else (4,):
                name = f"t{bucket}-s{stage}-w{width}.tflite"
                files[name] = f"scripted {name}\n".encode() * 20
                graphs.append(_graph(GraphKey(bucket, stage, width), name, files[name]))
    manifest = Manifest(
        name="tiny-en",
        version="0.0.1",
        recipe="fp32",
        task=Task("home", "intent", ("en",)),
        labels=LABELS,
        slots=("area",),
        stages=STAGES,
        buckets=BUCKETS,
        dims={"model": _D},
        runtimes={"scripted": "1"},
        graphs=tuple(graphs),
        heads=heads,
        embedding=member("embedding.npz", files["embedding.npz"]),
        tokenizer=member("tokenizer.txt", files["tokenizer.txt"]),
        golden=member("golden.jsonl", files["golden.jsonl"]),
        exit_rules={
            "balanced": (0.8, 0.8, 0.0),
            "careful": (0.999, 0.999, 0.0),
            "thrifty": (0.4, 0.4, 0.0),
        },
        default_rule="balanced",
        accuracy_by_exit=(1.0, 1.0, 1.0),
        out_of_scope_threshold=0.5,
        provenance={"made_by": "firmware_py.testing.tiny_bundle"},
        zeroth_rules=ZEROTH_RULES if rich else {},
        variants=(VARIANT,) if rich else (),
    )
    return manifest, files


def write_tiny_bundle(path: Path, *, rich: bool = False) -> str:
    """Write the bundle, unsigned, and return its SHA-256."""
    manifest, files = tiny_files(rich=rich)
    return write_bundle(path, manifest, files)


def _graph(key: GraphKey, name: str, data: bytes) -> Graph:
    bucket = key.bucket
    inputs = (
        TensorSpec("h", "float32", (bucket, _D)),
        TensorSpec("bias", "float32", (bucket, bucket)),
        TensorSpec("cos", "float32", (bucket, _POSITION)),
        TensorSpec("sin", "float32", (bucket, _POSITION)),
    )
    outputs = (TensorSpec("h_out", "float32", (bucket, _D)), TensorSpec("state", "float32", (bucket, 2)))
    return Graph(key, "stage", 0, inputs, outputs, {}, member(name, data))


def _rows() -> Any:
    """int8 [V, d]: word i has its own dimension; [PAD] is zero."""
    rows = np.zeros((len(WORDS), _D), np.int8)
    for index in range(1, len(WORDS)):
        rows[index, index] = 4
    return rows


def _head() -> dict[str, Any]:
    """Hand-set arrays: the pooled maximum of a word's dimension (4 after the norm) votes for a label."""
    word = {name: index for index, name in enumerate(WORDS)}
    maximum = _D  # the pool is (mean, maximum, last), d each
    intent = np.zeros((3 * _D, 3), np.float32)
    intent[maximum + word["on"], 0] = intent[maximum + word["off"], 1] = 2.0
    intent[maximum + word["turn"], 0:2] = 1.0
    intent[maximum + word["[UNK]"], 2] = 5.0
    tags = np.zeros((BLOCKS, _D, 2), np.float32)
    here = WINDOW.index(0)
    tags[here, word["kitchen"], 0] = tags[here, word["garden"], 0] = 1.0
    bias = np.array([0, 0, 4], np.float32)  # nothing known speaks for `oos`
    zeros = np.zeros
    return {
        "intent_w1": intent,
        "intent_b1": bias,
        "intent_w2": np.eye(3, dtype=np.float32),
        "intent_b2": zeros(3, np.float32),
        "tag_w1": tags,
        "tag_pool": zeros((3 * _D, 2), np.float32),
        "tag_b1": zeros(2, np.float32),
        "tag_mix": zeros((3, 2, 2), np.float32),
        "tag_bm": zeros(2, np.float32),
        "tag_w2": np.array([[0, 1], [0, 0]], np.float32),
        "tag_b2": np.array([0.5, 0], np.float32),
    }


def _int8(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Matrices as int8 with one scale per output column; biases stay float."""
    out = {}
    for name, array in arrays.items():
        if array.ndim == 1:
            out[name] = array
            continue
        top = np.abs(array).max(axis=-2, keepdims=True)
        scale = np.where(top > 0.0, top / 127.0, 1.0).astype(np.float32)
        out |= {name: np.round(array / scale).astype(np.int8), f"{name}_scale": scale}
    return out


def _golden(files: Mapping[str, bytes], *, rich: bool) -> list[GoldenRow]:
    """What heads over the embedding say, since the graphs pass rows through."""
    tokenizer = WordPiece.from_bytes(files["tokenizer.txt"])
    embedding = Embedding.from_bytes(files["embedding.npz"])
    head = ExitHead.from_bytes(files["head1.npz"], 1.0)
    rows = []
    for text in _GOLDEN:
        ids = tokenizer.encode(text).ids
        h = embedding.lookup(ids, max(BUCKETS))
        logits = tuple(float(value) for value in head.intent(h, len(ids)))
        tags = tuple(int(tag) for tag in head.tags(h, len(ids)))
        row = GoldenRow(text, tuple(ids), (logits,) * STAGES, 1e-3, tags)
        rows.append(replace(row, zeroth=logits) if rich else row)
    return [*rows, replace(rows[0], widths=(1, 3, 2)), replace(rows[1], widths=(4, 2, 2))] if rich else rows


def _npz(**arrays: Any) -> bytes:
    """Arrays as an `.npz` member; numpy fixes the time stamps, so the bytes are the same every time."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()
