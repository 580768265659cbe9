"""Runs a bundle over labelled rows: what it answered, by which exit, in what time, for how many joules."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from firmware_py.compose import Assembly
from firmware_py.contracts.check import Fields
from firmware_py.contracts.errors import (
    DataInvalidError,
    DataMissingError,
    EmptyInputError,
    InputTooLongError,
)
from firmware_py.contracts.manifest import Manifest
from firmware_py.contracts.request import Qos
from firmware_py.inference.engine import Engine
from firmware_py.inference.exits import Verdict
from firmware_py.resources.governor import Ask
from firmware_py.tasks.intent import OUT_OF_SCOPE, Encoded
from firmware_py.testing.metrics import Scored, Span

MAX_ROWS = 1_000_000
PATIENT_S = 60.0


@dataclass(frozen=True, slots=True)
class Labelled:
    """One row of an evaluation file; `slots` is None when the row does not say them."""

    text: str
    intent: str
    slots: frozenset[Span] | None


@dataclass(frozen=True, slots=True)
class How:
    """What is asked of the bundle: an exit rule (None: its default) and widths per stage (None: full)."""

    rule: str | None = None
    widths: tuple[int, ...] | None = None


def read_rows(path: Path) -> list[Labelled]:
    """The rows of a JSON Lines file; empty lines are skipped.

    Raises:
        DataMissingError: no such file.
        DataInvalidError: a row of another form, named by its line, or no row at all.
    """
    rows: list[Labelled] = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    rows.append(parse_row(line, f"{path.name}:{number}"))
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise DataMissingError(msg, hint="Give --data FILE.jsonl.") from error
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 (after line {len(rows)})"
        raise DataInvalidError(msg) from error
    if not rows:
        msg = f"{path} has no rows"
        raise DataInvalidError(msg)
    return rows


def parse_row(line: str, where: str) -> Labelled:
    """One line.

    Raises:
        DataInvalidError: it has another form; the message names `where`, never the text.
    """
    try:
        row = Fields(json.loads(line), where, DataInvalidError)
    except (ValueError, RecursionError) as error:
        msg = f"{where} is not JSON"
        raise DataInvalidError(msg) from error
    text, intent = row.text("text", limit=100_000), row.text("intent")
    slots = row.array("slots", None)
    return Labelled(text, intent, None if slots is None else frozenset(_spans(row, slots, len(text), where)))


def _spans(row: Fields, slots: Any, length: int, where: str) -> Iterator[Span]:
    for slot in slots:
        if not (isinstance(slot, list) and len(slot) == 3 and isinstance(slot[2], str)):
            row.fail(f"{where}: a slot is not [start, end, name]")
        start, end, name = slot
        if not all(isinstance(at, int) and not isinstance(at, bool) for at in (start, end)):
            row.fail(f"{where}: a slot's start or end is not an integer")
        if not 0 <= start < end <= length:
            row.fail(f"{where}: a slot lies outside its text")
        yield start, end, name


def strange_labels(rows: Sequence[Labelled], manifest: Manifest) -> int:
    """Rows in scope whose intent the model does not have: it can only get them wrong.

    Raises:
        DataInvalidError: they all are; the file is another model's.
    """
    inside = [row for row in rows if row.intent != OUT_OF_SCOPE]
    strange = sum(row.intent not in manifest.labels for row in inside)
    if inside and strange == len(inside):
        msg = f"none of the rows' intents is one of the {len(manifest.labels)} that {manifest.name} knows"
        raise DataInvalidError(msg, hint="`ciuic model show BUNDLE --json` lists its labels.")
    return strange


def strange_slots(rows: Sequence[Labelled], known: Collection[str]) -> tuple[int, tuple[str, ...]]:
    """Slots of the rows whose name is none of `known`, and these names: nobody can find such a slot."""
    names = [name for row in rows for _, _, name in row.slots or () if name not in known]
    return len(names), tuple(sorted(set(names)))


def evaluate(
    assembly: Assembly, rows: Sequence[Labelled], progress: Callable[[int], None], how: How = How()
) -> list[Scored]:
    """Answer every row once as a node would, without cache and queue, then ask every exit alone.

    `progress` hears how many of 2 x rows runs are done. The second round comes after the first, so
    that its work falls into no window that an answer's joules rest on.

    Raises:
        UnknownRuleError: the bundle has no such rule.
        ConfigError: not one width per stage.
    """
    (name, served), *_ = assembly.served.items()
    engine = assembly.slots[0].engines[name]
    _warm(served.manifest, engine, how)
    answered = []
    for row in rows:
        answered.append(_answer(assembly, how, row))
        progress(len(answered))
    scored: list[Scored] = []
    for done in answered:
        scored.append(_asked_alone(served.manifest, engine, how, done))
        progress(len(answered) + len(scored))
    return scored


def _warm(manifest: Manifest, engine: Engine, how: How) -> None:
    """Run something of each length, so that loading graphs counts as nobody's latency.

    No row: each is cut into pieces once, by its answer, whose seconds count that, too.
    """
    for bucket in manifest.buckets:
        nothing = Encoded("", (0,) * bucket, ((0, 0),) * bucket, bucket, truncated=0)
        engine.every_exit(nothing, how.widths)


@dataclass(frozen=True, slots=True)
class _Answered:
    encoded: Encoded | None
    scored: Scored


def _answer(assembly: Assembly, how: How, row: Labelled) -> _Answered:
    (name, served), *_ = assembly.served.items()
    engine = assembly.slots[0].engines[name]
    ground, manifest = assembly.ground, served.manifest
    begin_s = ground.clock.now_s()
    try:
        encoded = served.task.encode({"text": row.text})
    except (EmptyInputError, InputTooLongError):
        # A text that is not run at all counts as rejected at the first exit.
        run_s = ground.clock.now_s() - begin_s
        none = Scored(row.intent, OUT_OF_SCOPE, row.slots, frozenset(), 1, (), 1.0, run_s, refused=True)
        return _Answered(None, none)
    ask = Ask(Qos(), begin_s + PATIENT_S, how.rule or manifest.default_rule)
    limits = replace(assembly.limits(ask, manifest.stages), widths=how.widths)
    outcome = engine.run(encoded, limits, begin_s)
    energy = ground.energy.ledger.charge(outcome.record)
    ground.costs.learn(outcome.record)
    verdict = outcome.verdict
    slots: frozenset[Span] = frozenset()
    if not verdict.out_of_scope:
        result = served.task.decode(encoded, verdict, outcome.tags)
        slots = frozenset((slot["start"], slot["end"], slot["name"]) for slot in result["slots"])
    scored = Scored(
        intent=row.intent,
        predicted=_label(manifest, verdict),
        slots=row.slots,
        predicted_slots=slots,
        exit=outcome.record.exit,
        exit_labels=(),
        score=verdict.out_of_scope_score,
        run_s=outcome.record.run_s,
        energy_j=energy.energy_j,
        u95_j=energy.u95_j,
        method=energy.method,
        source=energy.source,
        simulated=energy.simulated,
    )
    return _Answered(encoded, scored)


def _asked_alone(manifest: Manifest, engine: Engine, how: How, done: _Answered) -> Scored:
    """The row with what every exit says of it; a text that is not run is rejected by all."""
    if done.encoded is None or not done.encoded.answerable:
        return replace(
            done.scored,
            exit_labels=(OUT_OF_SCOPE,) * manifest.stages,
            zeroth_label=None if engine.weights.zeroth is None else OUT_OF_SCOPE,
        )
    verdicts = engine.every_exit(done.encoded, how.widths)
    first = engine.zeroth(done.encoded)
    rejected = (OUT_OF_SCOPE,) * (manifest.stages - len(verdicts))
    return replace(
        done.scored,
        exit_labels=(*(_label(manifest, verdict) for verdict in verdicts), *rejected),
        exit_confidences=tuple(verdict.confidence for verdict in verdicts),
        zeroth_label=None if first is None else _label(manifest, first),
        zeroth_confidence=None if first is None else first.confidence,
    )


def _label(manifest: Manifest, verdict: Verdict) -> str:
    return OUT_OF_SCOPE if verdict.out_of_scope else manifest.labels[verdict.label_index]
