"""What a free slot does: learn the board's watts, and let delegates in again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from firmware_py.compose.ground import Ground
from firmware_py.compose.models import COMMAND_TOKENS, Model
from firmware_py.contracts.limits import Limits
from firmware_py.contracts.request import Qos
from firmware_py.inference.calibration import Calibration
from firmware_py.inference.child import Child
from firmware_py.inference.golden import check_rows, load_rows, self_test
from firmware_py.node_parts import Slot
from firmware_py.resources.governor import Ask
from firmware_py.tasks.intent import Encoded

_SLOT = 0  # whose worker alone calibrates


def calibration(
    model: Model, ground: Ground, limits: Callable[[Ask, int], Limits], proving: Callable[[], bool]
) -> Callable[[Slot], float]:
    """Rows to learn this board's watts from; without a meter, and until its sensor answers, there is nothing to learn."""
    task, ledger, watch = model.served.task, ground.energy.ledger, ground.energy.watch
    manifest = model.served.manifest
    anything = Ask(Qos(), math.inf, manifest.default_rule)
    limit_s = ground.config.calibrate_s if watch is not None else 0.0
    box, name = ground.box, manifest.task.name

    def rows() -> list[Encoded]:
        encoded = [
            task.encode({"text": row.text})
            for row in load_rows(model.unpacked)
            if box is None or not box.suspected(name, row.text)
        ]
        # Only what is loaded ahead: graphs for longer texts would stay in memory and nobody asked for them.
        return [row for row in encoded if row.tokens <= COMMAND_TOKENS]

    def spare() -> bool:
        # A self-test's watts are not those of the rows beside it.
        if watch is None or not watch.answered or proving():
            return False
        return limits(anything, manifest.stages).max_stages is None

    def noted(text: str) -> AbstractContextManager[None]:
        """As a request's: a row that ends the process is left out by the next one."""
        return nullcontext() if box is None else box.running(_SLOT, name, text)

    calibration = Calibration(rows, ledger.charge, limit_s, spare, noted)

    def step(slot: Slot) -> float:
        work, failed = ledger.uncharged.begin(ground.clock.now_s()), True
        try:
            rest_s = calibration.step(slot.engines[name])
            failed = False
        finally:
            ledger.uncharged.end(work, ground.clock.now_s() if failed else None)
        return rest_s

    return step


def in_turn(learners: Sequence[Callable[[Slot], float]], slot: Slot) -> float:
    """A step of the first bundle that still has to learn; seconds until the next one, infinite when all have ended."""
    return next((rest_s for learn in learners if math.isfinite(rest_s := learn(slot))), math.inf)


def prove(delegate: str, child: Child, models: list[Model], ground: Ground) -> None:
    """Self-test a delegate with every bundle in a child, unless it passed before: it may kill its process."""
    specs = [(model.unpacked, spec) for model in models for spec in model.ladder if spec.name == delegate]
    crashed = ground.crashes(delegate) > 0
    with ground.energy.ledger.uncharged.during(ground.clock.now_s):
        for unpacked, spec in specs if crashed or ground.config.self_test == "once" else ():
            self_test(unpacked, spec, ground.clock, child, anew=crashed)


def check(delegate: str, slot: Slot, models: list[Model], ground: Ground) -> None:
    """Run the golden rows on a slot's own graphs; the slot is taken only for the rows themselves."""
    for model in models:
        runner = slot.engines[model.served.manifest.task.name].runners.get(delegate)
        if runner is not None:
            rows = load_rows(model.unpacked)
            with slot.lock, ground.energy.ledger.uncharged.during(ground.clock.now_s):
                check_rows(model.weights, runner, rows)
