"""home-en's rows of one seed: templates and own phrasings drawn, cleaned and split.

    train        templates of the training side, own phrasings, names of training, manners around a quarter
    selection, temperature, thresholds    templates of the calibration side, cut in three by template
    report       templates of the evaluation side with evaluation's names, and out-of-scope topics of its own

Training also hears texts that say nothing. Extra sides, only reported: such texts of their own (`noise`),
`unseen_names` (report rows that hold a name or area never seen), `known_templates` (training's templates with
evaluation's names), `free_text` (rows of public sets that no template generates and no phrasing of ours either) and `free_text_read` (those that a template does read).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random

from conversion.data.draw import Drawer, Drawn
from conversion.data.drawing import Amount, ambiguous, draw_rows
from conversion.data.free_text import load_free_text
from conversion.data.names import load_names
from conversion.data.noise import LANGUAGES as NOISE_LANGUAGES
from conversion.data.noise import noise
from conversion.data.out_of_scope import load_foreign, neighbours
from conversion.data.readings import ambiguous_forms, read_in_a_house
from conversion.data.sentence import Sentence
from conversion.data.spoken import manners, politely, spoken_rows
from conversion.data.task import TaskData
from conversion.data.templates import Grammar, Split, Template, load_grammar, split_templates
from firmware_py.tasks.intent import OUT_OF_SCOPE

CALIBRATION = ("selection", "temperature", "thresholds")
TRAIN = Amount(template=22, slot=5, intent=200)
SPOKEN = Amount(template=20, slot=4)
HELD_OUT = Amount(template=16)
CALIBRATED = Amount(template=32)
KNOWN = Amount(template=2)
THINGS = ("area", "floor", "light", "light_modifier", "switch", "fan", "cover", "media_player")
MIN_INTENT = 120  # training rows of an intent; a smaller one's are said again with other manners


def build(
    seed: int, folder: Path | None, words: tuple[str, ...] = (), tell: Callable[[float], None] | None = None
) -> TaskData:
    """Draw the data of a seed; equal arguments give equal rows.

    Args:
        seed: of split, draws and order.
        folder: with the public sets for out-of-scope and free-text rows, or None.
        words: frequent ones for invented names in training.
        tell: hears the share done.

    Raises:
        DataInvalidError: a public set's file cannot be read.
    """
    tell = tell or (lambda _: None)
    grammar = load_grammar()
    split = split_templates(grammar.templates, seed)
    sides = by_side(grammar, split, seed)
    drawn = _draw(grammar, sides, seed, words)
    tell(0.3)
    drawn["spoken"] = spoken_rows(grammar, split, load_names("train", words), SPOKEN, f"{seed} spoken")
    tell(0.6)
    clear = _clear(drawn, lambda share: tell(0.6 + 0.35 * share))
    foreign = load_foreign(folder, seed)
    random = Random(f"polite {seed}")  # noqa: S311 - reproducible draws, no secret
    known = manners("en")
    spoken = [row.sentence for side in ("train", "spoken") for row in clear[side]]
    held = {row.sentence.text.lower() for side in (*CALIBRATION, "report") for row in clear[side]}
    train = [politely(row, known, random) for row in _enough(spoken) if row.text.lower() not in held]
    free = load_free_text(folder)
    ours = _heard(spoken)
    said = noise("train", seed, words, ours, held)
    theirs = noise("eval", seed, words, ours | _heard_held(clear["report"], clear["known"]), held)
    strange = _thirds(foreign.calibration, seed)
    rows = {side: [row.sentence for row in clear[side]] for side in (*CALIBRATION, "report")}
    return TaskData(
        name="home-en",
        task="home",
        languages=("en",),
        labels=(*sorted({template.intent for template in grammar.templates}), OUT_OF_SCOPE),
        slots=tuple(sorted({slot for row in train for _, _, slot in row.slots})),
        lexicon=_lexicon(),
        train=(*train, *foreign.train, *said),
        report=(*rows["report"], *foreign.evaluation),
        unlabelled=neighbours(folder, seed),
        notes={
            "sources": [
                {"name": "home-assistant-intents (en)", "licence": "Apache-2.0", "use": "templates"},
                {
                    "name": "names_en.toml, spoken_en.toml",
                    "licence": "Apache-2.0",
                    "use": "values, phrasings",
                },
                *foreign.sources,
                *free.sources,
                *(_noise_sources(len(said), len(theirs)) if words else ()),
            ],
            "templates": {side: len(numbers) for side, numbers in sides.items()},
            "train_only_intents": list(split.train_only),
            "removed_ambiguous": sum(len(drawn[side]) - len(clear[side]) for side in drawn),
        },
        extras={
            "unseen_names": tuple(row.sentence for row in clear["report"] if row.values),
            "known_templates": tuple(row.sentence for row in clear["known"] if row.values),
            "noise": theirs,
            **_free_sides(free.rows, train),
        },
        selection=(*rows["selection"], *strange["selection"]),
        temperature=(*rows["temperature"], *strange["temperature"]),
        thresholds=(*rows["thresholds"], *strange["thresholds"]),
    )


def by_side(grammar: Grammar, split: Split, seed: int) -> dict[str, list[Template]]:
    """Templates per side; the calibration side's go to its three splits in turn, so that intents mix."""
    sides: dict[str, list[Template]] = {side: [] for side in ("train", "report", *CALIBRATION)}
    order = sorted(split.calibration)
    Random(f"calibration {seed}").shuffle(order)  # noqa: S311 - reproducible draws, no secret
    order.sort(key=lambda number: grammar.templates[number].intent)
    turn = {number: CALIBRATION[place % len(CALIBRATION)] for place, number in enumerate(order)}
    for template in grammar.templates:
        if template.number in split.evaluation:
            sides["report"].append(template)
        else:
            sides[turn.get(template.number, "train")].append(template)
    return sides


