"""Whether the templates read a text in two ways, asked of hassil itself.

The house then holds exactly the things that the sentence names. Readings through a wildcard list (a song, a
message, a timer's name) do not count: a wildcard reads anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from conversion.data.draw import Drawn
from conversion.data.templates import Grammar, load_grammar

_CHUNK = 200


def ambiguous_readings(rows: Sequence[Drawn], tell: Callable[[float], None]) -> list[bool]:
    """For each row, whether hassil finds two intents or two sets of slots."""
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    out: list[bool] = []
    with ProcessPoolExecutor(os.cpu_count() or 1, initializer=_start) as pool:
        for part in pool.map(_check, chunks):
            out += part
            tell(len(out) / len(rows))
    return out


_grammar: list[Grammar] = []  # one per worker process, parsed once


def _start() -> None:
    _grammar.append(load_grammar())


def _check(rows: Sequence[Drawn]) -> list[bool]:
    return [len(readings(_grammar[0], row)) > 1 for row in rows]


def readings(grammar: Grammar, row: Drawn) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Distinct (intent, slots) that the templates read, wildcards left out."""
    from hassil.intents import TextSlotList
    from hassil.recognize import recognize_all

    named: dict[str, list[Any]] = {"area": [], "floor": [], "name": []}
    for kind, value in row.values:
        if kind in ("area", "floor"):
            named[kind].append((value, value))
        else:
            domain = "light" if kind == "light_modifier" else kind
            named["name"].append((value, value, {"domain": domain}))
    lists = {name: TextSlotList.from_tuples(values, name=name) for name, values in named.items()}
    found = set()
    for result in recognize_all(
        row.sentence.text, grammar.parsed, slot_lists=lists, intent_context={"area": "here"}, language="en"
    ):
        if any(entity.is_wildcard for entity in result.entities_list):
            continue
        slots = frozenset((str(e.name), e.text.strip().lower()) for e in result.entities_list if e.text)
        found.add((str(result.intent.name), slots))
    return found
