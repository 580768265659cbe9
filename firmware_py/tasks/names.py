"""The user's names: areas, floors and devices with their aliases, and which of them a text means.

Pure. A name is looked for as it is written, then without case, accents and plural and with fewer and fewer of the
articles before it, then the same way among the aliases; the first that knows it counts. A word is an article only
where the text may be in its language. Several of one step are candidates, of which
an area or floor in the same sentence keeps those that lie in it. File and form: `docs/how-to-name-your-rooms.md`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from firmware_py.contracts.check import Fields
from firmware_py.contracts.errors import NamesError
from firmware_py.tasks.folding import fold

Kind = Literal["area", "floor", "device"]
Languages = Set[str]
Places = set[tuple[Kind, str | None]]
KINDS: Mapping[str, Kind] = {
    "floor": "floor",
    "area": "area",
    "name": "device",
}  # slot to kind, in this order
MAX_ENTRIES = 10_000
MAX_CANDIDATES = 16

_KEYS = {
    "floor": {"id", "name", "aliases"},
    "area": {"id", "name", "aliases", "floor"},
    "device": {"id", "name", "aliases", "area"},
}
# Articles and possessives that people put before a name, by language; Polish and Chinese have none. The second row
# stands before no name in a list: there it is a word of the name ("Den lamp", "Ein-Aus-Schalter").
_SPOKEN: Mapping[str, tuple[str, str]] = {
    "en": ("the my our", "a an"),
    "de": (
        "der die das mein meine unser unsere",
        "den dem ein eine einen einem einer meinen meinem meiner unseren unserem unserer",
    ),
    "fr": ("le la les l mon ma mes notre nos", "un une"),
    "es": ("el la los las mi mis nuestro nuestra", "un una"),
    "nl": ("de het mijn onze ons", "een"),
    "it": ("il lo la l i gli le mio mia", "un uno una"),
}
LANGUAGES = frozenset(_SPOKEN)
# Of which languages a word is an article.
ARTICLES: Mapping[str, frozenset[str]] = {
    word: frozenset(language for language, rows in _SPOKEN.items() if word in " ".join(rows).split())
    for rows in _SPOKEN.values()
    for word in " ".join(rows).split()
}
_NOT_LISTED = frozenset(word for _, only_said in _SPOKEN.values() for word in only_said.split())
# An article ends at a blank, or at an apostrophe where it is cut short: the A of "A/C" is none.
_ARTICLE = re.compile(r"\W*([^\W\d_]+)(?:\s+|(?<=l)['’]|(?<=un)['’])(?=\S)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing of the house; `within` is the id of its floor (an area's) or area (a device's)."""

    kind: Kind
    id: str
    name: str
    aliases: tuple[str, ...] = ()
    within: str | None = None


class Names:
    """All names of one house; `version` tells two states of the file apart.

    `first_words` are those that names and aliases begin with, as they are compared, with and without an article.
    """

    __slots__ = ("_floors", "_steps", "entries", "first_words", "version")

    def __init__(self, entries: Iterable[Entry] = (), version: int = 0) -> None:
        self.entries = tuple(entries)
        self.version = version
        self._floors = {entry.id: entry.within for entry in self.entries if entry.kind == "area"}
        self._steps: dict[Kind, tuple[dict[str, list[Entry]], _Index, _Index]] = {
            kind: ({}, _Index(), _Index()) for kind in KINDS.values()
        }
        for entry in self.entries:
            written, plain, alias = self._steps[entry.kind]
            written.setdefault(entry.name, []).append(entry)
            plain.add(entry.name, entry)
            for text in entry.aliases:
                alias.add(text, entry)
        steps = (step for kinds in self._steps.values() for step in kinds[1:])
        self.first_words = frozenset(key.partition(" ")[0] for step in steps for key in step.spoken())

    def find(self, kind: Kind, text: str, languages: Languages = LANGUAGES) -> Sequence[Entry]:
        """What a text may mean: none, one, or several that it does not tell apart.

        `languages` are those that the text may be in: of them, articles before the name do not count.
        """
        written, plain, alias = self._steps[kind]
        found = written.get(text)
        if found:
            return found
        forms = _forms(text, languages)
        for step in (plain, alias):
            for key, spoken in forms:
                meant = step.find(key, spoken)
                if meant:
                    return meant
        return ()

    def resolve(self, slots: Sequence[dict[str, Any]], languages: Languages = LANGUAGES) -> None:
        """Give slots that name a thing its `value`, `id` and `kind`, or `candidates`; others stay as they are."""
        # The areas and floors that the sentence names: an area may have the id of a floor.
        inside: Places = set()
        for slot_name, kind in KINDS.items():
            for slot in slots:
                if slot["name"] == slot_name:
                    found = self.find(kind, slot["text"], languages)
                    if len(found) > 1 and inside:
                        found = [entry for entry in found if inside & self.places(entry)] or found
                    _say(slot, found)
                    if len(found) == 1:
                        inside.add((kind, found[0].id))

    def inside(self, slots: Sequence[dict[str, Any]], languages: Languages = LANGUAGES) -> Places:
        """The areas and floors that slots surely name."""
        found = (
            self.find(kind, slot["text"], languages)
            for slot_name, kind in KINDS.items()
            for slot in slots
            if kind != "device" and slot["name"] == slot_name
        )
        return {(entries[0].kind, entries[0].id) for entries in found if len(entries) == 1}

    def places(self, entry: Entry) -> Places:
        """Where a thing is: an area on a floor, a device in an area and on that area's floor."""
        if entry.kind == "area":
            return {("floor", entry.within)}
        return {("area", entry.within), ("floor", self._floors.get(entry.within or ""))}