def _draw(
    grammar: Grammar, sides: dict[str, list[Template]], seed: int, words: tuple[str, ...]
) -> dict[str, list[Drawn]]:
    own, held = Drawer(grammar, load_names("train", words)), Drawer(grammar, load_names("eval"))
    drawn = {side: draw_rows(own, sides[side], CALIBRATED, f"{seed} {side}") for side in CALIBRATION}
    # The report's random stream keeps the name it had when the demo's sentences were drawn from it.
    drawn["report"] = draw_rows(held, sides["report"], HELD_OUT, f"{seed} evaluation")
    drawn["train"] = draw_rows(own, sides["train"], TRAIN, f"{seed} train")
    drawn["known"] = draw_rows(held, sides["train"], KNOWN, f"{seed} known")
    return drawn


def _clear(drawn: dict[str, list[Drawn]], tell: Callable[[float], None]) -> dict[str, list[Drawn]]:
    """Without rows that mean two things: among what was drawn on any side, and to hassil on held-out ones."""
    bad = ambiguous(row for rows in drawn.values() for row in rows)
    clear = {side: [row for row in rows if not bad(row)] for side, rows in drawn.items()}
    held = [row for side in (*CALIBRATION, "report") for row in clear[side]]
    twice = ambiguous_forms(held, tell)
    return {side: [row for row in rows if row.form not in twice] for side, rows in clear.items()}


def _enough(rows: Sequence[Sentence]) -> Iterable[Sentence]:
    """All rows, those of a small intent more than once."""
    sizes = Counter(row.intent for row in rows)
    for row in rows:
        yield from [row] * max(1, round(MIN_INTENT / sizes[row.intent]))


def _free_sides(rows: Sequence[Sentence], train: Sequence[Sentence]) -> dict[str, tuple[Sentence, ...]]:
    """Free rows by whether a template reads them; one that training holds word for word is on neither side."""
    known = {row.text.lower() for row in train}
    fresh = [row for row in rows if row.text.lower() not in known]
    ours, theirs = load_names("train").values, load_names("eval").values
    house = {section: (*ours[section], *theirs[section]) for section in ours}
    read = read_in_a_house([row.text for row in fresh], house)
    return {
        "free_text": tuple(row for row, one in zip(fresh, read, strict=True) if not one),
        "free_text_read": tuple(row for row, one in zip(fresh, read, strict=True) if one),
    }


def _noise_sources(train: int, report: int) -> tuple[dict[str, object], ...]:
    """Where the rows that say nothing come from."""
    packages = ", ".join(NOISE_LANGUAGES)
    return (
        {"name": f"home-assistant-intents ({packages})", "licence": "Apache-2.0", "use": "out of scope"},
        {"name": f"names_<language>.toml ({packages})", "licence": "Apache-2.0", "use": "out of scope"},
        {"name": "noise.py", "licence": "Apache-2.0", "rows": train + report, "use": "out of scope"},
    )


def _heard(spoken: Sequence[Sentence]) -> set[str]:
    """What training hears: its sentences without their values, some of which are made up, and its listed names."""
    names = load_names("train").values
    return {value for section in names.values() for value in section} | {_unfilled(row) for row in spoken}


def _heard_held(*sides: Sequence[Drawn]) -> set[str]:
    """What the report hears, and its names."""
    names = load_names("eval").values
    listed = {value for section in names.values() for value in section}
    return listed | {row.sentence.text for rows in sides for row in rows}


def _lexicon() -> tuple[str, ...]:
    """Training's listed names of places and things."""
    values = load_names("train").values
    return tuple(value for section in THINGS for value in values[section])


def _unfilled(row: Sentence) -> str:
    """The words outside of slots."""
    text, last = "", 0
    for start, end, _ in sorted(row.slots):
        text, last = text + row.text[last:start], end
    return text + row.text[last:]


def _thirds(foreign: Sequence[Sentence], seed: int) -> dict[str, list[Sentence]]:
    """The calibration side's out-of-scope rows in three."""
    rows = list(foreign)
    Random(f"foreign thirds {seed}").shuffle(rows)  # noqa: S311 - reproducible draws, no secret
    out: dict[str, list[Sentence]] = defaultdict(list)
    for place, row in enumerate(rows):
        out[CALIBRATION[place % len(CALIBRATION)]].append(row)
    return out
