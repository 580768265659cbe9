"""The general stage on a handful of texts: what it reads, what it makes of them, and that it learns MiniLM's likeness."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is in the training environment only")

import numpy as np

from conversion.data.public import SETS
from conversion.data.workbench import Workbench
from conversion.train.general import Corpus, GeneralSettings, general_start, pool_texts, unread_texts
from firmware_py.contracts.clock import VirtualClock

CORPUS = Corpus("small", ("snips7",), augmented=1, covered=2, epochs=2)


def sets(folder: Path) -> Path:
    """The public sets with a few rows each; one training text of snips7 is a report text of clinc150."""
    for name in SETS:
        (folder / name).mkdir()
        for share in ("train", "val"):
            rows = [
                {"text": f"please turn the {name} lamp number {n} on for {share}", "intent": f"i{n % 2}"}
                for n in range(40)
            ]
            (folder / name / f"{share}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = json.loads((folder / "clinc150" / "val.jsonl").read_text().splitlines()[0])
    with (folder / "snips7" / "train.jsonl").open("a") as file:
        file.write(json.dumps(asked | {"text": asked["text"].upper()}) + "\n")
    return folder


def test_the_stage_reads_its_sets_and_words_that_stand_in_but_nothing_that_is_asked(tmp_path: Path) -> None:
    data = sets(tmp_path)
    bench = Workbench(tmp_path / "build", VirtualClock(), lambda _: None, {})
    made = general_start(data, bench, CORPUS, GeneralSettings(epochs=2, batch=32), layers=1)
    texts = pool_texts(tmp_path / "build" / "pool.npz")
    own = [text for text in texts if text.startswith("please turn the snips7 lamp")]
    assert len(texts) == len(set(texts)) > 40 + 2 * 40
    assert not {text.lower() for text in texts} & unread_texts(data)
    known = {
        word for n in range(40) for word in f"please turn the snips7 lamp number {n} on for train".split()
    }
    strange = {word for text in texts for word in text.split()} - known
    assert len(strange) > 60, "words that no text has came in"
    assert len(own) >= 40
    with np.load(tmp_path / "build" / "pool.npz") as file:
        assert file["embeddings"].shape == (len(texts), 384)
    stored = torch.load(made, weights_only=True)
    assert all(bool(torch.isfinite(value).all()) for value in stored["state"].values())
    assert {"trunk.stages.0.0.down.weight", "trunk.stages.2.0.down.weight"} <= set(stored["state"])
    assert not any(name.startswith("trunk.stages.0.1.") for name in stored["state"]), (
        "one layer was asked for"
    )
