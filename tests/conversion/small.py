"""Small things to convert and to learn from: a student over letters, rows of a few sentences with a gap."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from conversion.checkpoint.data import read_files
from conversion.data.task import TaskData
from conversion.nets.deepseek_lite import Dims
from conversion.nets.student import Student

PIECES = ["[PAD]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz"]


def student(dims: Dims) -> Student:
    """Untrained, of a fixed seed; its intents stand apart enough to be compared."""
    torch.manual_seed(5)
    made = Student(dims, labels=7, slots=3)
    with torch.no_grad():
        made.trunk.embedding.weight.normal_()
        for head in made.heads:
            head.intent_w2.mul_(3.0)
    return made.eval()


def filled(folder: Path, said: Mapping[str, Iterable[str]], words: Iterable[str]) -> TaskData:
    """A task's rows: every sentence of every intent with each word in its gap."""
    words = tuple(words)
    rows = [
        {"text": text.format(word), "intent": intent}
        for intent, texts in said.items()
        for text in texts
        for word in words
    ]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return read_files("rooms", [path])
