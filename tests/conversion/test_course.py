"""Which steps a build makes anew: those that depend on what changed, and no others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)

from conversion import pipeline
from conversion.data.sentence import Sentence
from conversion.data.task import TaskData
from conversion.data.workbench import Workbench
from conversion.nets.deepseek_lite import Dims
from conversion.nets.student import Student
from conversion.train import course, store, teacher, teaching
from conversion.train.batches import encode
from conversion.train.distil import Settings
from conversion.train.plans import Plan
from conversion.train.teacher import Run
from conversion.train.teaching import Making
from firmware_py.contracts.clock import VirtualClock
from firmware_py.tasks.text import WordPiece

PIECES = ["[PAD]", "[UNK]", "turn", "on", "off"]
PLAN = Plan(8, (Run(1, 1e-3), Run(1, 2e-3, seed=1)), Making(2), Settings(0), speakers=2)


def bench(folder: Path) -> Workbench:
    """A fresh one on the same folder: the next build."""
    return Workbench(folder, VirtualClock(), lambda _: None, {})


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps that were made, in order; nothing is tuned."""
    out: list[str] = []

    def tuned(path: Path, data: TaskData, run: Run, _source: Any, _tell: Any) -> None:
        out.append(path.name)
        path.mkdir(exist_ok=True)
        log = {"selection": run.rate, "seed": run.seed, "texts": [row.text for row in data.train]}
        (path / "log.json").write_text(json.dumps(log), "utf-8")

    def lesson(_data: Any, _texts: Any, folders: list[Path], folds: list[Path], _tell: Any) -> teacher.Lesson:
        out.append("lesson of " + " and ".join(folder.name for folder in (*folders, *folds)))
        return teacher.Lesson(torch.zeros(1, 2), torch.zeros(1, 2))

    def pool(_data: Any, making: Making) -> list[str]:
        out.append("pool")
        return ["turn"] * making.near

    monkeypatch.setattr(teaching, "tune_teacher", tuned)
    monkeypatch.setattr(teaching, "lesson_of", lesson)
    monkeypatch.setattr(teaching, "pool_of", pool)
    monkeypatch.setattr(course, "_pieces", lambda _plan, _data: PIECES)
    monkeypatch.setattr(course, "model_folder", Path)
    return out


def test_a_lesson_is_given_again_where_others_speak(tmp_path: Path, made: list[str]) -> None:
    rows = tuple(Sentence(f"turn {what}", what) for what in ("on", "off"))
    data = TaskData("t", "t", ("en",), ("off", "on"), (), rows, rows, rows, rows, rows)
    first = bench(tmp_path)
    course.prepare(PLAN, data, first, None)
    assert made == ["teacher-1", "teacher-2", "pool", "lesson of teacher-2 and teacher-1"]
    job = pipeline.Job("banking77", PLAN.settings, ("dyn8",), tmp_path, None, tmp_path, None)
    assert list(pipeline.usual_seconds(job))[1:5] == list(first.seconds)  # what the time left counts
    course.prepare(PLAN, data, bench(tmp_path), None)
    assert made[4:] == []
    course.prepare(replace(PLAN, speakers=1), data, bench(tmp_path), None)
    assert made[4:] == ["lesson of teacher-2"]
    course.prepare(replace(PLAN, making=Making(3)), data, bench(tmp_path), None)
    assert made[5:] == ["pool", "lesson of teacher-2 and teacher-1"]
    other = replace(data, train=(*rows, Sentence("turn turn off", "off")))
    course.prepare(replace(PLAN, making=Making(3)), other, bench(tmp_path), None)
    assert made[7:] == ["teacher-1", "teacher-2", "pool", "lesson of teacher-2 and teacher-1"]


