"""What each board would make of a model: recipe, operators, size, accuracy, and - predicted - seconds and joules.

Nothing here ran on a board. Shares come from committed operator tables, accuracy of the default rule from the
recipe bundles' own manifests, mean seconds under that rule from a measurement of the reference host, or of one compared with it, stretched
by the board profile's speed factor, joules from those seconds as a trade-off estimates them; of an accelerator, seconds
are its compiler's own estimate where that is in the bundle. What has no source is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from conversion.check.hosts import REFERENCE, host_of, other_host, told
from conversion.check.on_board import UNKNOWN, Joules, estimated
from conversion.data.sources import NAMES
from conversion.targets.forms import read_form
from conversion.targets.mapping import Division, divide, total
from conversion.targets.tables import load_table, table_names
from conversion.targets.tflite import read_operators
from device_profiles.loader import list_accessories, list_profiles, load_accessory, load_profile
from device_profiles.profile import BoardProfile, Delegate
from firmware_py.contracts.manifest import Manifest

FIGURES = ("operators", "size_bytes", "accuracy", "accuracy_change", "predicted_s", "predicted_j")
NOT_BUILT = "not built"
NOT_KNOWN = "not known for this architecture"
OF_THE_FORM = "operators of a one-layer stage as the build writes it; nothing of this model"
# No board's ladder names it: what runs there is decided by which runtime is installed.
OTHER_RUNTIME = Delegate(
    "tflite-runtime", None, {}, "w8", "the CPU where tflite-runtime is what is installed"
)
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
    """Seconds of one answer under the default rule on a machine, a measurement file's, and what says so.

    `mean`: they are the mean, else the median, which is too little for joules: a mean answer costs what the slow ones do.
    """

    seconds: float
    source: str
    machine: Mapping[str, Any]
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
    `unknown`: why each field above that is null is null, by the field's name; only of `FIGURES`.
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
    unknown: Mapping[str, str] = field(default_factory=dict)

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
        return _unbuilt(board, delegate, reference.manifest)
    accuracy, base = _accuracy(one.manifest), _accuracy(reference.manifest)
    change = None if accuracy is None or base is None else round(100 * (accuracy - base), 3)
    predicted = _compiled(delegate, one.manifest) or _predict(
        profile, delegate, measured.get(delegate.recipe)
    )
    operators = division(one, delegate.name)
    unknown = _unknown(
        {
            "operators": None if operators else f"there is no operator table for {delegate.name}",
            "accuracy": _no_accuracy(one) if accuracy is None else None,
            "accuracy_change": _no_accuracy(one if accuracy is None else reference)
            if change is None
            else None,
            "predicted_s": predicted.no_seconds,
            "predicted_j": predicted.no_joules,
        }
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
        operators=operators,
        accuracy=accuracy,
        accuracy_change=change,
        predicted_s=predicted.seconds,
        predicted_j=predicted.joules.energy_j,
        predicted_u95_j=predicted.joules.u95_j,
        basis=predicted.basis,
        compiler=compiler if isinstance(compiler, Mapping) else None,
        sources=sources,
        unknown=unknown,
    )


def _unknown(reasons: Mapping[str, str | None]) -> dict[str, str]:
    """Those that there is a reason for."""
    return {name: why for name, why in reasons.items() if why is not None}


def _no_accuracy(one: Built) -> str:
    return f"{one.path.name} does not say its accuracy on the report split"


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


def _unbuilt(board: str, delegate: Delegate, manifest: Manifest) -> Row:
    """What can be said without a bundle: the operators of the recipe's form, which is DeepSeekLite's."""
    command = build_command(manifest, delegate.recipe)
    if command is None:
        nothing = dict.fromkeys(FIGURES, NOT_KNOWN)
        return Row(board, delegate.name, delegate.recipe, NOT_KNOWN, basis=NOT_KNOWN, unknown=nothing)
    hint, form = f"{NOT_BUILT}: {command}", read_form(delegate.recipe)
    nothing = dict.fromkeys(FIGURES, hint)
    if not form or delegate.name not in table_names():
        return Row(board, delegate.name, delegate.recipe, hint, unknown=nothing)
    table, layers = load_table(delegate.name), manifest.dims.get("layers", 1)
    if table.whole and layers != 1:  # of more layers it takes as many operators, and a smaller share
        nothing["operators"] = f"not known for stages of {layers:g} layers; {hint}"
        return Row(board, delegate.name, delegate.recipe, hint, unknown=nothing)
    del nothing["operators"]
    return Row(
        board,
        delegate.name,
        delegate.recipe,
        hint,
        operators=divide(form, table),
        basis=OF_THE_FORM,
        sources=table.sources,
        unknown=nothing,
    )


@dataclass(frozen=True, slots=True)
class _Predicted:
    """Seconds and joules of one answer, what they rest on, and why either is null; None: it is not."""

    seconds: float | None
    joules: Joules
    basis: str
    no_seconds: str | None = None
    no_joules: str | None = None


def _compiled(delegate: Delegate, manifest: Manifest) -> _Predicted | None:
    """What an accelerator's own compiler estimated of this very bundle's graphs; None where it said no seconds."""
    said = manifest.provenance.get("accelerator")
    if delegate.name != delegate.recipe or not isinstance(said, Mapping) or said.get("estimated_s") is None:
        return None
    basis = (
        f"estimated by {said['compiler']} for {said['accelerator']} at its default clock, nothing ran: every stage at full "
        f"width over {said['length']} tokens, without heads, exits and host; no joules"
    )
    return _Predicted(
        float(said["estimated_s"]), UNKNOWN, basis, no_joules=f"{said['compiler']} estimates no joules"
    )


def _predict(profile: BoardProfile | None, delegate: Delegate, measured: Measured | None) -> _Predicted:
    """Of one answer on a board's CPU, from a host's seconds."""
    why = _no_seconds(profile, delegate, measured)
    if why is not None or profile is None or measured is None or profile.simulation.speed_factor is None:
        return _Predicted(None, UNKNOWN, f"unknown: {why}", why, why)
    factor, busy_w = profile.simulation.speed_factor, profile.simulation.busy_w
    host = host_of(measured.machine) or REFERENCE
    seconds = measured.seconds * host.stretch * factor
    stretched = f" x {told(host)}" if told(host) else ""
    basis = f"predicted, not measured there: {measured.source}{stretched} x speed_factor {factor:g}"
    if not measured.mean:
        why = f"{measured.source} is a median; joules go by a mean"
        return _Predicted(seconds, UNKNOWN, f"{basis}; a median, so no joules", no_joules=why)
    joules = estimated(profile, measured.seconds, measured.machine)
    if joules.energy_j is None:
        why = "the board's profile has no busy_w: watts while it works"
        return _Predicted(seconds, joules, f"{basis}; no busy_w, so no joules", no_joules=why)
    return _Predicted(seconds, joules, f"{basis}; joules above idle: x busy_w {busy_w:g} W")


def _no_seconds(profile: BoardProfile | None, delegate: Delegate, measured: Measured | None) -> str | None:
    """Why nothing can be predicted; None: it can."""
    if delegate.name not in _ON_CPU:
        return "nobody has measured this delegate"
    if measured is None:
        return (
            "this very bundle is not measured in this runtime; `ciuic model tradeoff BUNDLE --out docs/measurements`"
            " does it, for ai-edge-litert `ciuic bench model` or `engine`, too"
        )
    if (why := other_host(measured.machine)) is not None:
        return why
    if profile is None or profile.simulation.speed_factor is None:
        return "the board's profile has no speed_factor against the machine that was measured"
    return None
