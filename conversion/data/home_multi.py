"""home-multi's rows of one seed: eight languages of the same templates' package, one label set.

English is home-en's data, thinned. The other languages are drawn with the same code from their own templates,
phrasings and names, split by template in the same way; what hassil would read in two ways is not asked there, only
forms and texts drawn with two meanings are removed. Each row says its language. Phrasings and what is overheard are for training alone;
where a form is drawn with another meaning, too, theirs go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from conversion.data import home_en
from conversion.data.draw import Drawer, Drawn
from conversion.data.drawing import Amount, ambiguous, draw_rows
from conversion.data.home_en import CALIBRATION, by_side
from conversion.data.names import load_names
from conversion.data.out_of_scope import overheard, own_rows
from conversion.data.sentence import Sentence, hand_written
from conversion.data.spoken import manners, politely, spoken_rows
from conversion.data.task import TaskData
from conversion.data.templates import load_grammar, split_templates
from firmware_py.tasks.intent import OUT_OF_SCOPE

LANGUAGES = ("en", "de", "fr", "es", "nl", "it", "pl", "zh-CN")
CODES = {"zh-CN": "zh"}  # of the package: of the bundle, where they differ
ROWS = 11_000  # training rows of a language before manners and out-of-scope ones
STRANGE = 1_000  # out-of-scope training rows of English
APART = 10_000  # between the template numbers of two languages
SPOKEN = Amount(template=10, slot=3)
HELD_OUT = Amount(template=8)
LEAST = 100  # training rows of an intent

Sides = dict[str, list[Sentence]]


def build(seed: int, folder: Path | None, tell: Callable[[float], None] | None = None) -> TaskData:
    """Draw the data of a seed; equal arguments give equal rows.

    Args:
        seed: of splits, draws and order.
        folder: with the public sets for English out-of-scope rows, or None.
        tell: hears the share done.

    Raises:
        DataInvalidError: a public set's file cannot be read.
    """
    tell = tell or (lambda _: None)
    english, base = _english(seed, folder, lambda share: tell(0.5 * share))
    sides: list[Sides] = [english]
    for place, language in enumerate(LANGUAGES[1:], 1):
        sides.append(_language(language, seed, APART * place))
        tell(0.5 + 0.5 * place / (len(LANGUAGES) - 1))
    rows = {name: tuple(row for side in sides for row in side[name]) for name in sides[0]}
    labels = {row.intent for name in rows for row in rows[name]} | set(base.labels)
    return TaskData(
        name="home-multi",
        task="home",
        languages=tuple(CODES.get(language, language) for language in LANGUAGES),
        labels=(*sorted(labels - {OUT_OF_SCOPE}), OUT_OF_SCOPE),
        slots=tuple(sorted({slot for row in rows["train"] for _, _, slot in row.slots})),
        train=rows["train"],
        selection=rows["selection"],
        temperature=rows["temperature"],
        thresholds=rows["thresholds"],
        report=rows["report"],
        notes={
            "sources": [
                *base.notes["sources"],
                *(
                    {
                        "name": f"home-assistant-intents ({language})",
                        "licence": "Apache-2.0",
                        "use": "templates",
                    }
                    for language in LANGUAGES[1:]
                ),
                {
                    "name": "names_<language>.toml, spoken_<language>.toml",
                    "licence": "Apache-2.0",
                    "use": "values, manners, phrasings",
                },
                {
                    "name": "out_of_scope_<language>.toml, overheard_<language>.toml",
                    "licence": "Apache-2.0",
                    "use": "out of scope",
                },
            ],
            "rows": {
                name: dict(sorted(Counter(row.lang for row in kept).items())) for name, kept in rows.items()
            },
            "two_readings_checked": ["en"],
        },
        lexicon=base.lexicon,
        extras={
            "unseen_names": rows["unseen_names"],
            "hand": tuple(
                row for language in LANGUAGES for row in hand_written(CODES.get(language, language))
            ),
            "free_text": base.extras["free_text"],
        },
    )


def _english(seed: int, folder: Path | None, tell: Callable[[float], None]) -> tuple[Sides, TaskData]:
    """home-en's rows, as many as another language has, and home-en's data itself."""
    data = home_en.build(seed, folder, (), tell)
    random = Random(f"thin {seed}")  # noqa: S311 - reproducible draws, no secret
    known = [row for row in data.train if row.intent != OUT_OF_SCOPE]
    strange = [row for row in data.train if row.intent == OUT_OF_SCOPE]
    train = _thin(known, ROWS, random) + random.sample(strange, min(STRANGE, len(strange)))
    sides = {name: list(data.split(name)) for name in (*CALIBRATION, "report")}
    return {"train": train, **sides, "unseen_names": list(data.extras["unseen_names"])}, data


def _thin(rows: Sequence[Sentence], wanted: int, random: Random) -> list[Sentence]:
    """About so many rows at random; intents with few rows keep them."""
    sizes = Counter(row.intent for row in rows)
    share = wanted / len(rows)
    return [row for row in rows if random.random() < max(share, LEAST / sizes[row.intent])]


def _language(language: str, seed: int, offset: int) -> Sides:
    """All sides of a language but English."""
    clear = _clear(language, seed)
    code = CODES.get(language, language)

    def kept(rows: list[Drawn]) -> list[Sentence]:
        return [replace(row.sentence, lang=code, template=row.sentence.template + offset) for row in rows]

    sides = {side: kept(clear[side]) for side in (*CALIBRATION, "report")}
    taken = {row.text.lower() for rows in sides.values() for row in rows}
    random = Random(f"polite {seed} {language}")  # noqa: S311 - reproducible draws, no secret
    known, join = manners(language), "" if code == "zh" else " "
    train = [row for row in kept(clear["train"]) if row.text.lower() not in taken]
    sides["train"] = [politely(row, known, random, join) for row in train]
    heard = taken | {row.text.lower() for row in train}
    strange = {
        side: [replace(row, lang=code) for row in rows if row.text not in heard]
        for side, rows in own_rows(language, seed).items()
    }
    random.shuffle(strange["calibration"])
    for place, side in enumerate(CALIBRATION):
        sides[side] += strange["calibration"][place :: len(CALIBRATION)]
    sides["train"] += [politely(row, known, random, join) for row in strange["train"]]
    sides["report"] += strange["evaluation"]
    # What is heard in training alone comes last, and none that is said elsewhere: no other row depends on what is written there.
    heard |= {row.text.lower() for rows in (*strange.values(), hand_written(code)) for row in rows}
    spoken = [row for row in kept(clear["spoken"]) if row.text.lower() not in heard]
    heard |= {row.text.lower() for row in spoken}
    held_out = [*strange["calibration"], *strange["evaluation"]]
    foreign = [replace(row, lang=code) for row in overheard(language, held_out) if row.text not in heard]
    sides["train"] += [politely(row, known, random, join) for row in (*spoken, *foreign)]
    return sides | {"unseen_names": kept([row for row in clear["report"] if row.values])}


def _clear(language: str, seed: int) -> dict[str, list[Drawn]]:
    """The rows of each side, and `spoken` ones of own phrasings, without those that mean two things.

    A phrasing never takes a template's row away.
    """
    grammar = load_grammar(language)
    split = split_templates(grammar.templates, seed)
    templates = by_side(grammar, split, seed)
    own, held = (load_names(side, (), language) for side in ("train", "eval"))
    amounts = {"train": Amount(template=max(6, round(ROWS / len(templates["train"]))), intent=LEAST)}
    drawn = {
        side: draw_rows(
            Drawer(grammar, held if side == "report" else own),
            templates[side],
            amounts.get(side, HELD_OUT),
            f"{seed} {language} {side}",
        )
        for side in templates
    }
    bad = ambiguous(row for rows in drawn.values() for row in rows)
    spoken = spoken_rows(grammar, split, own, SPOKEN, f"{seed} {language} spoken")
    misleading = ambiguous(row for rows in (*drawn.values(), spoken) for row in rows)
    clear = {side: [row for row in rows if not bad(row)] for side, rows in drawn.items()}
    return clear | {"spoken": [row for row in spoken if not misleading(row)]}
