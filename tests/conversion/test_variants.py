"""What is measured of a student that is trained to be compared with."""

from __future__ import annotations

import pytest

torch = pytest.importorskip(
    "torch", reason="needs torch: run `.venvs/train/bin/python -m pytest tests/conversion`"
)

from pathlib import Path
from typing import Any

from conversion import variants
from conversion.check.calibrate import Strangeness
from conversion.data.sentence import Sentence
from conversion.data.task import TaskData
from conversion.data.workbench import Workbench
from conversion.nets.deepseek_lite import Dims
from conversion.nets.student import Student
from conversion.pipeline import Job
from conversion.train.batches import encode
from conversion.train.course import Course
from conversion.train.distil import Settings
from conversion.variants import measure
from firmware_py.contracts.clock import VirtualClock
from firmware_py.tasks.text import WordPiece

PIECES = ("[PAD]", "[UNK]", "turn", "on", "off", "lamp", "fan")
ROWS = tuple(Sentence(f"turn {what} {thing}", what) for what in ("on", "off") for thing in ("lamp", "fan"))


@pytest.mark.parametrize("slots", [(), ("name",)])
@pytest.mark.parametrize(("exits", "stages"), [(False, 1), (False, 2), (False, 3), (True, 2)])
def test_exits_that_no_loss_reached_are_not_listed(exits: bool, stages: int, slots: tuple[str, ...]) -> None:
    data = TaskData("t", "t", ("en",), ("off", "on"), slots, ROWS, ROWS, ROWS, ROWS, ROWS)
    torch.manual_seed(0)
    dims = Dims(len(PIECES), d=16, heads=4, latent=4, rope=4, ffn=16, stages=stages, dropout=0.0)
    student = Student(dims, 2, len(slots)).eval()
    side = encode(ROWS, WordPiece(list(PIECES)), data.labels, data.slots)
    course = Course(data, PIECES, side, Path(), 6, ())
    figures, rows = measure(
        course, student, Settings(0, stages=stages, exits=exits, sandwich=exits), Strangeness()
    )
    listed = range(stages + 1) if exits else [stages]
    assert set(figures["exits"]) == set(map(str, listed))
    widths = [4, 3, 2, 1] if exits or stages == 3 else [4]  # each for pairing with another student's
    assert set(rows.systems) == {*(f"exit-{n}" for n in listed), *(f"width-{n}" for n in widths)}
    for width in widths:
        assert rows.systems[f"width-{width}"].right.mean() == pytest.approx(
            figures["widths"][str(width)]["accuracy"], abs=1e-5
        )
    last = figures["exits"][str(stages)]
    assert figures["widths"]["4"]["accuracy"] == last["accuracy"]
    assert rows.systems[f"exit-{stages}"].right.mean() == pytest.approx(last["accuracy"], abs=1e-5)


@pytest.mark.parametrize(
    ("variant", "made"), [("as-shipped", "student-rms-0.pt"), ("no-kl", "variants/no-kl-0.pt")]
)
def test_what_ships_is_measured_as_it_was_built(
    variant: str, made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def learn(*given: Any) -> Student:
        asked.append(given[-1])
        raise KeyboardInterrupt

    monkeypatch.setattr(variants, "take_course", lambda *_: None)
    monkeypatch.setattr(variants, "learn", learn)
    job = Job("hwu64", Settings(0), ("dyn8",), tmp_path, None, tmp_path, None)
    with pytest.raises(KeyboardInterrupt):
        variants.study(job, variant, Workbench(tmp_path, VirtualClock(), lambda _: None, {}))
    assert asked == [made]


def test_what_is_turned_away_is_wrong_as_it_is_in_what_ships() -> None:
    """Else int8 would seem to lose what the threshold turns away."""
    foreign = tuple(Sentence(f"fan {what}", "oos") for what in ("off", "on"))
    rows = (*ROWS, *foreign)
    data = TaskData("t", "t", ("en",), ("off", "on", "oos"), (), rows, rows, rows, rows, rows)
    torch.manual_seed(0)
    dims = Dims(len(PIECES), d=16, heads=4, latent=4, rope=4, ffn=16, stages=2, dropout=0.0)
    student = Student(dims, 3, 0).eval()
    with torch.no_grad():
        student.heads[2].intent_w2 *= 20.0  # so that sentences differ
    course = Course(data, PIECES, encode(rows, WordPiece(list(PIECES)), data.labels, ()), Path(), 6, ())
    strict, mild = (
        measure(course, student, Settings(0, stages=2), Strangeness(by_label=False, rejected=share))[0]
        for share in (0.7, 0.0)
    )
    assert strict["exits"]["2"]["rejected"] > mild["exits"]["2"]["rejected"]
    assert strict["exits"]["2"]["accuracy"] <= mild["exits"]["2"]["accuracy"]
