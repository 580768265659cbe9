"""A student's course with somebody else's checkpoint as its teacher: what `train.course.prepare` is for MiniLM.

The student's tokens stay WordPieces cut from MiniLM's, whatever the teacher's tokenizer is: the two meet in a
text's logits and its pooled row, never in a token.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from conversion.checkpoint.inspect import Checkpoint, arithmetic, check_disk, check_values, inspect
from conversion.checkpoint.listen import disk_bytes
from conversion.checkpoint.teach import RUNS, Method, Order, Way, teach_from_checkpoint, way_of
from conversion.checkpoint.tokenizer import encode as own_tokens
from conversion.checkpoint.tokenizer import load_tokenizer, longest
from conversion.data.sentence import unlabelled
from conversion.data.task import TaskData
from conversion.data.workbench import Workbench
from conversion.train import store
from conversion.train.batches import encode
from conversion.train.course import Course, cut_pieces, write_pool
from conversion.train.distil import Settings
from conversion.train.plans import Plan
from conversion.train.teacher import Tell
from conversion.train.teaching import Making
from firmware_py.tasks.text import UNKNOWN, WordPiece

# How a student of a user's own task learns: as those of the public sets do.
PLAN = Plan(16_000, RUNS, Making(6), Settings(0, epochs=20, unlabelled=2.0))
MIN_STEPS = 100  # of a student's training, a minute or two: after fewer it is so unsure that rounding decides, and no gate passes it
SMALL = 200_000_000  # parameters of a teacher that reads a plan's whole pool; a larger one reads one text for each
CACHE = "checkpoint"  # what reading and tuning keep, a folder of the build's
# For the time left: what two cores take, measured with MiniLM on the rows of a public set.
_USUAL_TEXTS, _USUAL_TOKENS, _FLOP_PER_S, _TUNING_S, _LOADING_S = 8000, 12, 1e11, 500.0, 20.0
_STEP_S = 0.25  # of a student's training


@dataclass(frozen=True, slots=True)
class Source:
    """Where the teacher lies, and whether it is tuned, probed, or whichever fits."""

    folder: Path
    method: Method = "auto"


@dataclass(frozen=True, slots=True)
class Looked:
    """A checkpoint that nothing is wrong with, as it was asked for, and how it will teach."""

    source: Source
    checkpoint: Checkpoint
    way: Way

    def making(self, plan: Plan) -> Making:
        """Which texts are made of each training text for the teacher to label: the plan's, few for a large one to read."""
        if self.checkpoint.parameters > SMALL:
            return Making(near=min(plan.making.near, 1))
        return plan.making

    def usual_s(self, plan: Plan) -> float:
        """Seconds of the step `teacher`, roughly: what the time left begins with, until the step's own pace shows."""
        texts = _USUAL_TEXTS * (1 + self.making(plan).total)
        reading_s = 2.0 * self.checkpoint.parameters * _USUAL_TOKENS * texts / _FLOP_PER_S
        tuning_s = _TUNING_S * len(plan.runs or RUNS) if self.way == "tuned" else 0.0
        return _LOADING_S + reading_s + tuning_s


def look_over(source: Source) -> Looked:
    """The checkpoint, if nothing is wrong with it and this machine is large enough: said in seconds.

    Raises:
        CiuicError: it is not there, incomplete, of another kind, its tokenizer is not its own, a layer of it is
            too large for this machine, or weights that were looked at are no numbers.
    """
    checkpoint = inspect(source.folder)
    load_tokenizer(checkpoint)
    longest(checkpoint)
    way = way_of(checkpoint, source.method)
    if way == "probed":
        arithmetic(checkpoint)  # memory: a build is not begun that cannot end
    check_values(checkpoint, whole=way == "tuned")  # transformers loads what is tuned, and would not look
    return Looked(source, checkpoint, way)


