"""The bounds that a model must meet, on the figures of its joined runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from conversion.catalogue import model_of
from firmware_py.contracts.measurement import Check

ACCURACY = {"clinc150": 0.955, "hwu64": 0.925, "banking77": 0.925}
OVER_SVM = {"clinc150": 0.02, "hwu64": 0.02, "home-en": 0.015}
UNDER_TEACHER = 0.015
QUANTISATION = 0.003
CORE_BYTES = {"home-multi": 3_600_000}
INSTALLED_BYTES, UNPACKED_BYTES, USUAL_CORE_BYTES = 8_000_000, 12_000_000, 2_200_000
HARM = {"risk-1": 0.01, "risk-2": 0.02}
RISK_COMPUTE, CALIBRATION = 0.50, 0.02
AUROC, FOREIGN_RECALL = 0.93, 0.45
FASTER = {"full": ("int8", 5.0), "risk-1": ("int8", 12.0)}
BUILD_S, WRITING_S, WRITING = 3600.0, 600.0, ("graphs", "release")
TIME_CHECKS = ("build: sum of its steps, slowest seed", "build: graphs and release, slowest seed")
FLOAT_CHECK = "int8 below float32, the same student"

HOME = {"accuracy": 0.98, "macro_f1": 0.95, "slot_f1": 0.95}
# Sides that are only reported: which figure, and its bound.
HOME_EXTRAS = {"unseen_names": ("slot_f1", 0.90), "free_text": ("accuracy", 0.85)}

Rows = Mapping[str, Mapping[str, Any]]
Parts = Sequence[Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Timed:
    """The speed benchmark's file of the bundle that is judged, else that of an earlier one, and what measures it."""

    own: Mapping[str, Any] | None = None
    earlier: Mapping[str, Any] | None = None
    command: str = "ciuic bench model --bundle BUNDLE"
    file: str = ""  # of `own`, below the folder of measurements

    def faster(self, rule: str, form: str) -> float | None:
        """How many times as fast as the teacher the bundle is under a rule; None: not measured."""
        return _faster(self.own, rule, form)

    def before(self, rule: str, form: str) -> dict[str, Any] | None:
        """The same of the earlier bundle, with its hash: to be shown, never to be judged by."""
        value = _faster(self.earlier, rule, form)
        if value is None or self.earlier is None:
            return None
        return {"value": value, "bundle_sha256": self.earlier.get("bundle_sha256")}


@dataclass(frozen=True, slots=True)
class Build:
    """What is known of the builds themselves.

    `lost`: accuracy that quantising cost seed 0's student, on the same rows; None: its float32 was not measured.
    `seconds`: each built seed's steps, as its report has them.
    """

    lost: float | None = None
    seconds: Sequence[Mapping[str, float]] = ()


def bounds_of(
    name: str, rows: Rows, parts: Parts, timed: Timed, build: Build | None = None
) -> list[dict[str, Any]]:
    """Every bound as name, value (null: not measured), bound, unit, relation and verdict.

    A bound on speed that was not measured of this bundle has the `command` that does it, and in `earlier` the
    figure of an earlier bundle where there is one. So have float32 and the build's times their commands.

    Args:
        name: of the model.
        rows: the joined table by system.
        parts: each seed's part of the report for the recipe, None where it was not run.
        timed: what the speed benchmark said.
        build: what is known of the builds; None: nothing.
    """
    build = build or Build()
    known = [part for part in parts if part is not None]
    recipe = next((system.split()[0] for system in rows if system.endswith(" balanced")), "")
    ours, svm, teacher = (
        _mean(rows, f"{recipe} balanced"), _mean(rows, "linear svm"), _mean(rows, "teacher fp32"),
    )  # fmt: skip
    checks: list[Check] = []
    if name in ACCURACY:
        checks.append(Check("in-scope accuracy, balanced", ours, ACCURACY[name], "share", ">="))
        checks.append(Check("below the teacher", _less(teacher, ours), UNDER_TEACHER, "share"))
    if name in OVER_SVM:
        checks.append(Check("over the linear SVM", _less(ours, svm), OVER_SVM[name], "share", ">="))
    if model_of(name).home:
        checks += _home_checks(known)
    checks.append(Check(FLOAT_CHECK, build.lost, QUANTISATION, "share"))
    checks += _size_checks(name, known)
    for rule, epsilon in HARM.items():
        worst = max((float(part["rules"][rule]["harm"]) for part in known), default=None)
        checks.append(Check(f"{rule}: realised harm, worst seed", worst, epsilon, "share"))
    spent = [float(part["rules"]["risk-1"]["compute_ratio"]) for part in known]
    checks.append(Check("risk-1: compute", fmean(spent) if spent else None, RISK_COMPUTE, "share of full"))
    worst_error = max((_worst_calibration(part) for part in known), default=None)
    checks.append(Check("calibration error, worst exit and seed", worst_error, CALIBRATION, "share"))
    if name == "clinc150":
        foreign = [part["rules"]["balanced"]["out_of_scope"] for part in known]
        checks.append(Check("out of scope: AUROC", _least(foreign, "auroc"), AUROC, "", ">="))
        checks.append(
            Check(
                "out of scope: recall at 94 % in scope",
                _least(foreign, "recall_at_94"),
                FOREIGN_RECALL,
                "share",
                ">=",
            )
        )
    checks += _time_checks(build.seconds)
    out = [_plain(check) for check in checks]
    commands = {FLOAT_CHECK: f"ciuic model variant {name} as-shipped"} | dict.fromkeys(
        TIME_CHECKS, f"ciuic model build {name}"
    )
    out = [one | ({"command": commands[one["name"]]} if _open(one, commands) else {}) for one in out]
    return [*out, *(_speed_check(timed, rule, form, bound) for rule, (form, bound) in FASTER.items())]