def test_folds_speak_behind_the_teachers_of_all_rows(tmp_path: Path, made: list[str]) -> None:
    rows = tuple(Sentence(f"turn {what}", what) for what in ("on", "off"))
    data = TaskData("t", "t", ("en",), ("off", "on"), (), rows, rows, rows, rows, rows)
    data = replace(data, train=tuple(Sentence(f"turn {number}", "on") for number in range(8)))
    first = bench(tmp_path)
    folded = replace(PLAN, speakers=1, folds=2)
    found = course.prepare(folded, data, first, None)
    assert made == ["teacher-1", "teacher-2", "fold-0", "fold-1", "pool", "lesson of teacher-2 and fold-0 and fold-1"]  # fmt: skip
    course.prepare(folded, data, bench(tmp_path), None)
    assert made[6:] == []
    course.prepare(replace(folded, making=Making(2, 1)), data, bench(tmp_path), None)
    assert made[6:] == ["pool", "lesson of teacher-2 and fold-0 and fold-1"]
    best, other, *folds = found.logs
    assert (best["selection"], best["speaks"], other["speaks"]) == (2e-3, True, False)
    assert [one["left_out"] for one in folds] == ["fold 1 of 2", "fold 2 of 2"]
    texts = [row.text for row in data.train]
    for number, one in enumerate(folds):
        assert one["speaks"]
        assert one["texts"] == [text for text in texts if teaching.fold_of(text, 2) != number]
    assert 0 < len(folds[0]["texts"]) < len(texts)
    assert len({one["seed"] for one in found.logs}) == 4


OWN = Plan(
    8, (), Making(), Settings(0),
    larger=Dims(0, d=16, heads=4, latent=4, rope=4, ffn=16, stages=2, dropout=0.0),
    larger_settings=Settings(0, epochs=20, stages=2, batch=4, warm_up_steps=1, rate=1e-2, sandwich=False),
)  # fmt: skip


def test_a_larger_model_that_teaches_has_its_figures_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every MiniLM run's are: the accuracy on selection and report, of rows in scope."""
    monkeypatch.setattr(course, "_pieces", lambda _plan, _data: PIECES)
    monkeypatch.setattr(course, "model_folder", Path)
    monkeypatch.setattr(
        course, "start_embeddings", lambda _folder, pieces, width: torch.randn(len(pieces), width)
    )
    trained, real = [], store.save_student

    def save(path: Path, student: Student) -> None:
        trained.append(path.name)
        real(path, student)

    monkeypatch.setattr(store, "save_student", save)
    rows = tuple(Sentence(f"turn {what}{' turn' * n}", what) for what in ("on", "off") for n in range(6))
    odd = (
        Sentence("on", "off"),
        Sentence("turn on", "on"),
        Sentence("lamp", "oos"),
        Sentence("turn off", "off"),
    )
    data = TaskData("t", "t", ("en",), ("off", "on", "oos"), (), rows, odd, rows, rows, rows)
    taken = course.prepare(OWN, data, bench(tmp_path), None)

    (log,) = taken.logs
    assert log["parameters"] > 0
    assert log["dims"]["d"] == 16
    assert log["run"]["epochs"] == 20
    larger = store.load_student(Student(Dims(**log["dims"]), 3, 0), tmp_path / "teacher-1.pt")
    for split in ("selection", "report"):
        known = [row for row in data.split(split) if row.intent != "oos"]
        side = encode(known, WordPiece(PIECES), data.labels, ())
        with torch.no_grad():
            said = larger(side.ids, (side.ids > 0).float())[-1].logits.argmax(1)
        assert log[split] == pytest.approx(float((said == side.labels).float().mean()), abs=1e-5)
    assert log["selection"] < log["report"] == 1.0
    assert trained == ["teacher-1.pt"]

    path = tmp_path / "teacher-1.json"
    path.unlink()  # as a build of an earlier version left its folder: nothing is trained anew for a figure
    lesson = (tmp_path / "lesson.npz").stat().st_mtime_ns
    assert course.prepare(OWN, data, bench(tmp_path), None).logs == taken.logs
    assert (tmp_path / "lesson.npz").stat().st_mtime_ns == lesson

    general = tmp_path / "general.pt"
    assert course.prepare(OWN, data, bench(tmp_path), general).general == general  # the student starts there
    path.write_text('{"selection": 0}', "utf-8")
    other = replace(data, train=rows[:-1])
    assert (
        course.prepare(OWN, other, bench(tmp_path), None).logs[0]["selection"] > 0
    )  # other weights, other figures
    assert trained == ["teacher-1.pt"] * 2


