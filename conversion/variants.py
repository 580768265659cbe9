"""Students that are trained to be compared with, not shipped: shallow ones, and ones with a term left out.

A *static* student has one exit and one width; the others change one thing of what ships. All have the same
rows, teachers, lesson, epochs and seed, and are measured in float32 torch on the report split: what
quantisation costs is measured elsewhere, and it would only lower them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from conversion.check import cascade, figures
from conversion.check.answers import prefixes_of
from conversion.check.calibrate import Strangeness
from conversion.check.compute import GROUPS
from conversion.check.judge import Costs, Judge
from conversion.check.reference import Options, torch_answers
from conversion.check.rows import RowFile, SystemRows, save_rows
from conversion.check.slot_reading import SlotReading
from conversion.data.workbench import Workbench
from conversion.export.lattice import widths_by_bucket
from conversion.nets.student import Student
from conversion.pipeline import Job, strangeness_of, student_file, take_course
from conversion.train.course import Course, learn
from conversion.train.distil import Settings
from conversion.variant_table import VARIANTS


def study(job: Job, variant: str, bench: Workbench) -> dict[str, Any]:
    """Train one variant, measure it, write `variants/<variant>-<seed>.{json,npz}` and return the figures."""
    settings = replace(job.settings, **VARIANTS[variant])
    course = take_course(job, bench)
    folder = bench.folder / "variants"
    folder.mkdir(parents=True, exist_ok=True)
    # What ships is there from its build; it is trained only where it is not.
    own = f"variants/{variant}-{settings.seed}.pt"
    student = learn(course, settings, bench, own if VARIANTS[variant] else student_file(settings))
    found, rows = measure(course, student, settings, strangeness_of(job.name))
    found = {
        "name": job.name,
        "variant": variant,
        "settings": asdict(settings),
        "seconds": bench.seconds["student"],
        **found,
    }
    (folder / f"{variant}-{settings.seed}.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    save_rows(folder / f"{variant}-{settings.seed}.npz", rows)
    return found


def measure(
    course: Course, student: Student, settings: Settings, strangeness: Strangeness
) -> tuple[dict[str, Any], RowFile]:
    """Accuracy of every exit that was trained and every uniform width on the report split, in scope; compute of each.

    Temperatures and the scope threshold are found as a release finds them, of these logits: what is turned away is wrong here, too.
    """
    data, depth = course.data, settings.stages
    tokenizer = course.data.tokenizer(course.pieces)
    ways = (
        [(width,) * depth for width in range(GROUPS, 0, -1)]
        if settings.exits or depth == 3
        else [(GROUPS,) * depth]
    )
    # An exit that no loss reached says nothing.
    exits = range(depth + 1) if settings.exits else (depth,)
    prefixes = prefixes_of(ways) if settings.exits else ways
    heated = torch_answers(student, tokenizer, [row.text for row in data.temperature], prefixes)
    options = Options(slots=SlotReading.of(data))
    said = torch_answers(student, tokenizer, [row.text for row in data.report], prefixes, options)
    costs = Costs.of(student, widths_by_bucket())
    judge = Judge.fitted(data, tokenizer, heated, strangeness, costs)
    lattice = judge.lattice(data.report, said)
    out: dict[str, Any] = {"exits": {}, "widths": {}}
    systems = {}
    for number in exits:
        way = cascade.Configuration((GROUPS,) * depth, cascade.static(number, depth))
        outcome = cascade.run(lattice, way)
        macs = outcome.macs if number == 0 else lattice.compute.static(number)
        out["exits"][str(number)] = figures.describe(lattice, way) | {"macs": round(float(macs.mean()))}
        systems[f"exit-{number}"] = SystemRows(outcome.right, macs, outcome.exits, outcome.slots)
    for widths in ways:
        way = cascade.Configuration(widths, cascade.static(depth, depth))
        out["widths"][str(widths[0])] = figures.describe(lattice, way)
        outcome = cascade.run(lattice, way)
        systems[f"width-{widths[0]}"] = SystemRows(outcome.right, outcome.macs, outcome.exits, outcome.slots)
    return out, RowFile(data.hashes()["report"], lattice.truth, systems)
