"""General distillation: before any task, the trunk learns what sentences mean from untuned MiniLM.

Every exit's pooled row, projected, learns MiniLM's sentence embedding: the cosine to it, and the likeness of
the sentences of a batch to each other (relational distillation, Park et al. 2019; TinyBERT calls the stage
"general distillation", Jiao et al. 2019, section 3.2). No labels. One run serves every task of a `Corpus`
whose student has as many layers: `HOME` leaves out HWU64 and SLURP, so that home-en can be judged on sentences of
theirs; all but clinc150, the only one that gained from the wider `PUBLIC`, start there. Texts in which words that no
set has stand in for others are read, too: what those words mean, a student is told by nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from conversion.catalogue import MODELS
from conversion.data.augment import augment, cover, plain
from conversion.data.digests import file_sha256, lines_sha256
from conversion.data.out_of_scope import load_foreign
from conversion.data.public import SETS, read_task, report_texts
from conversion.data.sentence import unlabelled
from conversion.data.vocabulary import cut
from conversion.data.workbench import Workbench
from conversion.nets.deepseek_lite import Dims
from conversion.nets.student import Student
from conversion.train.batches import batches, encode
from conversion.train.precision import fast, settle_threads
from conversion.train.teacher import (
    WIDTH,
    Teacher,
    Tell,
    listen,
    model_folder,
    neighbours,
    read_vocabulary,
    start_embeddings,
)
from firmware_py.tasks.text import WordPiece

VOCABULARY = 16384
SHARPNESS = 0.1  # of the softmax over likenesses in a batch
_BETWEEN = "\0"  # the texts in a pool's file


@dataclass(frozen=True, slots=True)
class Corpus:
    """Whose training texts the general stage reads, how many more are made from each of them, and how often.

    `augmented` are made by `augment`, `covered` by `cover`.
    """

    name: str
    sets: tuple[str, ...]
    augmented: int
    covered: int
    epochs: int


HOME = Corpus("home", ("clinc150", "banking77", "snips7"), augmented=1, covered=6, epochs=4)
PUBLIC = Corpus("public", ("clinc150", "hwu64", "banking77", "snips7"), augmented=4, covered=3, epochs=4)


@dataclass(frozen=True, slots=True)
class GeneralSettings:
    """How the general stage is trained."""

    epochs: int
    seed: int = 0
    batch: int = 192
    rate: float = 3e-3
    decay: float = 0.02


def settings_for(corpus: Corpus) -> GeneralSettings:
    """How the stage of a corpus is trained."""
    return GeneralSettings(epochs=corpus.epochs)


def corpus_texts(folder: Path, corpus: Corpus) -> list[str]:
    """What a corpus has to read: the training texts of its sets, none of which is a report text of any set.

    Nor is one that home-en or home-multi, of whatever seed, are calibrated or judged on: their out-of-scope rows come from
    the same files.

    Raises:
        DataMissingError: a set is not in the folder.
    """
    asked = unread_texts(folder)
    read = [row.text for name in corpus.sets for row in read_task(name, folder).train]
    return [text for text in read if plain(text) not in asked]


def unread_texts(folder: Path) -> frozenset[str]:
    """What no general stage may read or make by changing a word, as `plain` has it.

    Raises:
        DataInvalidError: a file cannot be read.
    """
    foreign = (load_foreign(folder, seed) for seed in MODELS["home-en"].seeds)
    sides = (rows for one in foreign for rows in (one.calibration, one.evaluation))
    rows = {row.text for side in sides for row in side}
    return frozenset(plain(text) for text in report_texts(folder) | rows)


def corpus_sources(folder: Path, corpus: Corpus) -> list[dict[str, Any]]:
    """The files that a corpus reads, for the provenance: source, licence and SHA-256.

    Raises:
        OSError: a file cannot be read.
    """
    return [
        {
            "name": f"{name}/train",
            "source": SETS[name].source,
            "licence": SETS[name].licence,
            "sha256": file_sha256(folder / name / "train.jsonl"),
            "use": "general stage, no labels",
        }
        for name in corpus.sets
    ]


def general_start(
    folder: Path, bench: Workbench, corpus: Corpus, settings: GeneralSettings, layers: int
) -> Path:
    """The stage's weights with its vocabulary, made once for each number of layers.

    Raises:
        DataMissingError: a set is not in the folder.
    """
    texts, asked = corpus_texts(folder, corpus), unread_texts(folder)

    def pool(path: Path, tell: Tell) -> None:
        near = neighbours()
        made = augment(texts, near, corpus.augmented, settings.seed)
        made += cover(texts, near.words, corpus.covered, settings.seed)
        every = list(dict.fromkeys([*texts, *(text for text in made if plain(text) not in asked)]))
        settle_threads()
        said = listen(Teacher(model_folder(), 1), every, tell).embeddings
        # One string of bytes: an array of strings gives each the room of the longest, 350 MB.
        joined = np.frombuffer(_BETWEEN.join(every).encode(), np.uint8)
        np.savez(path, texts=joined, embeddings=said.numpy().astype(np.float16))

    made = bench.step("pool", "pool.npz", pool, texts=lines_sha256(texts),
        augmented=corpus.augmented, covered=corpus.covered, seed=settings.seed)  # fmt: skip
    return bench.step("general", f"general-{layers}.pt",
        lambda path, tell: _train(path, made, settings, layers, tell), settings=asdict(settings), layers=layers)  # fmt: skip


def pool_texts(path: Path) -> list[str]:
    """The texts of a pool that `general_start` wrote, in the order of its embeddings.

    Raises:
        OSError: the file cannot be read.
    """
    with np.load(path) as file:
        return list(file["texts"].tobytes().decode().split(_BETWEEN))


def take_over(student: Student, pieces: Sequence[str], weights: Path) -> None:
    """Start a task's student from the general stage: trunk, projections, and the rows of the pieces it knows."""
    stored = torch.load(weights, weights_only=True)
    known = {piece: number for number, piece in enumerate(stored["pieces"])}
    state, own = stored["state"], student.state_dict()
    table = own["trunk.embedding.weight"]
    for number, piece in enumerate(pieces):
        if piece in known:
            table[number] = state["trunk.embedding.weight"][known[piece]]
    for name, value in own.items():
        # Fewer stages take the first ones; heads are the task's own.
        if (
            name.startswith(("trunk.stages.", "project."))
            and name in state
            and state[name].shape == value.shape
        ):
            value.copy_(state[name])
    student.load_state_dict(own)


