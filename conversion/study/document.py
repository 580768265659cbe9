"""A trade-off as one JSON document, and from that as CSV and as lines for a terminal."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from conversion.check.cascade import Configuration, run
from conversion.check.on_board import UNKNOWN, Joules, estimated, figure
from conversion.study.latency import Timing
from conversion.study.reliability import reliability
from conversion.study.tradeoff import Chosen, Tradeoff, needed_bytes
from device_profiles.profile import BoardProfile
from firmware_py.bundles.read import Unpacked
from firmware_py.contracts.measurement import machine, versions

FORMAT = 1
GROUPS = ("rows", "equal_compute", "points")

# What joules of a document were counted from; older documents, which do not say, added parts up.
ANSWERS = "answers"

Energy = Callable[[Any], Joules]  # seconds of answers on this machine -> joules of one


@dataclass(frozen=True, slots=True)
class Context:
    """What was evaluated and with what: file name and size of the bundle, timings, and where joules come from.

    `timings` are by runtime; none: nothing was timed. `energy` is None where no board was named.
    """

    bundle: str
    bundle_bytes: int
    runtime: str
    timings: Mapping[str, Timing] = field(default_factory=dict)
    energy: Energy | None = None
    board: str | None = None


def to_document(tradeoff: Tradeoff, unpacked: Unpacked, context: Context) -> dict[str, Any]:
    """Everything that was found, plain."""
    manifest = unpacked.manifest
    lines = _Lines(tradeoff, unpacked, context)
    return {
        "format": FORMAT,
        "command": "ciuic model tradeoff",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "bundle": {
            "file": context.bundle,
            "name": manifest.name,
            "version": manifest.version,
            "recipe": manifest.recipe,
            "sha256": unpacked.sha256,
            "installed_bytes": context.bundle_bytes,
            "unpacked_bytes": sum(member.size_bytes for member in manifest.members()),
        },
        "criterion": "in-scope accuracy"
        + (", mean with slot F1" if tradeoff.report.slots is not None else ""),
        "accuracy_runtime": context.runtime,
        "splits": dict(tradeoff.hashes),
        "considered": tradeoff.considered,
        "machine": machine() | {"load": [round(value, 2) for value in os.getloadavg()]},
        "versions": versions(),
        "timings": {
            name: {"quiet": timing.quiet, "others_cores": timing.others_cores}
            for name, timing in context.timings.items()
        },
        "board": context.board,
        "energy_from": ANSWERS,
        "rows": [lines.of(line) for line in tradeoff.ratios],
        "equal_compute": [lines.of(line) for line in tradeoff.equal],
        "points": [lines.of(line) for line in tradeoff.points],
        "risks": [
            {"configuration": str(configuration), "widths": list(configuration.widths), **risk.to_dict()}
            for configuration, risk in tradeoff.candidates.risks.items()
            if configuration in tradeoff.ways().values()
        ],
        "calibration": reliability(tradeoff.report),
    }


class _Lines:
    """Lines of the document; latency and joules of one configuration are looked up once."""

    def __init__(self, tradeoff: Tradeoff, unpacked: Unpacked, context: Context) -> None:
        self._tradeoff, self._manifest, self._context = tradeoff, unpacked.manifest, context
        self._known: dict[Configuration, dict[str, Any]] = {}

    def of(self, line: Chosen) -> dict[str, Any]:
        out: dict[str, Any] = {
            "name": line.name,
            "budget": line.budget,
            "reachable": line.configuration is not None,
        }
        if line.configuration is None or line.report is None:
            return out | {"cheapest_ratio": line.cheapest}
        configuration = line.configuration
        if configuration not in self._known:
            self._known[configuration] = self._costs(configuration)
        temperatures = [self._tradeoff.temperatures.get(prefix) for prefix in configuration.prefixes()]
        return out | {
            "configuration": str(configuration),
            "widths": list(configuration.widths),
            "rule": configuration.rule.name,
            "thresholds": list(configuration.rule.thresholds),
            "zeroth": configuration.rule.zeroth,
            "temperatures": temperatures,
            "shipped": line.shipped,
            "needed_bytes": needed_bytes(self._manifest, configuration),
            "selection_goodness": line.selected_accuracy,
            "report": line.report.to_dict(),
            **self._known[configuration],
        }

    def _costs(self, configuration: Configuration) -> dict[str, Any]:
        name, latency = str(configuration), {}
        energy = UNKNOWN
        outcome = run(self._tradeoff.report, configuration)
        for number, (runtime, timing) in enumerate(self._context.timings.items()):
            composed = timing.composed(configuration, outcome, self._tradeoff.lengths)
            latency[runtime] = {"composed_mean": float(composed.mean()), **timing.summary(name)}
            if number == 0 and self._context.energy is not None:
                energy = self._context.energy(timing.answers[name])
        return {"latency_s": latency, "energy": energy.to_dict()}


def count_again(document: Mapping[str, Any], profile: BoardProfile) -> dict[str, Any]:
    """The same document with joules estimated for a board from its own mean seconds of answers, in its first runtime.

    Null with the reason where its machine is not the one that the board's factor is against. Nothing else changes.
    """
    runtime = next(iter(document["timings"]), None)
    out = {**document, "board": profile.name, "energy_from": ANSWERS}
    for group in GROUPS:
        out[group] = [_counted_again(row, runtime, profile, document["machine"]) for row in document[group]]
    return out


def _counted_again(
    row: Mapping[str, Any], runtime: str | None, profile: BoardProfile, timed_on: Mapping[str, Any]
) -> dict[str, Any]:
    if not row["reachable"] or runtime is None:
        return dict(row)
    return {**row, "energy": estimated(profile, row["latency_s"][runtime]["mean"], timed_on).to_dict()}


def to_csv(document: Mapping[str, Any]) -> str:
    """One line per ratio, equal budget and named point; an empty cell is unknown or unreachable."""
    file = io.StringIO()
    runtimes = list(document["timings"])
    head = [
        "group", "name", "budget", "widths", "rule", "accuracy", "accuracy_low", "accuracy_high", "slot_f1", "ratio",
        "macs", "exit_shares", "harm", "foreign_recall", "installed_bytes", "needed_bytes",
        *(f"latency_mean_s {runtime}" for runtime in runtimes), *(f"latency_p50_s {runtime}" for runtime in runtimes),
        "energy_j", "energy_u95_j", "energy_method", "energy_source", "energy_simulated",
    ]  # fmt: skip
    out = csv.writer(file, lineterminator="\n")
    out.writerow(head)
    for group in GROUPS:
        for row in document[group]:
            if not row["reachable"]:
                out.writerow([group, row["name"], row["budget"], *[""] * (len(head) - 3)])
                continue
            report, energy = row["report"], row["energy"]
            out.writerow([
                group, row["name"], row["budget"], "-".join(map(str, row["widths"])), row["rule"], report["accuracy"],
                *report["accuracy95"], report["slot_f1"], report["ratio"], report["macs"],
                " ".join(f"{share:.4f}" for share in report["exit_share"]), report["harm"], report["foreign_recall"],
                document["bundle"]["installed_bytes"], row["needed_bytes"],
                *(row["latency_s"][runtime]["mean"] for runtime in runtimes),
                *(row["latency_s"][runtime]["p50"] for runtime in runtimes),
                energy["energy_j"], energy["u95_j"], energy["method"], energy["source"], energy["simulated"],
            ])  # fmt: skip
    return file.getvalue()


def to_table(document: Mapping[str, Any]) -> str:
    """The same for people, in a terminal."""
    head = [
        "ratio",
        "way",
        "compute",
        "accuracy",
        "95 %",
        "slot F1",
        "exits 0-S",
        "size",
        "latency",
        "energy",
    ]
    lines = [table_cells(document, row) for row in document["rows"]]
    widths = [max(len(cell[at]) for cell in (head, *lines)) for at in range(len(head))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *lines)
    ]
    busy = [name for name, timing in document["timings"].items() if not timing["quiet"]]
    if busy:
        text.append(f"latency of {', '.join(busy)} was taken on a busy machine: not for publication")
    text += [f"no joules: {why}" for why in no_joules_because(document)]
    return "\n".join(text)


def table_cells(document: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    """One line's cells, in the order of `to_table`."""
    if not row["reachable"]:
        return [row["name"], "unreachable", f"needs {row['cheapest_ratio']:.3f}", *["-"] * 7]
    report, energy = row["report"], row["energy"]
    low, high = report["accuracy95"]
    return [
        row["name"],
        row["configuration"] + (" *" if row["shipped"] else ""),
        f"{report['ratio']:.3f}",
        f"{report['accuracy']:.2%}",
        f"{low:.1%} … {high:.1%}",
        "-" if report["slot_f1"] is None else f"{report['slot_f1']:.2%}",
        " ".join(f"{share:.0%}" for share in report["exit_share"]),
        f"{row['needed_bytes'] / 1e6:.2f} MB",
        _latency(row["latency_s"], list(document["timings"])),
        energy_text(energy),
    ]


def no_joules_because(document: Mapping[str, Any]) -> list[str]:
    """Why ways that were reached have no joules, each reason once; none where no board was named."""
    rows = [row for group in GROUPS for row in document[group] if row["reachable"]]
    unknown = [row["energy"] for row in rows if row["energy"]["energy_j"] is None]
    return list(dict.fromkeys(one["source"] for one in unknown if one["source"] != UNKNOWN.source))


def energy_text(energy: Mapping[str, Any]) -> str:
    """Joules with spread and where they come from."""
    if energy["energy_j"] is None:
        return "unknown"
    kind = ", simulated" if energy["simulated"] else ""
    return f"{figure(energy['energy_j'], energy['u95_j'], 'J')} {energy['method']}{kind}"


def _latency(latency: Mapping[str, Any], runtimes: Sequence[str]) -> str:
    if not runtimes:
        return "not timed"
    return ", ".join(f"{latency[runtime]['mean'] * 1e3:.3f} ms" for runtime in runtimes)
