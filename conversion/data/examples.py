"""The demo's sentences: held-out templates and hand-written ones, a tenth of them out of scope, mixed."""

from __future__ import annotations

from random import Random

from conversion.data.sentence import Sentence, hand_written, in_scope
from conversion.data.task import TaskData, inside

SHARE_FOREIGN = 0.1


def examples(data: TaskData, seed: int) -> list[Sentence]:
    """All hand-written sentences and one of as many held-out templates as makes a tenth out of scope."""
    random = Random(f"examples {seed}")  # noqa: S311 - reproducible draws, no secret
    hand = hand_written()
    foreign = sum(not in_scope(row) for row in hand)
    wanted = round(foreign / SHARE_FOREIGN) - len(hand)
    by_template: dict[int, list[Sentence]] = {}
    for row in inside(data.report):
        by_template.setdefault(row.template, []).append(row)
    numbers = random.sample(sorted(by_template), min(wanted, len(by_template)))
    rows = [random.choice(by_template[number]) for number in numbers] + hand
    random.shuffle(rows)
    return rows
