"""What each board would make of a model: recipe, operators, size, accuracy, and - predicted - seconds and joules.

Nothing here ran on a board. Shares come from committed operator tables, accuracy of the default rule from the
recipe bundles' own manifests, mean seconds under that rule from a measurement of the reference host stretched by
the board profile's speed factor, joules from those seconds as a trade-off estimates them; of an accelerator, seconds
are its compiler's own estimate where that is in the bundle. What has no source is null.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from conversion.check.on_board import (
    REFERENCE_ARCH,
    REFERENCE_FAMILY,
    UNKNOWN,
    Joules,
    estimated,
    figure,
)
from conversion.data.sources import NAMES
from conversion.targets.forms import read_form
from conversion.targets.mapping import AFTER_THE_FIRST, Division, divide, total
from conversion.targets.tables import load_table, table_names
from conversion.targets.tflite import read_operators
from device_profiles.loader import list_accessories, list_profiles, load_accessory, load_profile
from device_profiles.profile import BoardProfile, Delegate
from firmware_py.contracts.manifest import Manifest

_HEAD = ("board", "delegate", "recipe", "on it", "size", "accuracy", "seconds", "joules", "falls back")
_NOTE_COLUMNS = 110
NOT_BUILT = "not built"
NOT_KNOWN = "not known for this architecture"
# No board's ladder names it: what runs there is decided by which runtime is installed.
OTHER_RUNTIME = Delegate(
    "tflite-runtime", None, {}, "w8", "the CPU where tflite-runtime is what is installed"
)
_REFERENCE = {"arch": REFERENCE_ARCH, "cpu_family": REFERENCE_FAMILY}  # `Measured` is of no other machine
_ON_CPU = ("xnnpack", OTHER_RUNTIME.name)


@dataclass(frozen=True, slots=True)
class Built:
    """One recipe's bundle: its manifest, bytes of the archive, and its full-width graphs of the shortest length."""

    path: Path
    manifest: Manifest
    sha256: str
    size_bytes: int
    graphs: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of one answer under the default rule on the reference machine, and what says so.

    `mean`: they are the mean, else the median, which is too little for joules: a mean answer costs what the slow ones do.
    """

    seconds: float
    source: str
    mean: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One board and delegate.

    `operators` are those of the recipe's bundle, or of the recipe's form where it is not built. `delegate` is
    `tflite-runtime` for the CPU under that runtime, which has no delegate of a ladder.
    `status`: `built` or why not. `accuracy` is the default rule's on the report split, `accuracy_change` that
    less the reference recipe's, in points of 100. `predicted_s` and `predicted_j` are of one answer under that
    rule, `predicted_u95_j` is the half-width of the joules' 95 % interval.
    `compiler`: what the delegate's own compiler said of the bundle's graphs, where it was called.
    """

    board: str
    delegate: str
    recipe: str
    status: str
    bundle: str | None = None
    size_bytes: int | None = None
    operators: Division | None = None
    accuracy: float | None = None
    accuracy_change: float | None = None
    predicted_s: float | None = None
    predicted_j: float | None = None
    predicted_u95_j: float | None = None
    basis: str = ""
    compiler: Mapping[str, Any] | None = None
    sources: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        out = asdict(self)
        out["operators"] = None if self.operators is None else self.operators.to_dict()
        return out


def rows(built: Mapping[str, Built], reference: Built, measured: Mapping[str, Measured]) -> list[Row]:
    """A row for each delegate of each board profile's ladder, then of each accessory, then of each other table.

    A board with a CPU rung has one for tflite-runtime, too, where its recipe is built or could be.
    """
    out: list[Row] = []
    recipe = OTHER_RUNTIME.recipe
    elsewhere = recipe in built or build_command(reference.manifest, recipe) is not None
    seen: set[str] = set()
    for name in list_profiles():
        profile = load_profile(name)
        for delegate in profile.delegates:
            seen.add(delegate.name)
            out.append(_row(profile, name, delegate, (built, reference, measured)))
            if delegate.name == "xnnpack" and elsewhere:
                out.append(_row(profile, name, OTHER_RUNTIME, (built, reference, measured)))
    for name in list_accessories():
        for delegate in load_accessory(name).delegates:
            seen.add(delegate.name)
            out.append(_row(None, name, delegate, (built, reference, measured)))
    for table, its_recipe in (("gpu", "fp16"), ("ethosu", "ethosu"), ("teflon", "vx")):
        if table not in seen:
            delegate = Delegate(table, None, {}, its_recipe, "")
            out.append(_row(None, "-", delegate, (built, reference, measured)))
    return out


