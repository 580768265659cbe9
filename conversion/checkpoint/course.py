"""A student's course with somebody else's checkpoint as its teacher: what `train.course.prepare` is for MiniLM.

The student's tokens stay WordPieces cut from MiniLM's, whatever the teacher's tokenizer is: the two meet in a
text's logits and its pooled row, never in a token.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from conversion.checkpoint.inspect import Checkpoint, arithmetic, inspect
from conversion.checkpoint.teach import RUNS, Method, Order, teach_from_checkpoint, tunable
from conversion.data.sentence import Sentence
from conversion.data.task import TaskData
from conversion.data.workbench import Workbench
from conversion.train import store
from conversion.train.batches import encode
from conversion.train.course import Course, cut_pieces
from conversion.train.distil import Settings
from conversion.train.plans import Plan
from conversion.train.teacher import Tell
from firmware_py.tasks.text import UNKNOWN, WordPiece

# How a student of a user's own task learns: as those of the public sets do.
PLAN = Plan(11_000, RUNS, 6, Settings(0, epochs=20, unlabelled=2.0))
SMALL = 200_000_000  # parameters of a teacher that reads a plan's whole pool; a larger one reads one text for each


@dataclass(frozen=True, slots=True)
class Source:
    """Where the teacher lies, and whether it is tuned, probed, or whichever fits."""

    folder: Path
    method: Method = "auto"


def look_over(source: Source) -> Checkpoint:
    """The checkpoint, if nothing is wrong with it and this machine is large enough: said in seconds.

    Raises:
        CiuicError: it is not there, incomplete, of another kind, or too large for this machine.
    """
    checkpoint = inspect(source.folder)
    if source.method == "probe" or tunable(checkpoint) is not None:
        arithmetic(checkpoint)  # memory: a build is not begun that cannot end
    return checkpoint


def prepare_from_checkpoint(
    source: Source, plan: Plan, data: TaskData, bench: Workbench, general: Path | None = None
) -> Course:
    """Look the checkpoint over, let it teach, and encode the rows.

    Args:
        source: the checkpoint.
        plan: how the student learns; its `runs` are for a teacher that is tuned.
        data: of what.
        bench: keeps every step's result.
        general: where the student starts, as in `train.course.prepare`.

    Raises:
        CiuicError: what is wrong with the checkpoint or too small here, before anything is computed.
    """
    folder, method = source.folder, source.method
    checkpoint = look_over(source)
    each = plan.augmented if checkpoint.parameters <= SMALL else min(plan.augmented, 1)
    pool = bench.step(
        "pool",
        "pool.json",
        lambda path, _: _write_pool(path, data, each),
        data=data.fingerprint(),
        each=each,
    )
    texts: list[str] = json.loads(pool.read_text("utf-8"))
    order = Order(folder, method, plan.runs or Order(folder).runs, tuple(texts))
    made = bench.step(
        "teacher",
        "lesson",
        lambda path, tell: _write_lesson(path, order, data, tell),
        checkpoint=checkpoint.shards.fingerprint(),
        method=method,
        runs=[asdict(run) for run in order.runs],
    )
    logs = json.loads((made / "logs.json").read_text("utf-8"))
    pieces = cut_pieces(data, plan.vocabulary)
    rows = [*data.train, *(Sentence(text, "") for text in texts)]
    side = encode(rows, WordPiece(pieces), data.labels, data.slots)
    width = store.load_lesson(made / "lesson.npz").embeddings.shape[1]
    logs[0]["unknown_pieces_of_training_rows"] = round(unknown_share(pieces, data), 5)
    return Course(data, tuple(pieces), side, made / "lesson.npz", width, tuple(logs), general)


def unknown_share(pieces: list[str], data: TaskData) -> float:
    """Share of the training texts' tokens that the student's vocabulary cannot spell: high for another script."""
    tokenizer = WordPiece(pieces)
    ids = [piece for row in data.train for piece in tokenizer.encode(row.text).ids]
    return ids.count(pieces.index(UNKNOWN)) / max(1, len(ids))


def _write_pool(path: Path, data: TaskData, each: int) -> None:
    path.write_text(json.dumps(store.pool_of(data, each), ensure_ascii=False), "utf-8")


def _write_lesson(path: Path, order: Order, data: TaskData, tell: Tell) -> None:
    """`lesson.npz` and `logs.json`; what the checkpoint said is kept beside them for another try."""
    taught = teach_from_checkpoint(order, data, path.parent / "checkpoint", tell)
    path.mkdir(exist_ok=True)
    store.save_lesson(path / "lesson.npz", taught.lesson)
    (path / "logs.json").write_text(json.dumps(taught.logs, indent=1), "utf-8")
    tell(1.0)
