"""The time left is of the steps of this build: what another plan would do is not waited for."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)

from conversion import building
from conversion.checkpoint.course import PLAN, Looked, Source
from conversion.data.sentence import Sentence
from conversion.data.task import TaskData
from conversion.data.workbench import Workbench
from conversion.nets.deepseek_lite import Dims
from conversion.pipeline import Job, usual_seconds
from conversion.train import course
from conversion.train.distil import Settings
from conversion.train.plans import PLANS
from conversion.train.teacher import model_folder, read_vocabulary
from firmware_py.contracts.clock import VirtualClock

STEPS = {
    "hwu64": [
        "data",
        "teacher-1",
        "teacher-2",
        *(f"fold-{number}" for number in range(4)),
        "pool",
        "lesson",
        "student",
        "graphs",
        "release",
    ],
    "home-multi": ["data", "teacher-1", "lesson", "student", "graphs", "release"],
    "mine": ["data", "pool", "teacher", "student", "graphs", "release"],
}


def job_of(name: str, **changes: Any) -> Job:
    plan = PLANS.get(name, PLAN)
    teacher = None if name in PLANS else Source(Path("checkpoint"))
    return replace(Job(name, plan.settings, ("dyn8",), Path(), None, Path(), None, teacher), **changes)


@pytest.mark.parametrize("name", STEPS)
def test_a_build_that_takes_as_long_as_usual_says_so_from_beginning_to_end(name: str, tmp_path: Path) -> None:
    clock, said, true_min = VirtualClock(), list[str](), list[float]()
    usual = usual_seconds(job_of(name))
    whole_s = sum(usual.values())

    def hear(line: str) -> None:
        said.append(line)
        true_min.append((whole_s - clock.now_s()) / 60)

    bench = Workbench(tmp_path, clock, hear, usual)

    def takes(name: str, tell: Any) -> None:
        for part in range(1, 5):
            clock.advance(usual[name] / 4)
            tell(part / 4)

    def makes(path: Path, tell: Any) -> None:
        takes(path.name, tell)
        path.write_text("", "utf-8")

    for step in STEPS[name][:-2]:
        bench.step(step, step, makes)
    for step in STEPS[name][-2:]:
        bench.work(step, lambda tell, step=step: takes(step, tell))  # type: ignore[misc]
    assert len(said) == 5 * len(STEPS[name])
    for line, left_min in zip(said, true_min, strict=True):
        match = re.fullmatch(r"\[(\d+)/(\d+)\] (\S+) +\d+%  about ([\d.]+) min left", line)
        assert match, line
        assert STEPS[name][int(match[1]) - 1] == match[3]
        assert int(match[2]) == len(STEPS[name])
        assert float(match[4]) == pytest.approx(max(0.1, left_min), abs=0.06), line


@pytest.mark.parametrize(("took", "rest_min"), [(1000, 4 * 10), (2, 2 * 10), (0.001, 10 / 4)])
def test_one_step_says_little_of_the_others(took: float, rest_min: float, tmp_path: Path) -> None:
    """A checkpoint of another size than was expected says nothing of the student behind it."""
    clock, said = VirtualClock(), list[str]()
    bench = Workbench(tmp_path, clock, said.append, {"teacher": 60.0, "student": 600.0})

    def makes(path: Path, tell: Any) -> None:
        clock.advance(60.0 * took)
        tell(0.999)
        path.write_text("", "utf-8")

    bench.step("teacher", "teacher", makes)
    left_min = float(said[-1].split()[-3])
    assert left_min == pytest.approx(rest_min + 0.001 * took, rel=0.05)


def test_what_is_asked_for_counts() -> None:
    """A quick look learns for one epoch; each recipe is released; a teacher of one's own takes MiniLM's place."""
    usual = usual_seconds(job_of("hwu64"))
    short = usual_seconds(job_of("hwu64", settings=replace(PLANS["hwu64"].settings, epochs=1)))
    assert short["student"] == usual["student"] / PLANS["hwu64"].settings.epochs
    assert usual_seconds(job_of("hwu64", recipes=("dyn8", "w8")))["release"] == 2 * usual["release"]
    assert list(usual_seconds(job_of("home-multi", teacher=Source(Path("x"))))) == STEPS["mine"]
    assert set(building.BUNDLING) < set(usual)


def test_a_larger_checkpoint_is_expected_to_take_longer(tmp_path: Path) -> None:
    source = Source(tmp_path)
    looked = [Looked(source, type("Sized", (), {"parameters": size})(), "probed") for size in (10**7, 10**10)]
    short_s, long_s = (one.usual_s(PLAN) for one in looked)
    assert long_s > 100 * short_s
    usual = usual_seconds(job_of("mine"))
    bench = Workbench(tmp_path, VirtualClock(), lambda _: None, usual)
    bench.expect("teacher", long_s)
    assert list(bench.weights) == STEPS["mine"]
    assert bench.weights["teacher"] == long_s


def test_a_teacher_of_the_students_own_architecture_makes_these_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """home-multi's plan with a small teacher, for real."""
    pieces = read_vocabulary(model_folder())[:3000]
    monkeypatch.setattr(course, "_pieces", lambda _plan, _data: pieces)
    rows = tuple(
        Sentence(f"turn {what} the {thing}", what) for what in ("on", "off") for thing in ("fan", "lamp")
    )
    data = TaskData("t", "t", ("en",), ("off", "on"), (), rows, rows, rows, rows, rows)
    plan = replace(
        PLANS["home-multi"],
        larger=Dims(vocabulary=0, d=16, heads=4, latent=4, rope=4, ffn=16, stages=2),
        larger_settings=Settings(0, epochs=1, unlabelled=0.0, sandwich=False),
    )
    bench = Workbench(tmp_path, VirtualClock(), lambda _: None, {})
    course.prepare(plan, data, bench, None)
    assert ["data", *bench.seconds, "student", "graphs", "release"] == STEPS["home-multi"]
