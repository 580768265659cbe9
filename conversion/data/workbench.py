"""A build's folder: each step's result is kept under a key of everything it depends on.

A step depends on all steps before it, or on what `rest_on` named instead: rows that were drawn anew and came
out equal leave what was trained on them as it is.

Steps that do not need each other's results may be worked on at once (`together`); keys are as if they came in turn.

A build that was interrupted goes on with the first step whose result is missing or was made from something
else. Progress and the time left go to the line that the caller gives.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from conversion.crew import at_once
from firmware_py.contracts.clock import Clock

Say = Callable[[str], None]
Work = Callable[
    [Path, Callable[[float], None]], None
]  # takes the result's path and what hears the share done
T = TypeVar("T")
PACE = 4.0  # how much slower or faster than usual one step can show the others to be: the rest is that step's own


@dataclass(frozen=True, slots=True)
class Step:
    """A step as `Workbench.step` takes it. Its work must be picklable: it may run in a process of its own."""

    name: str
    made: str
    work: Work
    on: Mapping[str, Any]


@dataclass(slots=True)
class Workbench:
    """Runs steps in order; `workers`: processes at a time.

    `weights`: the usual seconds of every step of this build, in their order and of no other, for the time left.
    """

    folder: Path
    clock: Clock
    say: Say
    weights: dict[str, float]
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    workers: int = 1
    _key: str = ""
    _done_s: float = 0.0

    def step(self, name: str, made: str, work: Work, **on: Any) -> Path:
        """Make `made` (a file or folder below the build folder) unless it is there from the same inputs.

        Args:
            name: the step's name, shown and kept.
            made: the result's name.
            work: called with the result's path and a function that takes the share done.
            on: what this step depends on besides all steps before it.
        """
        self._key = _chained(self._key, name, on)
        path = self.folder / made
        start_s = self.clock.now_s()
        if not self._kept(made, self._key):
            self._begin(made)
            self._tell(name, start_s)(0.0)
            work(path, self._tell(name, start_s))
            self._keep(made, self._key, start_s)
        self.seconds[name] = float((self.folder / f"{made}.seconds").read_text("utf-8"))
        self._done_s += self.weights.get(name, 0.0)
        return path

    def together(self, steps: Sequence[Step]) -> list[Path]:
        """Do steps that need none of each other's results, at once as far as there are workers.

        Raises:
            ConversionError: a process died. What the others finished is kept.
        """
        missing, key = {}, self._key
        for step in steps:
            key = _chained(key, step.name, dict(step.on))
            if not self._kept(step.made, key):
                missing[step.name] = step, key
        if self.workers > 1 and len(missing) > 1:
            self._at_once(missing)
        return [self.step(step.name, step.made, step.work, **step.on) for step in steps]

    def _at_once(self, missing: Mapping[str, tuple[Step, str]]) -> None:
        start_s = self.clock.now_s()
        tells = {name: self._tell(name, start_s) for name in missing}
        for step, _ in missing.values():
            self._begin(step.made)
        works = {name: partial(step.work, self.folder / step.made) for name, (step, _) in missing.items()}
        for name in at_once(works, self.workers, lambda name, share: tells[name](share)):
            step, key = missing[name]
            self._keep(step.made, key, start_s)
            start_s = (
                self.clock.now_s()
            )  # a step counts for what it added: together they are what the clock on the wall says

    def _kept(self, made: str, key: str) -> bool:
        mark = self.folder / f"{made}.key"
        return (self.folder / made).exists() and mark.exists() and mark.read_text("utf-8") == key

    def _begin(self, made: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{made}.key").unlink(missing_ok=True)

    def _keep(self, made: str, key: str, start_s: float) -> None:
        (self.folder / f"{made}.key").write_text(key, "utf-8")
        (self.folder / f"{made}.seconds").write_text(f"{self.clock.now_s() - start_s:.1f}", "utf-8")

    def rest_on(self, name: str, **on: Any) -> None:
        """Let all further steps depend on `on` alone, no longer on how it was made."""
        self._key = _chained("", name, on)

    def work(self, name: str, work: Callable[[Callable[[float], None]], T]) -> T:
        """Do something that keeps its own results elsewhere, with the same progress line."""
        start_s = self.clock.now_s()
        tell = self._tell(name, start_s)
        tell(0.0)
        made = work(tell)
        self.seconds[name] = self.seconds.get(name, 0.0) + round(self.clock.now_s() - start_s, 1)
        self._done_s += self.weights.get(name, 0.0)
        return made

    def expect(self, name: str, usual_s: float) -> None:
        """Take a step for as long as is now known of it."""
        self.weights[name] = usual_s

    def _tell(self, name: str, start_s: float) -> Callable[[float], None]:
        """A function that reports the share of this step and the minutes left of the whole build."""
        order = list(self.weights)
        number = order.index(name) + 1 if name in order else 0
        usual = self.weights.get(name, 0.0)
        after = sum(self.weights.values()) - self._done_s - usual
        last = [-1.0]

        def tell(share: float) -> None:
            if share < 1.0 and share - last[0] < 0.01:
                return
            last[0] = share
            passed = self.clock.now_s() - start_s
            # The step's own pace once it shows, the usual one before that.
            left = passed / share * (1 - share) if share > 0.02 else usual * (1 - share)
            pace = passed / share / usual if share > 0.1 and usual else 1.0
            minutes = (left + after * min(PACE, max(1 / PACE, pace))) / 60
            self.say(
                f"[{number}/{len(order)}] {name:<8} {share:4.0%}  about {max(minutes, 0.1):.1f} min left"
            )

        return tell


def _chained(before: str, name: str, on: dict[str, Any]) -> str:
    """The key of a step behind another one."""
    return hashlib.sha256(json.dumps([before, name, on], sort_keys=True).encode()).hexdigest()
