"""What an encoder's bundle asks of the host: positions and norm on the rows, a bias that blocks padding only, a frame."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firmware_py.contracts.errors import BundleFormatError
from firmware_py.contracts.manifest import parse_manifest
from firmware_py.inference.tensors import BLOCKED, Embedding, bias
from firmware_py.tasks.intent import IntentTask
from firmware_py.testing.tiny_bundle import tiny_files


def table(**more: Any) -> bytes:
    random = np.random.default_rng(0)
    rows = random.integers(-127, 127, (20, 6)).astype(np.int8)
    file = io.BytesIO()
    np.savez(file, rows=rows, scale=np.full(20, 0.02, np.float32), **more)
    return file.getvalue()


def test_positions_and_norm_are_berts() -> None:
    """x = LayerNorm(table[id] + position), as BertEmbeddings does."""
    random = np.random.default_rng(1)
    places, norm = (
        random.normal(size=(9, 6)).astype(np.float32),
        random.normal(size=(2, 6)).astype(np.float32),
    )
    plain = Embedding.from_bytes(table()).lookup([3, 19, 3], 5)
    said = Embedding.from_bytes(table(positions=places.astype(np.float16), norm=norm)).lookup([3, 19, 3], 5)
    x = plain[:3] + places.astype(np.float16)[:3]
    wanted = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True) * norm[0] + norm[1]
    np.testing.assert_allclose(said[:3], wanted, atol=1e-5)
    assert not said[3:].any()
    assert not np.allclose(said[0], said[2])  # the same word at another place


@pytest.mark.parametrize(
    "more", [{"positions": np.zeros((9, 5))}, {"positions": np.zeros(6)}, {"norm": np.zeros((2, 5))}]
)
def test_other_widths_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(BundleFormatError, match="another width"):
        Embedding.from_bytes(table(**more))


def test_a_bias_that_blocks_padding_only() -> None:
    said = bias(3, 5, causal=False)
    assert (said[:, :3] == 0.0).all()
    assert (said[:, 3:] == BLOCKED).all()
    assert said.shape == (5, 5)
    assert (bias(3, 5) == np.where(np.tri(5, dtype=bool) & (np.arange(5) < 3), 0.0, BLOCKED)).all()


def test_a_frame_stands_around_every_text() -> None:
    manifest, files = tiny_files()
    plain = IntentTask(manifest, files["tokenizer.txt"])
    task = IntentTask(replace(manifest, frame=(4, 5)), files["tokenizer.txt"])
    without = plain.encode({"text": "turn on the light"})
    framed = task.encode({"text": "turn on the light"})
    assert framed.ids == (4, *without.ids, 5)
    assert framed.spans == ((0, 0), *without.spans, (17, 17))
    assert (framed.tokens, framed.truncated) == (without.tokens + 2, 0)
    long = task.encode({"text": "light " * 40})
    assert (long.tokens, long.truncated, long.ids[-1]) == (16, 26, 5)


def test_the_manifest_says_both_and_old_ones_neither(tmp_path: Path) -> None:
    manifest, _ = tiny_files()
    told = replace(manifest, attention="bidirectional", frame=(101, 102))
    form = json.loads(json.dumps(told.to_dict()))
    assert parse_manifest(form) == told
    del form["attention"], form["frame"]
    assert (parse_manifest(form).attention, parse_manifest(form).frame) == ("causal", ())
    for wrong in ({"attention": "sideways"}, {"frame": [1]}, {"frame": [1, 2, 3]}, {"frame": ["a", "b"]}):
        with pytest.raises(BundleFormatError):
            parse_manifest(form | wrong)