def parse_names(data: Any, where: str, version: int = 0) -> Names:
    """Check a decoded names file strictly: a misspelt key would silently lose a name.

    Raises:
        NamesError: another form; the message names `where` and the entry's place, never a name.
    """
    top = Fields(data, where, NamesError)
    odd = set(data) - _KEYS.keys()
    if odd:
        top.fail(f"{where}: {', '.join(sorted(map(str, odd)))} is not one of {', '.join(sorted(_KEYS))}")
    entries: list[Entry] = []
    for kind in KINDS.values():
        if not isinstance(data.get(kind, ()), list | tuple):
            top.fail(f"{where}: {kind} is not an array of entries, such as [[{kind}]] tables in TOML")
        items = top.array(kind, (), limit=MAX_ENTRIES)
        entries += [_parse(item, kind, f"{where}: {kind}[{number}]") for number, item in enumerate(items)]
    if len(entries) > MAX_ENTRIES:
        top.fail(f"{where} has over {MAX_ENTRIES} entries")
    seen: set[tuple[str, str]] = set()
    for entry in entries:
        if (entry.kind, entry.id) in seen:
            top.fail(f"{where}: two {entry.kind} entries have the id {entry.id}")
        seen.add((entry.kind, entry.id))
    parents = {"area": "floor", "device": "area"}
    for entry in entries:
        if entry.within is not None and (parents[entry.kind], entry.within) not in seen:
            parent = f"{parents[entry.kind]} {entry.within}"
            top.fail(f"{where}: {entry.kind} {entry.id} lies in the {parent}, which is not listed")
    return Names(entries, version)


def _parse(data: Any, kind: Kind, where: str) -> Entry:
    item = Fields(data, where, NamesError)
    odd = set(data) - _KEYS[kind]
    if odd:
        item.fail(
            f"{where}: {', '.join(sorted(map(str, odd)))} is not one of {', '.join(sorted(_KEYS[kind]))}"
        )
    name, aliases = item.text("name"), item.array("aliases", (), limit=100)
    texts = (name, *aliases)
    if not all(isinstance(text, str) and len(text) <= 256 and fold(text) for text in texts):
        item.fail(f"{where}: a name or alias is not a text with a letter or digit")
    identity = item.text("id")
    if not identity:
        item.fail(f"{where}.id is empty")
    within = item.text({"area": "floor", "device": "area"}[kind], None) if kind != "floor" else None
    return Entry(kind, identity, name, tuple(aliases), within)


def _say(slot: dict[str, Any], found: Sequence[Entry]) -> None:
    if len(found) == 1:
        slot |= {"value": found[0].name, "id": found[0].id, "kind": found[0].kind}
    elif found:
        slot["candidates"] = [
            {"id": entry.id, "name": entry.name, "kind": entry.kind, "within": entry.within}
            for entry in found[:MAX_CANDIDATES]
        ]


class _Index:
    """Names of one kind as they are compared; those that begin with an article also without it, and in whose words."""

    __slots__ = ("_bare", "_full")

    def __init__(self) -> None:
        self._full: dict[str, list[Entry]] = {}
        self._bare: dict[str, list[tuple[Entry, Languages]]] = {}

    def add(self, text: str, entry: Entry) -> None:
        (key, _), *others = _forms(text, LANGUAGES, _NOT_LISTED)
        known = self._full.setdefault(key, [])
        if not known or known[-1] is not entry:  # two aliases that are compared alike
            known.append(entry)
        for bare, spoken in others:
            self._bare.setdefault(bare, []).append((entry, spoken))

    def find(self, key: str, languages: Languages) -> Sequence[Entry]:
        """The entries of a key; of an article's language must be the text that leaves it out."""
        found = self._full.get(key, ())
        bare = self._bare.get(key, ())
        return (
            found if not bare else list(dict.fromkeys([*found, *(one for one, of in bare if of & languages)]))
        )

    def spoken(self) -> Iterable[str]:
        """All keys."""
        return itertools.chain(self._full, self._bare)


def _forms(text: str, languages: Languages, kept: Set[str] = frozenset()) -> list[tuple[str, Languages]]:
    """A text as it is compared, then without each article before it, with the languages that it may be in then."""
    key, at = _plain(text), 0
    forms = [(key, languages)]
    while True:
        word, _, rest = key.partition(" ")
        of = ARTICLES.get(word) if rest and word not in kept else None
        match = None if of is None else _ARTICLE.match(text, at)
        if of is None or match is None or of.isdisjoint(languages):
            return forms
        key, at = rest, match.end()
        languages = of if of <= languages else of & languages  # most are the same few sets
        forms.append((key, languages))


def _plain(text: str) -> str:
    """Without case, accents, and the plural of the last word."""
    words = fold(text).split()
    if words:
        words[-1] = singular(words[-1])
    return " ".join(words)


def singular(word: str) -> str:
    """A comparable stem, the same for both numbers where the plural is an s; no dictionary form."""
    if len(word) < 4 or not word.endswith("s") or word.endswith("ss"):
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("ches", "shes", "xes", "sses")) else word[:-1]