def test_other_pieces_of_the_same_number_make_another_student(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An embedding row belongs to its piece: weights of other pieces must not be taken for these."""
    trained = []

    def save(path: Path, _student: Any) -> None:
        trained.append(path.name)
        path.write_bytes(b"")

    monkeypatch.setattr(store, "save_student", save)
    monkeypatch.setattr(teaching, "train_student", lambda *_: None)
    monkeypatch.setattr(teaching, "new_student", lambda *_: None)
    monkeypatch.setattr(store, "load_student", lambda *_: None)
    rows = (Sentence("turn on", "on"), Sentence("turn off", "off"))
    data = TaskData("t", "t", ("en",), ("off", "on"), (), rows, rows, rows, rows, rows)
    for pieces in (PIECES, PIECES, [*PIECES[:-1], "lamp"]):
        taken = course.Course(data, tuple(pieces), None, tmp_path, 1, ())  # type: ignore[arg-type]
        course.learn(taken, Settings(0), bench(tmp_path), "student.pt")
    assert len(trained) == 2


def test_a_vocabulary_is_filled_with_what_is_near_and_noise_has_no_say_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = [f"[unused{number}]" for number in range(1996)]
    source[:2] = ["[PAD]", "[UNK]"]
    source += ["turn", "on", "senate", "carport", "veranda", "zdzd"]
    monkeypatch.setattr(course, "read_vocabulary", lambda _folder: source)
    monkeypatch.setattr(course, "nearest_first", lambda _names: [2000, 1999, 1998])
    rows = (Sentence("turn on", "on"), Sentence("zdzd", "oos", origin="noise"))
    data = TaskData("t", "t", ("en",), ("on", "oos"), (), rows, rows, rows, rows, rows)
    assert course.cut_pieces(data, 5) == ["[PAD]", "[UNK]", "turn", "on", "senate"]
    assert course.cut_pieces(replace(data, lexicon=("porch",)), 5)[4:] == ["veranda"]
    assert course.cut_pieces(replace(data, lexicon=("porch",)), 6)[4:] == ["carport", "veranda"]


def test_pieces_near_a_name_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    source = ["[PAD]", "[UNK]", "porch", "veranda", "senate", "actor"]
    table = torch.tensor([[0, 0], [0, 0], [1.0, 0.1], [1.0, 0.0], [-1.0, 0.2], [-1.0, -0.3]])
    monkeypatch.setattr(teacher, "read_vocabulary", lambda _folder: source)
    monkeypatch.setattr(teacher, "word_table", lambda _folder: table)
    order = [source[number] for number in teacher.nearest_first(["porch"])]
    assert order[:2] == ["porch", "veranda"]
    assert order.index("veranda") < order.index("actor")


def test_a_changed_file_of_the_data_folder_is_read_by_the_next_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "model_folder", Path)
    monkeypatch.setattr(pipeline, "read_vocabulary", lambda _folder: PIECES)
    job = pipeline.Job("snips7", Settings(0), ("dyn8",), tmp_path, tmp_path, tmp_path, None)
    for name in ("snips7", "clinc150"):
        (tmp_path / name).mkdir()
        for share, word in (("train", "play"), ("val", "sing")):
            rows = [{"text": f"{word} {n}", "intent": f"i{n % 2}"} for n in range(60)]
            (tmp_path / name / f"{share}.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    first = pipeline.read(job, bench(tmp_path / "build"))
    file = tmp_path / "snips7" / "train.jsonl"
    file.write_text(file.read_text("utf-8").replace("play 7", "play eight"), "utf-8")
    second = pipeline.read(job, bench(tmp_path / "build"))
    assert first.key() != second.key()
    texts = [{row.text for split in ("train", "selection", "temperature", "thresholds") for row in data.split(split)}
             for data in (first, second)]  # fmt: skip
    assert texts[1] - texts[0] == {"play eight"}


def test_files_of_a_user_count_in_their_order(tmp_path: Path) -> None:
    names = []
    for word in ("play", "sing"):
        rows = [{"text": f"{word} {n}", "intent": f"i{n % 2}"} for n in range(60)]
        names.append(tmp_path / f"{word}.jsonl")
        names[-1].write_text("\n".join(map(json.dumps, rows)), "utf-8")
    job = pipeline.Job("mine", Settings(0), ("dyn8",), tmp_path, None, tmp_path, None, files=tuple(names))
    assert pipeline.read(job, bench(tmp_path / "build")).report[0].text.startswith("sing")
    turned = replace(job, files=(names[1], names[0]))
    assert pipeline.read(turned, bench(tmp_path / "build")).report[0].text.startswith("play")