def division(one: Built, delegate: str) -> Division | None:
    """How a bundle's full-width graphs of its shortest length divide; None where there is no table."""
    if delegate not in table_names():
        return None
    table = load_table(delegate)
    return total(divide(read_operators(data), table) for data in one.graphs)


def _row(
    profile: BoardProfile | None,
    board: str,
    delegate: Delegate,
    known: tuple[Mapping[str, Built], Built, Mapping[str, Measured]],
) -> Row:
    built, reference, measured = known
    one = built.get(delegate.recipe)
    if one is None:
        return _unbuilt(board, delegate, build_command(reference.manifest, delegate.recipe))
    accuracy, base = _accuracy(one.manifest), _accuracy(reference.manifest)
    known_both = accuracy is not None and base is not None
    seconds, joules, basis = _compiled(delegate, one.manifest) or _predict(
        profile, delegate, measured.get(delegate.recipe)
    )
    sources = load_table(delegate.name).sources if delegate.name in table_names() else ()
    compiler = one.manifest.provenance.get("accelerator")
    return Row(
        board=board,
        delegate=delegate.name,
        recipe=delegate.recipe,
        status="built",
        bundle=one.path.name,
        size_bytes=one.size_bytes,
        operators=division(one, delegate.name),
        accuracy=accuracy,
        accuracy_change=round(100 * ((accuracy or 0.0) - (base or 0.0)), 3) if known_both else None,
        predicted_s=seconds,
        predicted_j=joules.energy_j,
        predicted_u95_j=joules.u95_j,
        basis=basis,
        compiler=compiler if isinstance(compiler, Mapping) else None,
        sources=sources,
    )


def _accuracy(manifest: Manifest) -> float | None:
    """Of the default rule on the report split, which is whose seconds stand beside it; None: the bundle does not say."""
    figures = manifest.provenance.get("figures")
    found = figures.get("accuracy") if isinstance(figures, Mapping) else None
    return None if found is None else float(found)


def build_command(manifest: Manifest, recipe: str) -> str | None:
    """What builds a model's recipe; None for an architecture that has no recipes but its own."""
    if manifest.attention != "causal" or manifest.frame or "latent" not in manifest.dims:
        return None
    if manifest.name in NAMES:
        return f"ciuic model build {manifest.name} --recipe {recipe}"
    return f"ciuic model build custom --name {manifest.name} --recipe {recipe} --checkpoint DIR --data FILE (as before)"


def _unbuilt(board: str, delegate: Delegate, command: str | None) -> Row:
    """What can be said without a bundle: the operators of the recipe's form, which is DeepSeekLite's."""
    if command is None:
        return Row(board, delegate.name, delegate.recipe, NOT_KNOWN, basis=NOT_KNOWN)
    hint, form = f"{NOT_BUILT}: {command}", read_form(delegate.recipe)
    if not form or delegate.name not in table_names():
        return Row(board, delegate.name, delegate.recipe, hint)
    table = load_table(delegate.name)
    basis = "operators of a two-layer stage as the build writes it; nothing of this model"
    return Row(
        board,
        delegate.name,
        delegate.recipe,
        hint,
        operators=divide(form, table),
        basis=basis,
        sources=table.sources,
    )