def _train(path: Path, source: Path, settings: GeneralSettings, layers: int, tell: Tell) -> None:
    settle_threads()
    torch.manual_seed(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    texts = pool_texts(source)
    with np.load(source) as file:
        targets = torch.from_numpy(file["embeddings"].astype(np.float32))
    if len(texts) != len(targets):
        raise ValueError(f"{source}: {len(texts)} texts, {len(targets)} embeddings")
    pieces = cut(read_vocabulary(model_folder()), texts, VOCABULARY)
    side = encode(unlabelled(texts), WordPiece(pieces), (), ())
    dims = Dims(len(pieces), layers=layers, dropout=0.0)
    student = Student(dims, 1, 0, WIDTH)
    student.trunk.embedding.weight.data = start_embeddings(model_folder(), pieces, dims.d)
    learning = [*student.trunk.parameters(), *student.project.parameters()]
    optimiser = torch.optim.AdamW(learning, lr=settings.rate, weight_decay=settings.decay, fused=True)
    steps = settings.epochs * math.ceil(len(side) / settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, steps, pct_start=0.05)
    done = 0
    student.train()
    for _ in range(settings.epochs):
        for batch in batches(side, settings.batch, generator):
            with fast():
                pools = [said.pool for said in student(batch.ids, batch.mask)]
            loss = sum(
                (
                    _apart(student.project[n](pool.float()), targets[batch.index])
                    for n, pool in enumerate(pools)
                ),
                torch.zeros(()),
            )
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(learning, 1.0)
            optimiser.step()
            schedule.step()
            done += 1
            tell(done / steps)
    torch.save({"pieces": pieces, "state": student.state_dict()}, path)


def _apart(ours: Tensor, theirs: Tensor) -> Tensor:
    """1 - cosine to the teacher's rows, and KL divergence between the batch's likenesses."""
    ours = functional.normalize(ours, dim=-1)
    blind = torch.eye(len(ours)) * -1e4
    said = ((ours @ ours.T + blind) / SHARPNESS).log_softmax(-1)
    taught = ((theirs @ theirs.T + blind) / SHARPNESS).softmax(-1)
    return (1.0 - (ours * theirs).sum(-1)).mean() + functional.kl_div(said, taught, reduction="batchmean")