def _open(one: Mapping[str, Any], commands: Mapping[str, str]) -> bool:
    """Whether it was not measured and a command would."""
    return one["value"] is None and one["name"] in commands


def _time_checks(seconds: Sequence[Mapping[str, float]]) -> list[Check]:
    """Of the seed that took longest; two teachers that were tuned at the same time count both."""
    whole, last = TIME_CHECKS
    spent = [sum(steps.values()) for steps in seconds]
    written = [
        sum(steps[step] for step in WRITING) for steps in seconds if all(step in steps for step in WRITING)
    ]
    return [
        Check(whole, max(spent, default=None), BUILD_S, "s"),
        Check(last, max(written, default=None), WRITING_S, "s"),
    ]


def _plain(check: Check) -> dict[str, Any]:
    return asdict(check) | {"ok": check.ok}


def _speed_check(timed: Timed, rule: str, form: str, bound: float) -> dict[str, Any]:
    name = f"{rule}: times as fast as the teacher {form}"
    out = _plain(Check(name, timed.faster(rule, form), bound, "x", ">="))
    if out["value"] is not None:
        out["file"] = timed.file
    else:
        out["command"] = timed.command
        if (before := timed.before(rule, form)) is not None:
            out["earlier"] = before
    return out


def _worst_calibration(part: Mapping[str, Any]) -> float:
    """Of the exits that a shipped rule asks: the zeroth counts where one does."""
    errors = part["calibration_error"][0 if part.get("zeroth_rules") else 1 :]
    return max(map(float, errors))


def _home_checks(known: Sequence[Mapping[str, Any]]) -> list[Check]:
    """On unseen templates, on names never seen, on sentences that no template generates: mean over seeds."""
    balanced = [part["rules"]["balanced"] for part in known]
    out = [
        Check(f"unseen templates: {figure}", _average(balanced, figure), bound, "share", ">=")
        for figure, bound in HOME.items()
    ]
    for side, (figure, bound) in HOME_EXTRAS.items():
        parts = [part.get("extras", {}).get(side) for part in known]
        out.append(
            Check(f"{side.replace('_', ' ')}: {figure}", _average(parts, figure), bound, "share", ">=")
        )
    return out


def _average(parts: Sequence[Mapping[str, Any] | None], key: str) -> float | None:
    values = [float(part[key]) for part in parts if part is not None and part.get(key) is not None]
    return fmean(values) if values else None


def _size_checks(name: str, known: Sequence[Mapping[str, Any]]) -> list[Check]:
    worst = {
        key: max((float(part["sizes"][key]) for part in known), default=None)
        for key in ("core", "bundle", "unpacked")
    }
    return [
        Check("full width, one length, heads, table, tokenizer", worst["core"],
              CORE_BYTES.get(name, USUAL_CORE_BYTES), "bytes"),
        Check("installed: the bundle file", worst["bundle"], INSTALLED_BYTES, "bytes"),
        Check("unpacked on disk", worst["unpacked"], UNPACKED_BYTES, "bytes"),
    ]  # fmt: skip


def _mean(rows: Rows, system: str, figure: str = "accuracy") -> float | None:
    found = rows.get(system, {}).get(figure)
    return None if found is None else float(found["mean"])


def _less(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def _least(parts: Sequence[Mapping[str, Any] | None], key: str) -> float | None:
    values = [float(part[key]) for part in parts if part is not None and part[key] is not None]
    return min(values) if values else None


def _faster(speed: Mapping[str, Any] | None, rule: str, form: str) -> float | None:
    for row in speed["rows"] if speed else ():
        if row["config"] == rule:
            value = row["extra"].get(f"times_faster_than_{form}")
            return None if value is None else float(value)
    return None
