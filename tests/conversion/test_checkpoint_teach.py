"""A checkpoint teaches: probed or tuned, by size, with every run's figures; its course feeds a student."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)

from conversion.checkpoint import course, probe, teach
from conversion.checkpoint.course import (
    MIN_STEPS,
    PLAN,
    Source,
    enough,
    look_over,
    prepare_from_checkpoint,
    unknown_share,
    usual_student_s,
)
from conversion.checkpoint.data import read_files
from conversion.checkpoint.inspect import inspect
from conversion.checkpoint.teach import Order, teach_from_checkpoint, tunable
from conversion.data.task import TaskData
from conversion.data.workbench import Workbench
from conversion.pipeline import Job, usual_seconds
from conversion.train import teaching
from conversion.train.distil import Settings
from conversion.train.plans import Plan
from conversion.train.teacher import Lesson, Run, model_folder
from conversion.train.teaching import Making
from firmware_py.contracts.clock import VirtualClock
from firmware_py.contracts.errors import CiuicError
from tests.conversion import checkpoints
from tests.conversion.small import filled

SAID = {
    "light_on": (
        "turn on the {} light",
        "switch the {} lamp on",
        "I want light in the {}",
        "{} light on please",
    ),
    "light_off": (
        "turn off the {} light",
        "switch the {} lamp off",
        "make the {} dark",
        "{} light off please",
    ),
    "weather": (
        "is it raining in {}",
        "what is the weather in {}",
        "will {} be sunny tomorrow",
        "forecast for {}",
    ),
    "oos": ("who wrote {}", "translate {} for me", "how do I spell {}", "sell my shares of {}"),
}
FILLED = ("kitchen", "garden", "Berlin", "attic", "Paris", "hall", "office", "London", "cellar", "Rome")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TaskData:
    return filled(tmp_path_factory.mktemp("rows"), SAID, FILLED)


def bench_of(folder: Path) -> Workbench:
    return Workbench(folder, VirtualClock(), lambda _: None, {"pool": 1.0, "teacher": 10.0})


def test_minilm_probed_knows_the_task(data: TaskData, tmp_path: Path) -> None:
    """Real pretrained weights: a linear look at them is enough for sentences this plain."""
    shares: list[float] = []
    order = Order(inspect(model_folder()), "probed", unlabelled=("turn the lamp on", "rain in Madrid"))
    taught = teach_from_checkpoint(order, data, tmp_path, shares.append)
    assert taught.lesson.logits.shape == (len(data.train) + 2, len(data.labels))
    assert taught.lesson.embeddings.shape == (len(data.train) + 2, 384)
    torch.testing.assert_close(taught.lesson.embeddings.norm(dim=-1), torch.ones(len(data.train) + 2))
    assert len(taught.logs) >= 6
    best = taught.logs[0]
    assert best["selection"] == max(log["selection"] for log in taught.logs)
    assert best["report"] >= 0.9
    assert {log["run"]["depth"] for log in taught.logs} >= {2, 3, 4, 6}
    assert {log["run"]["strength"] for log in taught.logs} == set(probe.STRENGTHS)
    # What is said of the texts without labels stands behind the training texts.
    said = [data.labels[int(number)] for number in taught.lesson.logits[-2:].argmax(-1)]
    assert said == ["light_on", "weather"]
    assert shares == sorted(shares)
    json.dumps(taught.logs)


def test_a_deepseek_checkpoint_teaches(data: TaskData, v3: Path, tmp_path: Path) -> None:
    """Random weights know no language, but equal words give like rows: better than chance."""
    taught = teach_from_checkpoint(Order(inspect(v3), "probed"), data, tmp_path)
    assert taught.logs[0]["method"] == "probed"
    assert taught.logs[0]["architecture"] == "deepseek_v3"
    assert taught.lesson.embeddings.shape == (len(data.train), 32)
    assert taught.logs[0]["report"] > 0.5


@pytest.mark.parametrize("way", ["tuned", "probed"])
def test_foreign_rows_of_the_report_file_alone_are_no_label(way: teach.Way, tmp_path: Path) -> None:
    """The tutorial offers two files: a report file may ask what training never showed."""
    rows = [
        {"text": text.format(word), "intent": intent}
        for intent, texts in SAID.items()
        for text in texts
        for word in FILLED
    ]
    known = [row for row in rows if row["intent"] != "oos"]
    files = {"train": known[::2], "report": [*known[1::2], *rows[-20:]], "known": known[1::2]}
    for name, some in files.items():
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in some), "utf-8")
    figures = {}
    for name in ("report", "known"):
        data = read_files("rooms", [tmp_path / "train", tmp_path / name])
        assert "oos" not in data.labels
        order = Order(inspect(model_folder()), way, (Run(epochs=3, rate=3e-4),))
        figures[name] = teach_from_checkpoint(order, data, tmp_path / f"cache-{name}").logs[0]["report"]
    assert figures["report"] == figures["known"] > 0.5


def test_minilm_is_tuned_and_every_run_is_logged(data: TaskData, tmp_path: Path) -> None:
    runs = (Run(epochs=3, rate=3e-4), Run(epochs=1, rate=1e-6, seed=1))
    taught = teach_from_checkpoint(Order(inspect(model_folder()), "tuned", runs), data, tmp_path)
    assert [log["method"] for log in taught.logs] == ["tuned", "tuned"]
    assert taught.logs[0]["run"]["epochs"] == 3  # the better one teaches
    assert taught.logs[0]["selection"] > taught.logs[1]["selection"]
    targets = probe.numbers([row.intent for row in data.train], data.labels)
    assert probe.accuracy(taught.lesson.logits.numpy(), targets) > 0.9


def test_what_cannot_be_tuned_says_why(v3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tunable(inspect(model_folder())) is None
    assert "deepseek_v3" in (tunable(inspect(v3)) or "")
    with pytest.raises(CiuicError, match="cannot be tuned") as caught:
        look_over(Source(v3, "tune"))
    assert caught.value.code == "checkpoint_unsupported"
    bert = checkpoints.copy(model_folder(), tmp_path / "bert")
    (bert / "vocab.txt").unlink()
    assert "vocab.txt" in (tunable(inspect(bert)) or "")
    monkeypatch.setattr(teach, "TUNABLE", 1_000_000)
    assert "million" in (tunable(inspect(model_folder())) or "")


def test_a_course_is_what_a_student_learns_from(data: TaskData, v3: Path, tmp_path: Path) -> None:
    """Teacher of another tokenizer and width; interrupted builds go on where they stopped."""
    from conversion.train.course import learn

    plan = Plan(2048, (), Making(1), Settings(0, epochs=1))
    bench = bench_of(tmp_path)
    looked = look_over(Source(v3))
    course = prepare_from_checkpoint(looked, plan, data, bench)
    job = Job("mine", plan.settings, ("dyn8",), tmp_path, None, tmp_path, None, Source(v3))
    assert [*usual_seconds(job)][1:3] == [*bench.seconds]  # the time left counts these steps and no others
    assert course.teacher_width == 32
    assert len(course.side) > len(data.train)  # the pool follows
    assert course.logs[0]["method"] == "probed"
    assert course.logs[0]["unknown_pieces_of_training_rows"] == 0.0
    stamp = (tmp_path / "lesson" / "lesson.npz").stat().st_mtime_ns
    again = prepare_from_checkpoint(looked, plan, data, bench_of(tmp_path))
    assert (tmp_path / "lesson" / "lesson.npz").stat().st_mtime_ns == stamp
    student = learn(again, plan.settings, bench_of(tmp_path), "student.pt")
    ids = course.side.ids[:3]
    assert student(ids, (ids > 0).float())[-1].logits.shape == (3, len(data.labels))


def test_a_corrected_checkpoint_teaches_anew(
    data: TaskData, v3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are the same: what the configuration and the tokenizer make of them is not."""
    folder = checkpoints.copy(v3, tmp_path / "mine")
    taught: list[str] = []

    def teach_once(*_: object) -> teach.Taught:
        taught.append(stage)
        return teach.Taught(Lesson(torch.zeros(1, len(data.labels)), torch.zeros(1, 8)), ({},))

    monkeypatch.setattr(course, "teach_from_checkpoint", teach_once)
    monkeypatch.setattr(teaching, "pool_of", lambda *_: [])
    for stage in ("first", "unchanged", "config.json", "unchanged", "tokenizer.json", "unchanged"):
        if stage == "config.json":
            checkpoints.change_config(folder, rms_norm_eps=10.0)
        elif stage == "tokenizer.json":
            raw = json.loads((folder / stage).read_text("utf-8"))
            (folder / stage).write_text(json.dumps(raw | {"normalizer": {"type": "Lowercase"}}), "utf-8")
        plan = Plan(2048, (), Making(1), Settings(0, epochs=1))
        prepare_from_checkpoint(look_over(Source(folder, "probe")), plan, data, bench_of(tmp_path / "build"))
    assert taught == ["first", "config.json", "tokenizer.json"]


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "vocab.txt", "tokenizer_config.json"])
def test_a_corrected_file_is_tuned_anew(
    name: str, data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, tuned = checkpoints.bert(tmp_path / "mine"), []

    def write(folder: Path, *_: object) -> None:
        tuned.append(folder.name)
        folder.mkdir()
        (folder / "log.json").write_text('{"selection": 0.5}')

    monkeypatch.setattr(teach, "tune_teacher", write)
    monkeypatch.setattr(teach, "load_teacher", lambda *_: None)
    monkeypatch.setattr(teach, "listen", lambda *_: None)
    for changed in (False, False, True):
        if changed:
            with (folder / name).open("a", encoding="utf-8") as file:
                file.write("\n")
        order = Order(inspect(folder), "tuned", (Run(epochs=1, rate=1e-3),))
        teach_from_checkpoint(order, data, tmp_path / "cache")
    assert len(set(tuned)) == len(tuned) == 2


def test_a_small_set_is_gone_through_more_often() -> None:
    """Some steps of warming up alone would leave a student that no gate lets pass."""
    settings = PLAN.settings
    assert enough(settings, 8000, 48_000) == settings
    quick = replace(settings, epochs=1)
    assert enough(quick, 8000, 48_000) == replace(quick, warm_up_steps=47)  # a quarter of 188 steps
    for known, others in ((14, 60), (175, 995), (175, 0)):
        few = enough(quick, known, others)
        each = math.ceil((known + min(others, 2 * known)) / settings.batch)
        assert MIN_STEPS <= few.epochs * each < MIN_STEPS + each
        assert few.warm_up_steps == few.epochs * each // 4
        assert usual_student_s(few, known, others) < usual_student_s(settings, 8000, 48_000) / 20
    assert enough(replace(settings, epochs=900), 14, 60).epochs == 900


def test_another_script_is_told(data: TaskData) -> None:
    assert unknown_share(["[PAD]", "[UNK]", "turn", "on"], data) > 0.8


@pytest.mark.parametrize("labels", [2, 3])
def test_the_probe_says_labels_that_have_rows(labels: int) -> None:
    """Standardised inside: a dimension a thousand times the others does not drown them."""
    random = np.random.default_rng(0)
    targets = random.integers(0, 2, 200)
    rows: Any = random.normal(size=(2, 200, 8)).astype(np.float32)
    rows[1, :, 3] += targets * 3
    rows[:, :, 0] *= 1000
    trials = probe.choose(
        probe.Side(rows[:, :150], targets[:150]),
        probe.Side(rows[:, 150:], targets[150:]),
        labels,
        lambda _: None,
    )
    assert trials[0].probe.depth == 1
    assert trials[0].selection > 0.85
    logits = trials[0].probe.logits(rows)
    assert logits.shape == (200, labels)
    if labels == 3:
        assert (logits.argmax(-1) < 2).all()
