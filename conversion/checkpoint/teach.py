"""What a checkpoint teaches of a task: the logits and rows that a student learns from.

Two ways, chosen by size and kind. A small uncased BERT is *tuned* as MiniLM is (`conversion.train.teacher`): all its
layers learn the task. Anything else is *probed*: its layers stay as they are, are read once, and a linear
classifier on their mean rows says what it knows. The report says which, with every run's own figures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from conversion.checkpoint import probe
from conversion.checkpoint.inspect import VOCABULARY, Checkpoint
from conversion.checkpoint.listen import Heard, listen_checkpoint
from conversion.checkpoint.tokenizer import FRAME, longest, tells_capitals_apart
from conversion.data.sentence import in_scope
from conversion.data.task import TaskData
from conversion.train.precision import settle_threads
from conversion.train.store import load_teacher, read_log
from conversion.train.teacher import MAX_TOKENS, Lesson, Run, Tell, listen, read_vocabulary
from conversion.train.teaching import tune_teacher
from firmware_py.contracts.errors import BundleFormatError, CheckpointUnsupportedError
from firmware_py.tasks.text import WordPiece

TUNABLE = 30_000_000  # parameters above the embeddings: two cores tune such a model in well under an hour
RUNS = (Run(epochs=6, rate=2e-4), Run(epochs=5, rate=4e-4, seed=1))

Method = Literal["auto", "tune", "probe"]
Way = Literal["tuned", "probed"]


@dataclass(frozen=True, slots=True)
class Order:
    """What to teach from: the checkpoint, how, with which runs where it is tuned, and the texts without labels."""

    checkpoint: Checkpoint
    way: Way
    runs: tuple[Run, ...] = RUNS
    unlabelled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Taught:
    """The lesson over training texts and those without labels, and a log of every run, the best one first."""

    lesson: Lesson
    logs: tuple[dict[str, Any], ...]


def tunable(checkpoint: Checkpoint) -> str | None:
    """Why the checkpoint cannot be tuned here, or None when it can.

    A teacher that is tuned reads what the student's own cutter makes of a text: lower case, without accents.

    Raises:
        CiuicError: its tokenizer cannot be opened.
    """
    architecture = checkpoint.architecture
    if architecture.name != "bert":
        return f"{architecture.name} is not tuned here"
    if checkpoint.parameters > TUNABLE:
        return f"{checkpoint.parameters / 1e6:.0f} million parameters are more than {TUNABLE / 1e6:.0f}"
    if longest(checkpoint) < MAX_TOKENS:
        return f"it reads {longest(checkpoint)} tokens of a text, tuning asks for {MAX_TOKENS}"
    if tells_capitals_apart(checkpoint):
        return "it tells capital letters or accents from plain letters, the tuning would not"
    return _unfit_vocabulary(checkpoint)


def _unfit_vocabulary(checkpoint: Checkpoint) -> str | None:
    """What a tuned teacher would lack in `vocab.txt`, which may be another file than the tokenizer."""
    path = checkpoint.folder / VOCABULARY
    if not path.is_file():
        return "it has no vocab.txt"
    try:
        WordPiece.from_bytes(path.read_bytes())
    except BundleFormatError as error:
        return error.message
    pieces = read_vocabulary(checkpoint.folder)
    if not set(FRAME) <= set(pieces):
        return f"its vocab.txt has no {' and '.join(FRAME)}"
    if len(pieces) > int(checkpoint.architecture.raw["vocab_size"]):
        return "its vocab.txt has more pieces than its table has rows"
    return None


def way_of(checkpoint: Checkpoint, method: Method) -> Way:
    """Whether all layers learn or are read as they are.

    Raises:
        CheckpointUnsupportedError: it was asked to be tuned and cannot be.
        CiuicError: its tokenizer cannot be opened.
    """
    if method == "probe":
        return "probed"
    reason = tunable(checkpoint)
    if method == "tune" and reason is not None:
        msg = f"the checkpoint cannot be tuned: {reason}"
        raise CheckpointUnsupportedError(msg, hint="Probe it instead: leave the method to the build.")
    return "tuned" if reason is None else "probed"


def teach_from_checkpoint(order: Order, data: TaskData, cache: Path, tell: Tell = lambda _: None) -> Taught:
    """Tune or probe; everything that takes long is kept in `cache`.

    Raises:
        CiuicError: its tokenizer cannot be opened, or memory or disk is too small, before anything is computed.
    """
    cache.mkdir(parents=True, exist_ok=True)
    teach = _tuned if order.way == "tuned" else _probed
    return teach(order, data, cache, tell)


def _tuned(order: Order, data: TaskData, cache: Path, tell: Tell) -> Taught:
    """Each run in a folder of its own; the one that is best on the selection split teaches."""
    checkpoint = order.checkpoint
    source = hashlib.sha256(json.dumps(checkpoint.key(), sort_keys=True).encode()).hexdigest()
    key = f"{source[:12]}-{data.fingerprint()[:12]}"
    folders, share = [], 1 / (len(order.runs) + 1)

    def hear(number: int, part: float) -> None:
        tell((number + part) * share)

    for number, run in enumerate(order.runs):
        folder = cache / f"tuned-{key}-{_name(run)}"
        if not (folder / "log.json").is_file():  # written last
            tune_teacher(folder, data, run, checkpoint.folder, partial(hear, number))
        folders.append(folder)
    folders.sort(key=lambda folder: -float(read_log(folder)["selection"]))
    settle_threads()  # where all runs were kept, none of them did
    teacher = load_teacher(folders[0], checkpoint.folder, len(data.labels))
    texts = [*(row.text for row in data.train), *order.unlabelled]
    lesson = listen(teacher, texts, lambda part: tell(1 - share * (1 - part)))
    logs = tuple({"method": "tuned", **checkpoint.to_dict(), **read_log(folder)} for folder in folders)
    return Taught(lesson, logs)


def _probed(order: Order, data: TaskData, cache: Path, tell: Tell) -> Taught:
    """Read the layers once over all texts, then choose depth and regularisation on the selection split."""
    sides = [data.train, data.selection, data.report]
    texts = [*(row.text for side in sides for row in side), *order.unlabelled]
    heard = listen_checkpoint(order.checkpoint, texts, cache, lambda share: tell(0.9 * share))
    cuts = np.cumsum([0, *map(len, sides)])
    train, selection, report = (
        probe.Side(heard.rows[:, begin:end], probe.numbers([row.intent for row in side], data.labels))
        for begin, end, side in zip(cuts, cuts[1:], sides, strict=False)
    )
    trials = probe.choose(train, selection, len(data.labels), lambda share: tell(0.9 + 0.1 * share))
    best = trials[0].probe
    wanted = np.concatenate([heard.rows[:, : cuts[1]], heard.rows[:, cuts[3] :]], axis=1)
    rows = torch.from_numpy(best.rows(wanted).astype(np.float32))
    lesson = Lesson(torch.from_numpy(best.logits(wanted)), torch.nn.functional.normalize(rows, dim=-1))
    inside = [np.array([in_scope(row) for row in side], bool) for side in (data.selection, data.report)]
    logs = []
    for trial in trials:
        figures = [
            round(probe.accuracy(trial.probe.logits(side.heard[:, keep]), side.targets[keep]), 5)
            for side, keep in zip((selection, report), inside, strict=True)
        ]
        run = {"depth": heard.depths[trial.probe.depth], "strength": trial.probe.strength}
        logs.append(_log(order.checkpoint, heard, run, figures))
    return Taught(lesson, tuple(logs))


def _log(
    checkpoint: Checkpoint, heard: Heard, run: dict[str, Any], figures: Sequence[float]
) -> dict[str, Any]:
    return {
        "method": "probed",
        **checkpoint.to_dict(),
        "arithmetic": heard.arithmetic,
        "run": run,
        "selection": figures[0],
        "report": figures[1],
    }


def _name(run: Run) -> str:
    return "-".join(f"{value:g}" for value in asdict(run).values())
