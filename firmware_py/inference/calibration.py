"""Teaches the cost model this board's watts: the bundle's own sentences, back to back, while nothing waits.

A command takes milliseconds and the meter's window a second, so a few commands among much idle time
say little of what one costs. Bursts of work say it within some percent; the rest between two bursts
shows the idle draw that their joules stand above. The rows run on a slot that is free, one at a time,
so a request waits for one row at most. They are charged like a request's run, but they are no answers
and change no published exit share. A board that is warm or over its power limit is left alone until it
is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from firmware_py.contracts.limits import Limits
from firmware_py.contracts.reply import Energy
from firmware_py.contracts.run import RunRecord
from firmware_py.inference.engine import Engine
from firmware_py.tasks.intent import Encoded

BURST_S = 1.0  # as long as a meter window
REST_S = 0.25  # long enough to see the idle draw at the meter's slower pace
STRAINED_S = 1.0  # how often a board without heat or power to spare is looked at


class Calibration:
    """One board's; `step` runs one row and says when it wants the slot again.

    Ends when charges are `predicted` - the ledger has reconciled enough windows of this board - when a
    row fails, or `limit_s` seconds after the first row, and then stays ended. One thread at a time.
    `spare` tells whether the board has heat and power for work that nobody asked for. `rows` is asked once, by the
    first step that may run one: a start need not wait for it. `noted` is around each run of a row's graphs, by its text.
    """

    def __init__(
        self,
        rows: Callable[[], Sequence[Encoded]],
        charge: Callable[[RunRecord], Energy],
        limit_s: float,
        spare: Callable[[], bool] = lambda: True,
        noted: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext(),
    ) -> None:
        self._read = rows
        self._rows: Sequence[Encoded] = ()
        self._charge = charge
        self._limit_s = limit_s
        self._spare = spare
        self._noted = noted
        self._from_s = self._burst_s = -math.inf
        self._at = 0
        self._resting = True
        self.ended = limit_s <= 0.0

    def step(self, engine: Engine) -> float:
        """Run the next row on an engine whose slot the caller holds.

        Returns seconds to rest before the next step: 0 within a burst, infinite when it has ended.

        Raises:
            GraphError: stage 1 failed on every rung.
        """
        if self.ended:
            return math.inf
        now_s = engine.now_s()
        if self._at == 0:
            self._from_s = now_s
        if now_s - self._from_s >= self._limit_s:
            self.ended = True
            return math.inf
        if not self._spare():
            self._resting = True
            return STRAINED_S
        self.ended = True  # should anything raise: a board that fails is said once and not asked again
        self._rows = self._rows or self._read()
        if not self._rows:
            return math.inf
        if self._resting:
            self._burst_s, self._resting = now_s, False
        row = self._rows[self._at % len(self._rows)]
        self._at += 1
        # The most careful rule walks deepest, so that every stage is seen.
        manifest = engine.weights.manifest
        rules, zeroth = manifest.exit_rules, manifest.zeroth_rules
        rule = max(rules, key=lambda name: (name not in zeroth, sum(rules[name]), name))
        with self._noted(row.text):
            outcome = engine.run(row, Limits(due_s=math.inf, rule=rule))
        energy = self._charge(outcome.record)
        self.ended = energy.method == "predicted"
        self._resting = now_s - self._burst_s >= BURST_S
        if self.ended:
            return math.inf
        return REST_S if self._resting else 0.0
