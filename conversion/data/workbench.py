"""A build's folder: each step's result is kept under a key of everything it depends on.

A step depends on all steps before it, or on what `rest_on` named instead: rows that were drawn anew and came
out equal leave what was trained on them as it is.

A build that was interrupted goes on with the first step whose result is missing or was made from something
else. Progress and the time left go to the line that the caller gives.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from firmware_py.contracts.clock import Clock

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(slots=True)
class Workbench:
    """Runs steps in order; `weights` are the steps' usual seconds, for the time left."""

    folder: Path
    clock: Clock
    say: Say
    weights: dict[str, float]
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    _key: str = ""
    _done_s: float = 0.0

    def step(
        self, name: str, made: str, work: Callable[[Path, Callable[[float], None]], None], **on: Any
    ) -> Path:
        """Make `made` (a file or folder below the build folder) unless it is there from the same inputs.

        Args:
            name: the step's name, shown and kept.
            made: the result's name.
            work: called with the result's path and a function that takes the share done.
            on: what this step depends on besides all steps before it.
        """
        self._key = _chained(self._key, name, on)
        path, mark = self.folder / made, self.folder / f"{made}.key"
        self.folder.mkdir(parents=True, exist_ok=True)
        start_s = self.clock.now_s()
        if not (path.exists() and mark.exists() and mark.read_text("utf-8") == self._key):
            mark.unlink(missing_ok=True)
            self._tell(name, start_s)(0.0)
            work(path, self._tell(name, start_s))
            mark.write_text(self._key, "utf-8")
            (self.folder / f"{made}.seconds").write_text(f"{self.clock.now_s() - start_s:.1f}", "utf-8")
        self.seconds[name] = float((self.folder / f"{made}.seconds").read_text("utf-8"))
        self._done_s += self.weights.get(name, 0.0)
        return path

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
            minutes = (left + after * (passed / share / usual if share > 0.1 and usual else 1.0)) / 60
            self.say(
                f"[{number}/{len(order)}] {name:<8} {share:4.0%}  about {max(minutes, 0.1):.1f} min left"
            )

        return tell


def _chained(before: str, name: str, on: dict[str, Any]) -> str:
    """The key of a step behind another one."""
    return hashlib.sha256(json.dumps([before, name, on], sort_keys=True).encode()).hexdigest()
