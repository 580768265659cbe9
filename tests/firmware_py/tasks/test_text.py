"""The tokenizer: spans point into the text as it was sent, whatever its script."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_py.contracts.errors import BundleFormatError
from firmware_py.tasks.text import MAX_WORD_CHARS, WordPiece, continuing_pieces, count_pieces

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [
    "[PAD]", "[UNK]", *LETTERS, *"0123456789.,-%°!?'", *("##" + c for c in LETTERS + "0123456789"),
    "turn", "on", "the", "kitchen", "light", "##s", "20", "3rd",
]  # fmt: skip
VOCABULARY = list(dict.fromkeys(VOCABULARY))


@pytest.fixture(scope="module")
def tokenizer() -> WordPiece:
    return WordPiece(VOCABULARY)


def pieces(tokenizer: WordPiece, text: str) -> list[tuple[str, str]]:
    """(piece, what its span covers in the text)."""
    tokens = tokenizer.encode(text)
    return [(VOCABULARY[i], text[a:b]) for i, (a, b) in zip(tokens.ids, tokens.spans, strict=True)]


def test_longest_piece_first_with_spans_in_the_original_case(tokenizer: WordPiece) -> None:
    assert pieces(tokenizer, "Turn on  the LIGHTS") == [
        ("turn", "Turn"), ("on", "on"), ("the", "the"), ("light", "LIGHT"), ("##s", "S"),
    ]  # fmt: skip


def test_a_number_and_its_unit_are_two_words(tokenizer: WordPiece) -> None:
    assert pieces(tokenizer, "20on") == [("20", "20"), ("on", "on")]
    assert pieces(tokenizer, "3rd") == [("3rd", "3rd")]
    assert pieces(tokenizer, "3rd é")[0] == ("3rd", "3rd")
    assert [piece for piece, _ in pieces(tokenizer, "3rds é")] == ["3", "r", "##d", "##s", "e"]
    assert [piece for piece, _ in pieces(tokenizer, "3rd20 é")] == ["3", "r", "##d", "20", "e"]
    assert pieces(tokenizer, "on20°") == [("on", "on"), ("20", "20"), ("°", "°")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("é", [("e", "é")]),  # one code point
        ("e\u0301b", [("e", "e\u0301"), ("##b", "b")]),  # two: the mark belongs to its letter
        ("İs", [("i", "İ"), ("##s", "s")]),  # lower-casing makes two code points of it
        ("ﬁn", [("f", "ﬁ"), ("##i", "ﬁ"), ("##n", "n")]),  # a ligature: both pieces cover it
        ("ｏｎ", [("on", "ｏｎ")]),  # full width
        ("日本", [("[UNK]", "日"), ("[UNK]", "本")]),  # ideographs stand alone
        ("x🎉y", [("x", "x"), ("[UNK]", "🎉"), ("y", "y")]),
        ("a\u200bb", [("a", "a"), ("b", "b")]),  # a zero-width space parts words
        ("on\x00the", [("on", "on"), ("the", "the")]),
    ],
)
def test_folding_that_changes_the_length_keeps_spans_right(
    tokenizer: WordPiece, text: str, expected: list[tuple[str, str]]
) -> None:
    assert pieces(tokenizer, text) == expected


@given(st.text(max_size=80))
@settings(max_examples=400, deadline=None)
def test_any_text_has_ordered_spans_within_it(text: str) -> None:
    tokens = WordPiece(VOCABULARY).encode(text)
    assert len(tokens.ids) == len(tokens.spans)
    last = (0, 0)
    for start, end in tokens.spans:
        assert 0 <= start < end <= len(text)
        assert start >= last[0]
        assert end >= last[1]
        last = (start, end)
    assert all(0 < piece < len(VOCABULARY) for piece in tokens.ids)


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_everything_visible_is_covered(text: str) -> None:
    """What no token covers is space, control, format, unassigned, or a mark that follows none of them."""
    tokens = WordPiece(VOCABULARY).encode(text)
    covered = {place for start, end in tokens.spans for place in range(start, end)}
    for place, char in enumerate(text):
        if place not in covered:
            folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).lower())
            assert all(unicodedata.category(part)[0] in "ZCM" for part in folded)


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=80))
@settings(max_examples=300, deadline=None)
def test_the_short_way_for_ascii_is_the_long_way(text: str) -> None:
    tokenizer = WordPiece(VOCABULARY)
    assert tokenizer.encode(text) == tokenizer._encode_unicode(text)


SPOKEN = WordPiece(VOCABULARY, skips_punctuation=True)
MARKS = st.text(alphabet=' .,:;?!…"()¿¡。？！，、“”「」', max_size=4)


@given(st.text(alphabet=st.sampled_from("ab12 .,:;?!()\"'3rd°"), max_size=12))
@settings(max_examples=500)
def test_the_short_way_without_punctuation_is_the_long_way(text: str) -> None:
    assert SPOKEN.encode(text) == SPOKEN._encode_unicode(text)


@given(st.lists(st.tuples(st.text(alphabet=LETTERS + "äé灯", min_size=1, max_size=6), MARKS), max_size=6))
def test_marks_between_words_change_nothing(words: list[tuple[str, str]]) -> None:
    bare = SPOKEN.encode(" ".join(word for word, _ in words))
    marked = SPOKEN.encode(" ".join(word + marks for word, marks in words))
    assert marked.ids == bare.ids


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Turn on, please.", ["Turn", "on", "p", "l", "e", "a", "s", "e"]),
        ("20.5°", ["20", ".", "5", "°"]),
        ("at 7:30!", ["a", "t", "7", ":", "3", "0"]),
        ("20.", ["20"]),
        ("20. 5", ["20", "5"]),
        ("…", []),
    ],
)
def test_marks_are_skipped_but_between_two_digits(text: str, kept: list[str]) -> None:
    assert [text[start:end] for start, end in SPOKEN.encode(text).spans] == kept


@given(st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_composed_and_decomposed_texts_have_the_same_pieces(text: str) -> None:
    tokenizer = WordPiece(VOCABULARY)
    composed, apart = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
    assert tokenizer.encode(composed).ids == tokenizer.encode(apart).ids


def test_a_word_beyond_the_bound_is_one_unknown_token(tokenizer: WordPiece) -> None:
    tokens = tokenizer.encode("a" * (MAX_WORD_CHARS + 1))
    assert tokens.ids == [1]
    assert tokens.spans == [(0, MAX_WORD_CHARS + 1)]


def test_the_word_cache_is_bounded(tokenizer: WordPiece) -> None:
    small = WordPiece(VOCABULARY)
    for number in range(5000):
        small.encode("".join(LETTERS[int(digit)] for digit in str(number)))
    assert len(small._cache) <= 4096


def test_a_vocabulary_file_is_read_back() -> None:
    data = ("\n".join(VOCABULARY) + "\n").encode()
    assert WordPiece.from_bytes(data).encode("turn on").ids == WordPiece(VOCABULARY).encode("turn on").ids


@pytest.mark.parametrize("data", [b"\xff", b"", b"[PAD]\n", b"[PAD]\n[UNK]\na\na\n", b"[UNK]\n[PAD]\n"])
def test_what_is_no_vocabulary_is_refused(data: bytes) -> None:
    with pytest.raises(BundleFormatError):
        WordPiece.from_bytes(data)


@pytest.mark.parametrize("data", ["[PAD]\n[UNK]", "[PAD]\n[UNK]\n", "[PAD]\n[UNK]\n\na\n"])
def test_pieces_are_counted_as_they_are_read(data: str) -> None:
    assert count_pieces(data.encode()) == len(WordPiece.from_bytes(data.encode()))
    assert count_pieces(b"") == 0


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_pieces_that_go_on_a_word_are_those_that_the_tokenizer_joins(end: str) -> None:
    data = ("\n".join([*VOCABULARY, "##", "##é", "##的", "#", "a##b"]) + end).encode()
    assert continuing_pieces(data) == WordPiece.from_bytes(data).continues != frozenset()
