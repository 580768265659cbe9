"""Bounds hold, what was used last stays, and a hit never claims the miss's joules."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_py.caches.lru import Lru
from firmware_py.caches.results import ResultCache, key
from firmware_py.contracts.reply import UNKNOWN_ENERGY, Energy, Reply, Route

_STEPS = st.lists(
    st.tuples(st.sampled_from("pgd"), st.integers(0, 6), st.integers(0, 5)), min_size=1, max_size=60
)


@settings(deadline=None)
@given(steps=_STEPS)
def test_lru_against_a_list(steps: list[tuple[str, int, int]]) -> None:
    """A plain list, newest last, is the model."""
    gone: list[int] = []
    lru: Lru[int, int] = Lru(3, 8, gone.append)
    model: list[tuple[int, int, int]] = []
    out: list[int] = []
    for serial, (step, name, size) in enumerate(steps):
        known = [entry for entry in model if entry[0] == name]
        if step == "g":
            assert lru.get(name) == (known[0][1] if known else None)
            model = [e for e in model if e[0] != name] + known
        else:
            out += [e[1] for e in known]
            model = [e for e in model if e[0] != name]
            if step == "d":
                lru.drop(name)
                continue
            model.append((name, serial, size))
            lru.put(name, serial, size)
            while len(model) > 3 or sum(e[2] for e in model) > 8:
                out.append(model.pop(0)[1])
        assert len(lru) == len(model)
        assert lru.held_bytes == sum(e[2] for e in model)
    assert gone == out


def test_the_newest_stays_when_asked_to() -> None:
    """A graph larger than the whole budget must still be run."""
    gone: list[str] = []
    lru: Lru[int, str] = Lru(10, 100, gone.append, keep_newest=True)
    lru.put(1, "small", 60)
    lru.put(2, "huge", 500)
    assert gone == ["small"]
    assert lru.get(2) == "huge"
    lru.clear()
    assert gone == ["small", "huge"]


def a_reply(energy: Energy) -> Reply:
    """An answered request."""
    return Reply(
        "first", "ok", Route("n", exit=1, exits=3, cache="miss"), result={"label": "on"}, energy=energy
    )


def test_a_hit_is_marked_and_has_no_joules() -> None:
    """The miss's joules were spent once."""
    cache = ResultCache(10, 10**6)
    where = key("home", "lights on", "balanced", "ab")
    cache.put(where, a_reply(Energy(energy_j=0.002, u95_j=0.0001, method="predicted")))
    hit = cache.get(where)
    assert hit is not None
    assert (hit.route.cache, hit.energy, hit.result) == ("hit", UNKNOWN_ENERGY, {"label": "on"})


def test_a_hit_is_not_over_the_first_asker_s_budget() -> None:
    cache = ResultCache(10, 10**6)
    where = key("home", "lights on", "balanced", "ab")
    first = a_reply(Energy(energy_j=0.002, u95_j=0.0001, method="predicted"))
    cache.put(where, replace(first, route=replace(first.route, over_budget=True)))
    hit = cache.get(where)
    assert hit is not None
    assert not hit.route.over_budget


def test_task_rule_model_exact_text_names_and_language_are_the_key() -> None:
    """A difference in any of them is another question."""
    cache = ResultCache(10, 10**6)
    cache.put(key("home", "on", "balanced", "ab"), a_reply(UNKNOWN_ENERGY))
    for other in (
        key("home", "On", "balanced", "ab"),
        key("clinc150", "on", "balanced", "ab"),
        key("home", "on", "careful", "ab"),
        key("home", "on", "balanced", "cd"),
        key("home", "on", "balanced", "ab", (1, "")),
        key("home", "on", "balanced", "ab", (0, "de")),
    ):
        assert cache.get(other) is None


def test_long_texts_count_with_their_bytes() -> None:
    """A flood of 60 KiB texts cannot fill the memory."""
    cache = ResultCache(1000, 200_000)
    for number in range(20):
        cache.put(key("home", f"{number}" * 60_000, "balanced", "ab"), a_reply(UNKNOWN_ENERGY))
    assert len(cache) <= 3


def test_slots_that_quote_the_text_count_with_their_bytes() -> None:
    """Text, slot and its value are three strings of the same length; so are a hundred slots of a long text."""
    word = chr(0x1F600) * 3999
    long = [{"name": "n", "text": word + "x", "value": word + "y", "start": 0, "end": 4000}]
    many = [
        {"name": "n", "text": f"{at:04}", "value": f"{at:05}", "start": at, "end": at} for at in range(100)
    ]
    for slots in (long, many):
        cache = ResultCache(1000, 1_000_000)
        tracemalloc.start()
        for number in range(200):
            fresh = [
                slot | {"text": f"{slot['text']}{number}", "value": f"{slot['value']}{number}"}
                for slot in slots
            ]
            answer = replace(a_reply(UNKNOWN_ENERGY), result={"label": "on", "slots": fresh})
            cache.put(key("home", f"{number}{word}", "balanced", "ab"), answer)
        held_bytes = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert 0 < held_bytes < 1_100_000
