"""Long work at once: real processes, progress heard, what is done kept, nothing left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from conversion.crew import at_once
from conversion.data.workbench import Step, Workbench
from firmware_py.contracts.clock import SystemClock
from firmware_py.contracts.errors import ConversionError

Tell = Callable[[float], None]
PATIENCE_S = 60.0


def met(folder: Path, name: str, others: tuple[str, ...], tell: Tell) -> None:
    """Write my process's number, and end when all others are there too: none of them can be waiting for me to end."""
    (folder / name).write_text(str(os.getpid()), "utf-8")
    tell(0.5)
    end = time.monotonic() + PATIENCE_S
    while not all((folder / other).exists() for other in others):
        assert time.monotonic() < end
        time.sleep(0.01)
    tell(1.0)


def fails(_tell: Tell) -> None:
    msg = "this one does not work"
    raise ValueError(msg)


def dies(_tell: Tell) -> None:
    os._exit(9)


def sleeps(folder: Path, _tell: Tell) -> None:
    (folder / "whole").write_text(str(os.getpid()), "utf-8")
    (folder / "whole").rename(folder / "sleeps")  # it may be ended between opening a file and writing into it
    time.sleep(600)  # far beyond the test's patience: only being ended ends it


def test_works_run_at_the_same_time_and_are_heard(tmp_path: Path) -> None:
    names, heard = ("one", "two"), list[tuple[str, float]]()
    works = {name: partial(met, tmp_path, name, names) for name in names}
    done = list(at_once(works, 2, lambda name, share: heard.append((name, share))))
    assert sorted(done) == ["one", "two"]
    assert {(name, 0.5) for name in names} <= set(heard)
    numbers = {(tmp_path / name).read_text("utf-8") for name in names}
    assert len(numbers) == 2
    assert str(os.getpid()) not in numbers


@pytest.mark.parametrize(("bad", "error"), [(fails, ValueError), (dies, ConversionError)] * 3)
def test_what_fails_is_told_at_once_and_the_others_are_ended(
    bad: Callable[[Tell], None], error: type[Exception], tmp_path: Path
) -> None:
    """Else a build whose second teacher ran out of memory would go on for the first one's sake."""
    start_s = time.monotonic()
    with pytest.raises(error):
        list(at_once({"sleeps": partial(sleeps, tmp_path), "bad": bad}, 2, lambda *_: None))
    assert time.monotonic() - start_s < PATIENCE_S
    if (tmp_path / "sleeps").exists():
        number = int((tmp_path / "sleeps").read_text("utf-8"))
        end = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{number}").exists():
            assert time.monotonic() < end, "a worker goes on"
            time.sleep(0.02)


def written(text: str, path: Path, tell: Tell) -> None:
    path.write_text(f"{text} by {os.getpid()}", "utf-8")
    tell(1.0)


def broken(_path: Path, _tell: Tell) -> None:
    fails(_tell)


def bench(folder: Path, workers: int) -> Workbench:
    return Workbench(folder, SystemClock(), lambda _: None, {}, workers=workers)


def steps(*texts: str) -> list[Step]:
    return [Step(text, f"{text}.txt", partial(written, text), {"text": text}) for text in texts]


def test_steps_made_at_once_are_kept_as_if_they_came_in_turn(tmp_path: Path) -> None:
    bench(tmp_path, 2).together(steps("one", "two"))
    made = {name: (tmp_path / f"{name}.txt").read_text("utf-8") for name in ("one", "two")}
    assert not any(text.endswith(f"by {os.getpid()}") for text in made.values())
    in_turn = bench(tmp_path, 1)
    for step in steps("one", "two"):
        in_turn.step(step.name, step.made, step.work, **step.on)
    assert {name: (tmp_path / f"{name}.txt").read_text("utf-8") for name in made} == made
    assert in_turn.seconds.keys() == made.keys()


def waits(path: Path, tell: Tell) -> None:
    time.sleep(0.4)
    written("waited", path, tell)


def test_the_seconds_of_steps_made_at_once_are_together_those_on_the_wall(tmp_path: Path) -> None:
    """Each by itself, they would be counted several times: those that wait for a worker, too."""
    one, start_s = bench(tmp_path, 2), SystemClock().now_s()
    one.together([Step(str(number), f"{number}.txt", waits, {}) for number in range(4)])
    wall_s = SystemClock().now_s() - start_s
    assert 0.8 - 0.2 <= sum(one.seconds.values()) <= wall_s + 0.2  # kept in tenths


def test_one_worker_or_one_missing_step_needs_no_process(tmp_path: Path) -> None:
    for number, names in enumerate((("one",), ("one", "two"))):
        bench(tmp_path, 2).together(steps(*names))
        assert (tmp_path / f"{names[number]}.txt").read_text("utf-8").endswith(f"by {os.getpid()}")


def test_what_one_step_finished_is_kept_when_another_fails(tmp_path: Path) -> None:
    first = steps("one")[0]
    with pytest.raises(ValueError, match="does not work"):
        bench(tmp_path, 1).together([first, Step("bad", "bad.txt", broken, {})])
    made = (tmp_path / "one.txt").read_text("utf-8")
    bench(tmp_path, 1).together([first])
    assert (tmp_path / "one.txt").read_text("utf-8") == made
