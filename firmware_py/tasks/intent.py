"""Kind `intent`: one text in, one label with its slots out.

Slot tags are inside-outside (Ramshaw and Marcus 1995, without their mark for a beginning): 0 is outside,
`i+1` is slot i in the manifest's order; words of one slot side by side are one span, since no sentence of
these tasks says one slot twice side by side. A word has the tag of its last piece, where the causal trunk has
read all of it; other pieces' tags are not read, so a slot never ends inside a word.

Slots of the task `home` hold whole numbers (`number_spans`) and have the values that a hub takes (`values`), and where
the user gave a names file, what they name in the house (`names`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from firmware_py.contracts.errors import EmptyInputError, InputTooLongError, SchemaError
from firmware_py.contracts.manifest import Manifest
from firmware_py.contracts.records import record
from firmware_py.tasks import values
from firmware_py.tasks.class_spans import with_whole_classes
from firmware_py.tasks.house_words import correct
from firmware_py.tasks.names import Names
from firmware_py.tasks.number_spans import Found, mend, with_duration
from firmware_py.tasks.small_words import small_words
from firmware_py.tasks.text import Pieces, WordPiece

MAX_TOKENS = 512
# A word without a piece is one token however long it is, and a slot repeats it twice: its reply must fit the
# codec's 64 KiB, in which a code point takes at most six bytes. Eight letters a token are more than any language writes.
MAX_CHARS = 4096
OUT_OF_SCOPE = "oos"  # the label of "none of mine", last in a manifest that has it; never in a reply


@record(frozen=True, slots=True)
class Encoded:
    """A text ready for the engine.

    `ids` and `spans` are of the kept tokens, `tokens` counts them, `truncated` those cut off. `answerable`:
    the vocabulary has more of the text's words than it lacks, and the text negates no command; else it is out of
    scope without a run. `language` is the text's, empty where it is not known.
    """

    text: str
    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    tokens: int
    truncated: int
    answerable: bool = True
    language: str = ""


class LabelVerdict(Protocol):
    """What `decode` reads of an exit's verdict."""

    @property
    def label_index(self) -> int:
        """Index into the manifest's labels."""

    @property
    def confidence(self) -> float:
        """Calibrated probability, 0 to 1."""


class NamesSource(Protocol):
    """Where the user's names stand; they may be others at the next look."""

    @property
    def current(self) -> Names:
        """The names now."""


