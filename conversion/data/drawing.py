"""A side's rows: so many distinct sentences of each template, without those that mean two things.

Drawn sentences are compared by their form - the words with every value replaced by the kind of its list - and
a form that occurs with two intents, or with two different rows of slots, is removed everywhere; so are equal
texts of different forms. Nothing here looks at which side of a split a sentence is on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from conversion.data.draw import Drawer, Drawn
from conversion.data.templates import Template
from firmware_py.tasks.text import is_ideograph

_ENDING = 2  # letters
_TRIES = 4  # draws for each distinct sentence wanted: a short template has fewer


@dataclass(frozen=True, slots=True)
class Amount:
    """How many sentences: of a template, more for each of its slots, at least so many of an intent."""

    template: int
    slot: int = 0
    intent: int = 0


def draw_rows(drawer: Drawer, templates: Sequence[Template], amount: Amount, key: str) -> list[Drawn]:
    """Distinct sentences of each template; `key` names the random stream, one per template."""
    sizes = Counter(template.intent for template in templates)
    out: list[Drawn] = []
    for template in templates:
        random = Random(f"draw {key} {template.number}")  # noqa: S311 - reproducible draws, no secret
        slots = min(4, template.text.count("{"))
        wanted = max(amount.template + amount.slot * slots, amount.intent // sizes[template.intent])
        seen: dict[str, Drawn] = {}
        for _ in range(wanted * _TRIES):
            row = whole_words(drawer.draw(template, random))
            if row is not None:
                seen.setdefault(row.sentence.text, row)
            if len(seen) == wanted:
                break
        out += seen.values()
    return out


def whole_words(row: Drawn) -> Drawn | None:
    """The row with slots on word borders, since a tag is a word's; None where that would change a name.

    An ending of up to two letters ("des Wohnzimmers") goes with the slot; a slot inside a longer word
    ("Wohnzimmertimer") cannot be said. Ideographs are words of their own.
    """
    text, slots = row.sentence.text, []
    for start, end, name in row.sentence.slots:
        stop = end
        while stop < len(text) and _same_word(text[stop - 1], text[stop]):
            stop += 1
        if stop - end > _ENDING or (start and _same_word(text[start - 1], text[start])):
            return None
        slots.append((start, stop, name))
    return replace(row, sentence=replace(row.sentence, slots=tuple(slots)))


def _same_word(one: str, other: str) -> bool:
    return one.isalpha() and other.isalpha() and not is_ideograph(one) and not is_ideograph(other)


def ambiguous(rows: Iterable[Drawn]) -> Callable[[Drawn], bool]:
    """Find forms and texts with two intents or two rows of slots; says of a row whether it is one."""
    forms: dict[str, set[object]] = defaultdict(set)
    texts: dict[str, set[object]] = defaultdict(set)
    for row in rows:
        names = tuple(name for _, _, name in row.sentence.slots)
        forms[row.form].add((row.sentence.intent, names))
        texts[row.sentence.text.lower()].add((row.sentence.intent, row.sentence.slots))
    bad_forms = {form for form, meanings in forms.items() if len(meanings) > 1}
    bad_texts = {text for text, meanings in texts.items() if len(meanings) > 1}
    return lambda row: row.form in bad_forms or row.sentence.text.lower() in bad_texts
