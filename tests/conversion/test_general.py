"""The general stage on a handful of texts: what it reads, what it makes of them, that it learns MiniLM's sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is in the training environment only")

import numpy as np

from conversion.data.augment import cover, plain
from conversion.data.public import SETS
from conversion.data.sentence import unlabelled
from conversion.data.workbench import Workbench
from conversion.nets.deepseek_lite import Dims
from conversion.nets.student import Student
from conversion.train.batches import batches, encode
from conversion.train.general import (
    Corpus,
    GeneralSettings,
    corpus_texts,
    general_start,
    pool_texts,
    unread_texts,
)
from conversion.train.teacher import WIDTH, Teacher, listen, model_folder, neighbours
from firmware_py.contracts.clock import VirtualClock
from firmware_py.tasks.text import WordPiece

CORPUS = Corpus("small", ("snips7",), augmented=1, covered=2, epochs=2)
SETTINGS = GeneralSettings(epochs=6, batch=16)
TEXTS = [f"please turn the snips7 lamp number {n} on" for n in range(40)]


def write(folder: Path, name: str, share: str, texts: list[str]) -> None:
    """A public set's rows of two intents."""
    rows = [{"text": text, "intent": f"i{n % 2}"} for n, text in enumerate(texts)]
    (folder / name / f"{share}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The public sets with a few rows each. Two of clinc150's report texts are a training text of snips7, and one made of those."""
    folder = tmp_path_factory.mktemp("sets")
    for name in SETS:
        (folder / name).mkdir()
        for share in ("train", "val"):
            write(folder, name, share, [f"{share} text {n} of {name}" for n in range(40)])
    write(folder, "snips7", "train", [*TEXTS, "Play   THAT song"])
    kept = corpus_texts(folder, CORPUS)
    made = cover(kept, neighbours().words, CORPUS.covered, SETTINGS.seed)[0]
    write(folder, "clinc150", "val", ["play that song", made.upper().replace(" ", "  ")])
    return folder


@pytest.fixture(scope="module")
def folder(sets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stage of one layer, trained."""
    folder = tmp_path_factory.mktemp("stage")
    made = general_start(sets, bench(folder), CORPUS, SETTINGS, layers=1)
    assert made == folder / "general-1.pt"
    return folder


def bench(folder: Path) -> Workbench:
    return Workbench(folder, VirtualClock(), lambda _: None, {})


def test_the_stage_reads_its_sets_and_words_that_stand_in_but_nothing_that_is_asked(
    folder: Path, sets: Path
) -> None:
    texts, kept = pool_texts(folder / "pool.npz"), corpus_texts(sets, CORPUS)
    assert set(kept) <= set(texts)
    assert "play that song" not in set(map(plain, kept))
    assert not {plain(text) for text in texts} & unread_texts(sets)
    assert len(texts) == len(set(texts)) > 2 * len(kept)
    known = {word for text in kept for word in text.split()}
    assert len({word for text in texts for word in text.split()} - known) > 60, "words that no text has"
    with np.load(folder / "pool.npz") as file:
        said = file["embeddings"]
    asked = listen(Teacher(model_folder(), 1), texts[-1:]).embeddings.numpy()
    assert said.shape == (len(texts), WIDTH)
    assert np.abs(said[-1] - asked[0]).max() < 2e-3, "each text stands beside what MiniLM says of it"


def test_every_exit_learns_what_minilm_says_of_a_sentence(folder: Path) -> None:
    texts = pool_texts(folder / "pool.npz")
    with np.load(folder / "pool.npz") as file:
        taught = torch.from_numpy(file["embeddings"].astype(np.float32))
    stored = torch.load(folder / "general-1.pt", weights_only=True)
    side = encode(unlabelled(texts), WordPiece(stored["pieces"]), (), ())

    def close(student: Student) -> list[float]:
        """Mean cosine of each exit's projected pool to the teacher's row."""
        found = [0.0] * len(student.project)
        with torch.no_grad():
            for batch in batches(side, 64):
                for number, said in enumerate(student.eval()(batch.ids, batch.mask)):
                    ours = student.project[number](said.pool.float())
                    alike = torch.nn.functional.cosine_similarity(ours, taught[batch.index])
                    found[number] += float(alike.sum()) / len(texts)
        return found

    torch.manual_seed(0)
    student = Student(Dims(len(stored["pieces"]), layers=1, dropout=0.0), 1, 0, WIDTH)
    before = close(student)
    student.load_state_dict(stored["state"])
    assert all(after > first + 0.2 for first, after in zip(before, close(student), strict=True))


def test_a_stage_of_two_layers_is_a_file_of_its_own_over_the_same_pool(folder: Path, sets: Path) -> None:
    before = {name: (folder / name).stat().st_mtime_ns for name in ("pool.npz", "general-1.pt")}
    two = general_start(sets, bench(folder), CORPUS, SETTINGS, layers=2)
    assert general_start(sets, bench(folder), CORPUS, SETTINGS, layers=1) == folder / "general-1.pt"
    assert {name: (folder / name).stat().st_mtime_ns for name in before} == before, "nothing was made twice"
    assert "trunk.stages.0.1.down.weight" in torch.load(two, weights_only=True)["state"]
    assert (
        "trunk.stages.0.1.down.weight" not in torch.load(folder / "general-1.pt", weights_only=True)["state"]
    )
