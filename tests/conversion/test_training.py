"""Real training steps on a few rows: both phases of the distillation, the teacher, the general stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is in the training environment only")

import numpy as np

from conversion.data.sentence import Sentence, unlabelled
from conversion.data.task import TaskData
from conversion.nets.deepseek_lite import Dims
from conversion.nets.importance import sort_groups
from conversion.nets.student import Student
from conversion.train import store, teaching
from conversion.train.batches import IGNORED, encode, sample
from conversion.train.distil import Settings, distill_model, narrower
from conversion.train.general import take_over
from conversion.train.teacher import Lesson
from conversion.train.teaching import Making
from firmware_py.tasks.text import WordPiece

PIECES = ["[PAD]", "[UNK]", "turn", "on", "off", "the", "lamp", "fan", "sing", "please", "now", "kitchen"]
LABELS, SLOTS = ("off", "on"), ("name",)
ROWS = [
    Sentence(f"{before}turn {what} the {thing}", what, ((len(f"{before}turn {what} the "), len(f"{before}turn {what} the {thing}"), "name"),))
    for before in ("", "please ", "now ") for what in ("on", "off") for thing in ("lamp", "fan", "kitchen lamp")
]  # fmt: skip
DIMS = Dims(len(PIECES), d=16, heads=4, latent=4, rope=4, ffn=16, stages=2, dropout=0.0)
SETTINGS = Settings(0, epochs=12, stages=2, batch=8, warm_up_steps=3, rate=1e-2, embedding_rate=1.0)


def student() -> Student:
    """A small untrained one, the same every time."""
    torch.manual_seed(1)
    return Student(DIMS, len(LABELS), len(SLOTS), 6)


def taught(rows: list[Sentence]) -> Lesson:
    """A teacher that knows the label and has an opinion on every row."""
    generator = torch.Generator().manual_seed(2)
    logits = torch.tensor([[3.0, -3.0] if "off" in row.text else [-3.0, 3.0] for row in rows])
    return Lesson(
        logits, torch.nn.functional.normalize(torch.randn(len(rows), 6, generator=generator), dim=-1)
    )


def train(settings: Settings) -> Student:
    """Train on the labelled rows and two without a label."""
    rows = [*ROWS, *unlabelled(["sing", "the fan off please"])]
    side, one = encode(rows, WordPiece(PIECES), LABELS, SLOTS), student()
    distill_model(one, side, taught(rows), settings, lambda _: None)
    return one


def test_a_text_without_a_label_has_none_whatever_labels_there_are() -> None:
    side = encode([ROWS[0], *unlabelled(["sing"])], WordPiece(PIECES), ("", *LABELS), SLOTS)
    assert side.labels.tolist() == [1 + LABELS.index(ROWS[0].intent), IGNORED]


def test_a_row_without_a_token_harms_no_weight() -> None:
    rows = [*ROWS, Sentence("\u200b", "on")]
    side, one = encode(rows, WordPiece(PIECES), LABELS, SLOTS), student()
    assert int(side.lengths[-1]) == 0
    mask = (side.ids > 0).float()[:, :10]
    pools = [said.pool for said in one.eval()(side.ids[:, :10], mask)]
    assert all(not pool[-1].any() and pool[:-1].any(1).all() for pool in pools)
    distill_model(one, side, taught(rows), replace(SETTINGS, epochs=1), lambda _: None)
    assert all(torch.isfinite(value).all() for value in one.state_dict().values())


def right(one: Student, widths: tuple[int, ...]) -> float:
    """Share of rows that the last exit has right."""
    side = encode(ROWS, WordPiece(PIECES), LABELS, SLOTS)
    mask = (side.ids > 0).float()
    with torch.no_grad():
        said = one(side.ids, mask, widths)[-1].logits
    return float((said.argmax(1) == side.labels).float().mean())


@pytest.mark.parametrize("norm", ["rms", "dyt"])
def test_every_width_learns_and_equal_seeds_give_equal_weights(norm: str) -> None:
    settings = replace(SETTINGS, norm=norm)
    first, second = train(settings), train(settings)
    assert right(first, (4, 4)) == 1.0
    assert right(first, (1, 1)) >= 0.9
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.parametrize(
    "change",
    [
        {"sandwich": False},
        {"kl": 0.0, "cosine": 0.0},
        {"labels": 0.0},
        {"order": "magnitude"},
        {"order": "random"},
        {"learned_gates": False},
    ],
)
def test_every_term_of_the_ablation_can_be_left_out(change: dict[str, object]) -> None:
    trained = train(replace(SETTINGS, epochs=2, **change))  # type: ignore[arg-type]
    before = student()
    assert any(not torch.equal(a, b) for a, b in zip(trained.parameters(), before.parameters(), strict=True))
    if change == {"learned_gates": False}:
        assert torch.equal(trained.trunk.gates, torch.ones_like(trained.trunk.gates))


@pytest.mark.parametrize("order", ["importance", "magnitude", "random"])
def test_sorting_groups_leaves_the_full_width_as_it_was(order: str) -> None:
    one = student().eval()
    ids, mask = torch.tensor([[2, 3, 5, 6], [2, 4, 5, 7]]), torch.ones(2, 4)
    with torch.no_grad():
        before = one(ids, mask)[-1].logits

    sort_groups(one.trunk, order, [lambda: one(ids, mask)[-1].logits.square().sum()], 3)  # type: ignore[arg-type]
    with torch.no_grad():
        assert torch.allclose(one(ids, mask)[-1].logits, before, atol=1e-5)


def test_importance_puts_the_column_first_that_the_loss_needs() -> None:
    one = student().eval()
    layer = one.trunk.stages[0][0]
    column = layer.down.weight.data[:, 5].clone()
    layer.down.weight.data.zero_()
    layer.down.weight.data[:, 5] = column
    sort_groups(
        one.trunk,
        "importance",
        [lambda: one(torch.tensor([[2, 3]]), torch.ones(1, 2))[-1].logits.square().sum()],
        0,
    )
    assert torch.equal(layer.down.weight.data[:, 0], column)


def test_widths_of_the_sandwich_are_the_narrowest_and_any_in_turn() -> None:
    from random import Random

    random = Random(0)
    assert narrower(1, 3, random) == (1, 1, 1)
    drawn = {narrower(0, 3, random) for _ in range(500)}
    assert len(drawn) == 64


def test_an_epoch_has_every_labelled_row_and_a_draw_of_the_others() -> None:
    rows = [*ROWS, *(Sentence("sing", "") for _ in range(100))]
    side = encode(rows, WordPiece(PIECES), LABELS, SLOTS)
    drawn = sample(side, 2.0, torch.Generator().manual_seed(0))
    assert sorted(drawn[drawn < len(ROWS)].tolist()) == list(range(len(ROWS)))
    assert len(drawn) == 3 * len(ROWS)
    assert len(set(drawn.tolist())) == len(drawn)


@pytest.mark.parametrize("side", ["selection", "temperature", "thresholds", "report"])
def test_no_text_that_a_teacher_speaks_about_chooses_calibrates_or_judges(
    monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    monkeypatch.setattr(teaching, "neighbours", lambda: SimpleNamespace(words=[]))
    monkeypatch.setattr(teaching, "augment", lambda *_: ["Turn on the FAN", "turn on the tap", "turn it"])
    row = ROWS[0]
    data = TaskData(
        "t", "t", ("en",), LABELS, SLOTS, (row,), (), (), (), (),
        unlabelled=("hum", "sing"), extras={"free": (replace(row, text="Sing"),)},
    )  # fmt: skip
    given: dict[str, Any] = {side: (replace(row, text="turn on the fan"),)}
    data = replace(data, **given)
    assert teaching.pool_of(data, Making(1)) == ["turn on the tap", "turn it", "hum"]


@pytest.mark.parametrize("side", ["selection", "report"])
def test_crossings_are_with_training_texts_and_with_other_sets_and_none_judges(
    monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    monkeypatch.setattr(teaching, "neighbours", lambda: SimpleNamespace(words=[]))
    monkeypatch.setattr(teaching, "augment", lambda *_: [])
    rows = tuple(Sentence(text, "on") for text in ("turn on the fan", "put on the lamp"))
    data = TaskData("t", "t", ("en",), LABELS, SLOTS, rows, (), (), (), (), unlabelled=("sing on the roof",))
    every = {"turn on the lamp", "put on the fan", "turn on the roof", "put on the roof", "sing on the fan", "sing on the lamp"}  # fmt: skip
    assert set(teaching.pool_of(data, Making(crossed=9))) == every | {"sing on the roof"}
    given: dict[str, Any] = {side: (replace(rows[0], text="Turn on the LAMP"),)}
    assert set(teaching.pool_of(replace(data, **given), Making(crossed=9))) == every - {"turn on the lamp"} | {"sing on the roof"}  # fmt: skip


def test_a_fold_is_spoken_of_by_who_never_saw_it(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"turn {number}" for number in range(12)]
    rows = tuple(Sentence(text, "on") for text in texts)
    data = TaskData("t", "t", ("en",), LABELS, SLOTS, rows, (), (), (), ())
    left = [{row.text for row in teaching.without_fold(data, fold, 3).train} for fold in range(3)]
    assert set.union(*left) == set(texts)
    assert sum(len(texts) - len(one) for one in left) == len(texts)
    assert teaching.fold_of("Turn ON", 5) == teaching.fold_of("turn on", 5)
    heard: dict[str, list[str]] = {}

    def listen(teacher: str, said: list[str], _tell: Any) -> Lesson:
        heard[teacher] = said
        value = float(teacher) if teacher.isdecimal() else 100.0
        return Lesson(torch.full((len(said), len(LABELS)), value), torch.full((len(said), 2), value))

    monkeypatch.setattr(teaching, "model_folder", Path)
    monkeypatch.setattr(store, "load_teacher", lambda folder, *_: folder.name)
    monkeypatch.setattr(teaching, "listen", listen)
    folds = [Path(str(number)) for number in range(3)]
    lesson = teaching.lesson_of(data, ["hum", "sing"], [Path("all")], folds, lambda _: None)
    for number, one in enumerate(left):
        assert heard[str(number)] == [*(text for text in texts if text not in one), "hum", "sing"]
    assert heard["all"] == [*texts, "hum", "sing"]
    for number, text in enumerate(texts):
        assert lesson.logits[number, 0] == (100 + teaching.fold_of(text, 3)) / 2
    assert lesson.logits[12:].eq((100 + 0 + 1 + 2) / 4).all()
    assert lesson.embeddings.eq(100).all()


def test_a_student_starts_from_the_general_stage_piece_by_piece(tmp_path: Path) -> None:
    general, known = student(), ["[PAD]", "[UNK]", "lamp", "turn"]
    with torch.no_grad():
        general.trunk.embedding.weight.copy_(torch.arange(len(PIECES) * 16.0).view(len(PIECES), 16))
    torch.save({"pieces": PIECES, "state": general.state_dict()}, tmp_path / "general.pt")
    torch.manual_seed(9)
    one = Student(replace(DIMS, vocabulary=4, stages=1), 5, 0, 6)
    take_over(one, known, tmp_path / "general.pt")
    table = one.trunk.embedding.weight.detach().numpy()
    assert np.array_equal(table[2], general.trunk.embedding.weight.detach().numpy()[PIECES.index("lamp")])
    assert torch.equal(one.trunk.stages[0][0].down.weight, general.trunk.stages[0][0].down.weight)
