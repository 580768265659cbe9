"""Pieces of a draw become one text; this file needs no templates."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from conversion.data.draw import join


@given(st.lists(st.tuples(st.text(alphabet="ab ", max_size=6), st.booleans()), max_size=8))
def test_joined_pieces_have_single_spaces_and_exact_slots(pieces: list[tuple[str, bool]]) -> None:
    text, slots = join([(value, "slot" if slot else None, "") for value, slot in pieces])
    assert "  " not in text
    assert text == text.strip()
    wanted = [" ".join(value.split()) for value, slot in pieces if slot and value.strip()]
    assert [text[start:end] for start, end, _ in slots] == wanted