def _compiled(delegate: Delegate, manifest: Manifest) -> tuple[float, Joules, str] | None:
    """What an accelerator's own compiler estimated of this very bundle's graphs; None where it said no seconds."""
    said = manifest.provenance.get("accelerator")
    if delegate.name != delegate.recipe or not isinstance(said, Mapping) or said.get("estimated_s") is None:
        return None
    basis = (
        f"estimated by {said['compiler']} for {said['accelerator']} at its default clock, nothing ran: every stage at full "
        f"width over {said['length']} tokens, without heads, exits and host; no joules"
    )
    return float(said["estimated_s"]), UNKNOWN, basis


def _predict(
    profile: BoardProfile | None, delegate: Delegate, measured: Measured | None
) -> tuple[float | None, Joules, str]:
    """Seconds and joules of one answer, with where they come from; unknown is null."""
    if delegate.name not in _ON_CPU:
        return None, UNKNOWN, "unknown: nobody has measured this delegate"
    if measured is None:
        return (
            None,
            UNKNOWN,
            "unknown: this very bundle is not measured in this runtime; `ciuic model tradeoff BUNDLE --out docs/measurements`"
            " does it, for ai-edge-litert `ciuic bench model` or `engine`, too",
        )
    if profile is None or profile.simulation.speed_factor is None:
        return None, UNKNOWN, "unknown: the profile has no speed factor"
    factor, busy_w = profile.simulation.speed_factor, profile.simulation.busy_w
    seconds = measured.seconds * factor
    basis = f"predicted, not measured there: {measured.source} x speed_factor {factor:g}"
    if not measured.mean:
        return seconds, UNKNOWN, f"{basis}; a median, so no joules"
    joules = estimated(profile, measured.seconds, _REFERENCE)
    if joules.energy_j is None:
        return seconds, joules, f"{basis}; no busy_w, so no joules"
    return seconds, joules, f"{basis}; joules above idle: x busy_w {busy_w:g} W"


def table_text(rows_: Sequence[Row]) -> str:
    """Rows for people; what takes more than a word stands below them, said once."""
    notes: dict[str, int] = {}
    lines = [_HEAD, *((*_cells(row), _note(row, notes)) for row in rows_)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(_HEAD))]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    below = [
        textwrap.fill(note, _NOTE_COLUMNS, initial_indent=f"[{number}] ", subsequent_indent="    ")
        for note, number in notes.items()
    ]
    return "\n".join([*table, *([""] if below else []), *below])


def _note(row: Row, notes: dict[str, int]) -> str:
    """`nothing`, or the number of a note."""
    said = _left(row) if row.status == "built" else row.status
    if row.status != "built" and row.operators is not None:
        said += f"; falls back: {_left(row)}"
    return said if said == "nothing" else f"[{notes.setdefault(said, len(notes) + 1)}]"


def _cells(row: Row) -> tuple[str, ...]:
    share = None if row.operators is None else row.operators.share
    return (
        row.board,
        row.delegate,
        row.recipe,
        "-" if share is None else f"{share:.0%}",
        "-" if row.size_bytes is None else f"{row.size_bytes / 1e6:.2f} MB",
        _accuracy_cell(row),
        "-" if row.predicted_s is None else f"~{row.predicted_s * 1e6:.0f} us",
        "-" if row.predicted_j is None else f"~{figure(row.predicted_j, row.predicted_u95_j, 'J')}",
    )


def _accuracy_cell(row: Row) -> str:
    if row.accuracy is None:
        return "-"
    change = "" if row.accuracy_change is None else f" ({row.accuracy_change:+.2f})"
    return f"{row.accuracy:.2%}{change}"


def _left(row: Row) -> str:
    if row.operators is None:
        return "operators unknown"
    if not row.operators.left:
        return "nothing"
    # What stands behind a gap is the gap's doing: the gap itself comes first.
    most = sorted(row.operators.left.items(), key=lambda item: (item[0][1] == AFTER_THE_FIRST, -item[1]))[:2]
    said = "; ".join(f"{count} {name}: {why}" for (name, why), count in most)
    rest = len(row.operators.left) - len(most)
    return f"{said}; {rest} more in --json" if rest else said
