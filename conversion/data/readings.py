"""Whether the templates read a text in two ways, or at all, asked of hassil itself.

The house then holds exactly the things that the sentence names. Readings through a wildcard list (a song, a
message, a timer's name) do not count: a wildcard reads anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from conversion.data.draw import Drawn
from conversion.data.templates import Grammar, load_grammar
from firmware_py.children import tie_worker

_CHUNK = 200


def ambiguous_forms(rows: Sequence[Drawn], tell: Callable[[float], None]) -> frozenset[str]:
    """The forms that hassil reads with two intents or two sets of slots; one sentence of each is asked."""
    first: dict[str, Drawn] = {}
    for row in rows:
        first.setdefault(row.form, row)
    asked = list(first.values())
    chunks = [asked[start : start + _CHUNK] for start in range(0, len(asked), _CHUNK)]
    out: list[str] = []
    done = 0
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=get_context("fork"), initializer=_start) as pool:
        for chunk, part in zip(chunks, pool.map(_check, chunks), strict=True):
            out += part
            done += len(chunk)
            tell(done / len(asked))
    return frozenset(out)


_grammar: list[Grammar] = []  # one per worker process, parsed once


def _start() -> None:
    tie_worker()
    _grammar.append(load_grammar())


def _check(rows: Sequence[Drawn]) -> list[str]:
    return [row.form for row in rows if len(readings(_grammar[0], row)) > 1]


def read_by_any(grammar: Grammar, row: Drawn) -> bool:
    """Whether any template of the grammar reads the text, wildcards and all."""
    return next(iter(_results(grammar, row)), None) is not None


def readings(grammar: Grammar, row: Drawn) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Distinct (intent, slots) that the templates read, wildcards left out."""
    found = set()
    for result in _results(grammar, row):
        if any(entity.is_wildcard for entity in result.entities_list):
            continue
        slots = frozenset((str(e.name), e.text.strip().lower()) for e in result.entities_list if e.text)
        found.add((str(result.intent.name), slots))
    return found


def _results(grammar: Grammar, row: Drawn) -> Iterable[Any]:
    """What hassil recognises, lazily."""
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
    here = {"area": "here"}
    return recognize_all(
        row.sentence.text, grammar.parsed, slot_lists=lists, intent_context=here, language=row.sentence.lang
    )


def read_in_a_house(texts: Sequence[str], house: Mapping[str, Sequence[str]]) -> list[bool]:
    """Whether any template reads each text, in a house that has everything `house` lists.

    Args:
        texts: lower or upper case.
        house: values by section of the names file: areas, floors, and things by domain.
    """
    from hassil.intents import TextSlotList
    from hassil.recognize import recognize_all

    grammar = load_grammar()
    things = [
        (name, name, {"domain": "light" if section == "light_modifier" else section})
        for section, names in house.items()
        if section not in ("area", "floor")
        for name in names
    ]
    lists = {
        "name": TextSlotList.from_tuples(things, name="name"),
        **{
            kind: TextSlotList.from_tuples([(name, name) for name in house[kind]], name=kind)
            for kind in ("area", "floor")
        },
    }
    here = {"area": "here"}
    return [
        next(iter(recognize_all(text, grammar.parsed, slot_lists=lists, intent_context=here)), None)
        is not None
        for text in texts
    ]
