"""What was being answered when a process died is refused by the next one, and nothing else is."""

from __future__ import annotations

from contextlib import suppress

import pytest

from firmware_py.black_box import SLOTS, BlackBox
from firmware_py.contracts.errors import GraphError
from firmware_py.keeper import MEMORY_BYTES


def _refused(box: BlackBox, text: str) -> bool:
    try:
        with box.running(0, "home", text):
            return False
    except GraphError:
        return True


def _died_at(memory: bytearray, text: str) -> bytearray:
    """The memory as the next process finds it."""
    with BlackBox(memory).running(0, "home", text):
        return bytearray(memory)


def test_a_text_that_ran_to_its_end_is_no_suspect() -> None:
    memory = bytearray(MEMORY_BYTES)
    with BlackBox(memory).running(0, "home", "turn on the light"):
        pass
    with suppress(ZeroDivisionError), BlackBox(memory).running(0, "home", "turn on the light"):
        _ = 1 / 0
    assert BlackBox(memory).suspects == frozenset()


def test_what_ran_in_any_slot_when_the_process_died_is_refused_by_all_later_ones() -> None:
    memory = bytearray(MEMORY_BYTES)
    box = BlackBox(memory)
    with box.running(0, "home", "first"), box.running(1, "home", "second"):
        later = BlackBox(bytearray(memory))  # the memory as the next process finds it
    assert [_refused(later, text) for text in ("first", "second", "third")] == [True, True, False]
    with later.running(0, "other", "first"):
        pass  # another model's graphs
    with pytest.raises(GraphError) as caught, later.running(0, "home", "second"):
        pass
    assert "second" not in f"{caught.value} {caught.value.hint}"  # a private text


def test_suspects_stay_through_more_deaths_and_the_oldest_make_room() -> None:
    memory = bytearray(MEMORY_BYTES)
    for number in range(90):
        held = BlackBox(memory).running(number % SLOTS, "home", f"text {number}")
        held.__enter__()  # and the process dies
        memory = bytearray(memory)
    box = BlackBox(memory)
    assert _refused(box, "text 89")
    assert _refused(box, "text 20")
    assert not _refused(box, "text 3")


def test_an_acquittal_is_of_the_last_death_alone() -> None:
    memory = _died_at(_died_at(bytearray(MEMORY_BYTES), "guilty"), "innocent")
    box = BlackBox(memory)
    assert [_refused(box, text) for text in ("guilty", "innocent")] == [True, True]
    box.acquit()
    assert [_refused(box, text) for text in ("guilty", "innocent")] == [True, False]
    later = BlackBox(memory)
    later.acquit()  # nothing ran
    assert [_refused(later, text) for text in ("guilty", "innocent")] == [True, False]
    again = BlackBox(_died_at(memory, "innocent"))  # and its files were whole
    assert _refused(again, "innocent")


def test_who_dies_in_a_library_blames_the_delegate_and_no_text() -> None:
    memory = bytearray(MEMORY_BYTES)
    for lives in range(3):
        box = BlackBox(memory)
        assert (box.crashes("edgetpu"), box.crashes("gpu"), box.suspects) == (lives, 0, frozenset())
        held = box.running(1, "home", "turn on the light")
        held.__enter__()
        box.enter(0, "gpu")
        box.leave(0)
        box.enter(1, "edgetpu")  # and the process dies
        memory = bytearray(memory)
    box = BlackBox(memory)
    assert not _refused(box, "turn on the light")
    assert BlackBox(memory).crashes("edgetpu") == 3  # it ran to its end: nothing new


def test_a_death_blames_each_library_in_use_once_and_no_text_of_any_slot() -> None:
    memory = bytearray(MEMORY_BYTES)
    box = BlackBox(memory)
    box.enter(0, "edgetpu")
    box.enter(1, "edgetpu")
    box.enter(2, "gpu")
    box.running(3, "home", "turn on the light").__enter__()
    later = BlackBox(memory)
    assert (later.crashes("edgetpu"), later.crashes("gpu"), later.suspects) == (1, 1, frozenset())


def test_where_it_is_known_which_library_hangs_no_other_is_blamed() -> None:
    memory = bytearray(MEMORY_BYTES)
    box = BlackBox(memory)
    box.enter(0, "gpu")
    box.enter(1, "edgetpu")
    box.running(1, "home", "turn on the light").__enter__()
    box.only(1)
    later = BlackBox(memory)
    assert (later.crashes("edgetpu"), later.crashes("gpu"), later.suspects) == (1, 0, frozenset())


def test_no_keeper_no_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CIUIC_KEPT", raising=False)
    assert BlackBox.adopt() is None
    monkeypatch.setenv("CIUIC_KEPT", "nonsense")
    assert BlackBox.adopt() is None