class IntentTask:
    """Encodes texts and decodes verdicts of one bundle; holds no request."""

    __slots__ = (
        "_bio_tags",
        "_bucket",
        "_frame",
        "_labels",
        "_languages",
        "_names",
        "_slots",
        "_task",
        "_tokenizer",
        "_unsaid",
        "_values",
    )

    def __init__(
        self,
        manifest: Manifest,
        tokenizer_bytes: bytes,
        names: NamesSource | None = None,
        *,
        bio_tags: bool = False,
    ) -> None:
        """Take labels, slots and length buckets from the manifest, names of the house from the user.

        `bio_tags`: tags are those of the first version's bundles: at a word's first piece, `2i+1` where slot i
        begins and `2i+2` where it goes on.

        Raises:
            BundleFormatError: the tokenizer's bytes are no vocabulary.
        """
        self._tokenizer = WordPiece.from_bytes(tokenizer_bytes, skips_punctuation=manifest.skips_punctuation)
        self._bio_tags = bio_tags
        self._labels = manifest.labels
        self._slots = manifest.slots
        self._frame = manifest.frame
        self._bucket = max(manifest.buckets) - len(self._frame)
        self._task = manifest.task
        self._languages = frozenset(manifest.task.primaries())
        self._unsaid = manifest.task.language_of("")  # of a text that names none
        home = manifest.task.name == values.TASK and bool(manifest.slots)
        self._values = values.SlotValues(manifest.task.primaries()) if home else None
        self._names = names if home else None
        if home:
            small_words(self._spoken(self._unsaid))  # read from the disk now, and not while somebody waits

    @property
    def names_version(self) -> int:
        """Grows when the user's names change: answers from before may name other things."""
        return 0 if self._names is None else self._names.current.version

    def language(self, input: Mapping[str, str]) -> str:  # noqa: A002 - the request's own field name
        """What language a text is in: the bundle's only one, or which of them the request names; empty where none."""
        said = input.get("lang")
        return self._task.language_of(said) if said else self._unsaid

    def encode(self, input: Mapping[str, str]) -> Encoded:  # noqa: A002 - the request's own field name
        """Cut `input["text"]` and keep the first tokens that fit the largest length bucket.

        Raises:
            SchemaError: there is no text.
            EmptyInputError: the text has no letter and no digit.
            InputTooLongError: more than 4,096 code points or 512 tokens.
        """
        text = input.get("text")
        if not isinstance(text, str):
            msg = "request.input.text is missing"
            raise SchemaError(msg)
        if len(text) > MAX_CHARS:  # before it is cut: the caller may own the socket
            msg = f"the text has {len(text)} characters, the limit is {MAX_CHARS}"
            raise InputTooLongError(msg)
        tokens = self._tokenizer.encode(text)
        count = len(tokens.ids)
        if count > MAX_TOKENS:
            msg = f"the text has {count} tokens, the limit is {MAX_TOKENS}"
            raise InputTooLongError(msg)
        if not count or not any(map(str.isalnum, text)):
            msg = "the text has no letter and no digit"
            raise EmptyInputError(msg)
        kept = min(count, self._bucket)
        ids, spans = tuple(tokens.ids[:kept]), tuple(tokens.spans[:kept])
        language = self.language(input)
        answerable = self._tokenizer.mostly_knows(ids) and not self._is_negated(text, language)
        if not self._frame:
            return Encoded(text, ids, spans, kept, count - kept, answerable, language)
        begin, end = self._frame  # around the kept ones; their spans are empty
        spans = ((0, 0), *spans, (len(text), len(text)))
        return Encoded(text, (begin, *ids, end), spans, kept + 2, count - kept, answerable, language)

    def decode(self, encoded: Encoded, verdict: LabelVerdict, tags: Sequence[int]) -> dict[str, Any]:
        """The reply's `result`; `tags` has at least one tag per kept token, or none where the bundle has no slots."""
        text = encoded.text
        if self._bio_tags:
            tags = _of_first_version(tags, encoded, self._tokenizer.continues)
        spans = spans_of(tags, encoded, self._tokenizer.continues)
        found = [Found(self._slots[slot], start, end) for slot, start, end in spans]
        read = text[: encoded.spans[-1][1]] if encoded.truncated else text
        if self._values is not None:
            found = mend(found, read, self._values, self._slots)
            found = with_whole_classes(found, read, self._values)
            found = with_duration(found, read, self._values, self._slots, self._labels[verdict.label_index])
        slots: list[dict[str, Any]] = [
            {
                "name": slot.name,
                "value": self._value(slot, encoded),
                "text": text[slot.start : slot.end],
                "start": slot.start,
                "end": slot.end,
            }
            for slot in found
        ]
        if self._names is not None:
            house = self._names.current
            if house.entries:
                languages = self._spoken(encoded.language)
                correct(house, slots, read, self._labels[verdict.label_index], languages)
                house.resolve(slots, languages)
        return {
            "label": self._labels[verdict.label_index],
            "confidence": round(float(verdict.confidence), 4),
            "slots": slots,
        }

    def _is_negated(self, text: str, language: str) -> bool:
        """Whether a home is told not to do something: its models hear the command alone."""
        return self._values is not None and small_words(self._spoken(language)).negate(text)

    def _spoken(self, language: str) -> frozenset[str]:
        """The languages that a text may be in: its own where that is known, else the bundle's."""
        return frozenset((language,)) if language else self._languages

    def _value(self, slot: Found, encoded: Encoded) -> values.Value:
        text = encoded.text[slot.start : slot.end]
        if self._values is None:
            return values.plain(text)
        return self._values.value(slot.name, text, encoded.text, end=slot.end, language=encoded.language)


def scope_index(labels: Sequence[str]) -> int | None:
    """Where the label `oos` stands; None where there is none."""
    return labels.index(OUT_OF_SCOPE) if OUT_OF_SCOPE in labels else None


def spans_of(tags: Sequence[int], pieces: Pieces, continues: frozenset[int]) -> list[tuple[int, int, int]]:
    """Tags as (slot, start, end) in code points; no row of tags is illegal.

    A piece without letters of the text, as the frame's are, is in no slot, whatever its tag.
    """
    out: list[tuple[int, int, int]] = []
    ids, last = pieces.ids, min(len(tags), len(pieces.ids)) - 1
    open_slot, begin = -1, 0  # the slot of the word before, where this word begins
    for place, (tag, (start, end)) in enumerate(zip(tags, pieces.spans, strict=False)):
        if ids[place] not in continues:
            begin = start
        if place < last and ids[place + 1] in continues:
            continue
        slot = int(tag) - 1 if start < end else -1
        if slot >= 0 and slot == open_slot:
            out[-1] = (slot, out[-1][1], end)
        elif slot >= 0:
            out.append((slot, begin, end))
        open_slot = slot
    return out


def _of_first_version(tags: Sequence[int], pieces: Pieces, continues: frozenset[int]) -> list[int]:
    """The first version's tags as today's: every piece has its word's slot."""
    out: list[int] = []
    word = 0
    for tag, piece in zip(tags, pieces.ids, strict=False):
        if piece not in continues:
            word = (int(tag) + 1) // 2
        out.append(word)
    return out


def tags_of(slots: Sequence[tuple[int, int, int]], spans: Sequence[tuple[int, int]]) -> list[int]:
    """(slot, start, end) as one tag per piece, for training: `spans_of` reads them back, neighbours of one slot as one."""
    tags = [0] * len(spans)
    for slot, start, end in slots:
        for position, (begin, stop) in enumerate(spans):
            if begin < end and stop > start:
                tags[position] = slot + 1
    return tags