def check_room(looked: Looked, plan: Plan, texts: Sequence[str], build: Path) -> None:
    """Hold what teaching would keep against the free disk; the texts are the rows', those made from them are reckoned.

    A build that had begun to keep something is not judged: when it goes on, what it lacks is known exactly.

    Args:
        looked: the checkpoint.
        plan: how the student learns.
        texts: of all rows.
        build: the build folder, which need not be there yet.

    Raises:
        ResourcesShortError: the disk has less room.
        CheckpointInvalidError: the tokenizer says pieces that the checkpoint has not.
    """
    checkpoint, cache = looked.checkpoint, build / CACHE
    if cache.exists():
        return
    if looked.way == "probed":
        copies = 1 + looked.making(plan).total
        tokens = sum(map(len, own_tokens(checkpoint, texts)))
        need_bytes = disk_bytes(checkpoint, tokens * copies, len(texts) * copies)
    else:
        table = int(checkpoint.architecture.raw["vocab_size"]) * checkpoint.architecture.width
        need_bytes = 4 * (checkpoint.parameters + table) * len(plan.runs or RUNS)
    check_disk(cache, need_bytes)


def prepare_from_checkpoint(
    looked: Looked, plan: Plan, data: TaskData, bench: Workbench, general: Path | None = None
) -> Course:
    """Let a checkpoint teach, and encode the rows.

    Args:
        looked: the checkpoint.
        plan: how the student learns; its `runs` are for a teacher that is tuned.
        data: of what.
        bench: keeps every step's result.
        general: where the student starts, as in `train.course.prepare`.

    Raises:
        CiuicError: memory or disk is too small by now.
    """
    checkpoint, making = looked.checkpoint, looked.making(plan)
    pool = bench.step(
        "pool",
        "pool.json",
        lambda path, _: write_pool(path, data, making),
        data=data.fingerprint(),
        **making.key(),
    )
    texts: list[str] = json.loads(pool.read_text("utf-8"))
    order = Order(checkpoint, looked.way, plan.runs or RUNS, tuple(texts))
    made = bench.step(
        "teacher",
        "lesson",
        lambda path, tell: _write_lesson(path, order, data, tell),
        checkpoint=checkpoint.key(),
        method=looked.source.method,
        runs=[asdict(run) for run in order.runs],
    )
    logs = json.loads((made / "logs.json").read_text("utf-8"))
    pieces = cut_pieces(data, plan.vocabulary)
    rows = [*data.train, *unlabelled(texts)]
    side = encode(rows, data.tokenizer(pieces), data.labels, data.slots)
    width = store.load_lesson(made / "lesson.npz").embeddings.shape[1]
    logs[0]["unknown_pieces_of_training_rows"] = round(unknown_share(pieces, data), 5)
    return Course(data, tuple(pieces), side, made / "lesson.npz", width, tuple(logs), general, making)


def enough(settings: Settings, known: int, others: int) -> Settings:
    """The settings for a set of this size: a small one is gone through more often, and the rate warms up in time.

    Args:
        settings: as they were asked for.
        known: labelled rows.
        others: rows without a label.
    """
    each = _steps_each(settings, known, others)
    epochs = max(settings.epochs, math.ceil(MIN_STEPS / each))
    return replace(settings, epochs=epochs, warm_up_steps=min(settings.warm_up_steps, epochs * each // 4))


def usual_student_s(settings: Settings, known: int, others: int) -> float:
    """Seconds of the step `student`, for the time left; the rows as in `enough`."""
    return settings.epochs * _steps_each(settings, known, others) * _STEP_S


def _steps_each(settings: Settings, known: int, others: int) -> int:
    """Steps of one epoch."""
    return math.ceil((known + min(others, round(known * settings.unlabelled))) / settings.batch)


def unknown_share(pieces: list[str], data: TaskData) -> float:
    """Share of the training texts' tokens that the student's vocabulary cannot spell: high for another script."""
    tokenizer = WordPiece(pieces)
    ids = [piece for row in data.train for piece in tokenizer.encode(row.text).ids]
    return ids.count(pieces.index(UNKNOWN)) / max(1, len(ids))


def _write_lesson(path: Path, order: Order, data: TaskData, tell: Tell) -> None:
    """`lesson.npz` and `logs.json`; what the checkpoint said is kept beside them for another try."""
    taught = teach_from_checkpoint(order, data, path.parent / CACHE, tell)
    path.mkdir(exist_ok=True)
    store.save_lesson(path / "lesson.npz", taught.lesson)
    (path / "logs.json").write_text(json.dumps(taught.logs, indent=1), "utf-8")
    tell(1.0)
