"""`ciuic eval`: a bundle over a labelled file - accuracy, exits, seconds, joules."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ciuic.progress import Progress, Waiting
from firmware_py.compose import assembled, profile_values
from firmware_py.config import AGENT, AgentConfig, add_flags, from_args
from firmware_py.contracts.configuration import parse_widths
from firmware_py.contracts.written import spread
from firmware_py.node_parts import Served
from firmware_py.tasks.names import KINDS
from firmware_py.testing.evaluate import (
    How,
    Labelled,
    evaluate,
    read_rows,
    strange_labels,
    strange_slots,
)
from firmware_py.testing.metrics import summarise

_KEYS = ("profile", "store", "trust", "allow_unsigned", "self_test", "memory_bytes", "meter", "names")
_NAMED = 5  # of many unknown slot names
_REFUSED = (
    "{} rows are refused by a node before it runs them (no letter and no digit, or too long): "
    "they count as rejected at exit 1"
)
TABLE = tuple(setting for setting in AGENT if setting.key in _KEYS)


def configure_eval(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb."""
    parser.add_argument("--bundle", required=True, type=Path, help="bundle to run")
    parser.add_argument(
        "--data",
        required=True,
        type=Path,
        help='file of rows, one JSON object a line: {"text", "intent", "slots"?: [[start, end, name]]}; the intent oos means out '
        "of scope",
    )
    parser.add_argument("--rule", help="exit rule of the bundle (default: the bundle's own)")
    parser.add_argument(
        "--widths",
        metavar="W-W-W",
        help="how many width groups (1 to 4) run in each stage, such as 4-2-2 (default: all)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    add_flags(parser, TABLE)


def run_eval(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    how = How(args.rule, None if args.widths is None else parse_widths(args.widths))
    rows = read_rows(args.data)
    values = from_args(args, TABLE, profile_values)
    config = AgentConfig.of({**values, "model": (str(args.bundle),)})
    with ExitStack() as stack:
        with Waiting("unpacking the bundle and trying its own rows"):
            assembly = stack.enter_context(assembled(config))
        (served,) = assembly.served.values()
        for line in _remarks(rows, served, house=bool(config.names)):
            print(line, file=sys.stderr)
        with Progress("evaluating", 2 * len(rows)) as progress:
            scored = evaluate(assembly, rows, progress, how)
    if refused := sum(row.refused for row in scored):
        print(_REFUSED.format(refused), file=sys.stderr)
    manifest = served.manifest
    asked = {"rule": how.rule or manifest.default_rule, "widths": list(how.widths or manifest.full_widths)}
    summary = asked | summarise(scored, manifest.stages)
    print(json.dumps(summary, indent=1) if args.json else table(summary))
    return 0


def _remarks(rows: Sequence[Labelled], served: Served, *, house: bool) -> Iterator[str]:
    """What a reader of the figures should know of the rows; with a names file a node also finds what the house has.

    Raises:
        DataInvalidError: the file is another model's.
    """
    strange = strange_labels(rows, served.manifest)
    if strange:
        yield f"{strange} rows have an intent that the model does not know: they count as wrong"
    slots, names = strange_slots(rows, {*served.manifest.slots, *(KINDS if house else ())})
    if slots:
        named = ", ".join(map(repr, names[:_NAMED])) + (", …" if len(names) > _NAMED else "")
        yield f"{slots} slots have a name that the model does not know ({named}): they count as overlooked"


def table(summary: dict[str, Any]) -> str:
    """The same figures for people."""
    zeroth = summary["zeroth"]
    lines = [
        f"asked           rule {summary['rule']}, widths {'-'.join(map(str, summary['widths']))}",
        f"rows in scope   {summary['n']}",
        f"accuracy        {_share(summary['accuracy'])}",
        f"macro F1        {_share(summary['macro_f1'])}",
        f"slot F1         {_share(summary['slot_f1'])}",
        f"by exit         {'  '.join(map(_share, summary['accuracy_by_exit']))}  (each asked alone)",
        f"answered by     {'  '.join(map(_share, summary['exit_share']))}",
        *(
            []
            if zeroth is None
            else [
                f"exit 0          {_share(zeroth['accuracy'])} asked alone, answered {_share(zeroth['exit_share'])}"
            ]
        ),
        f"calibration     {'  '.join(map(_calibration, summary['calibration']))}",
        f"mean depth      {_number(summary['mean_depth'])}",
    ]
    outside = summary["out_of_scope"]
    if outside is not None:
        lines.append(
            f"out of scope    {outside['n']} rows: recall {_share(outside['recall'])}, "
            f"AUROC {_number(outside['auroc'])}"
        )
    latency = summary["latency_s"]
    lines.append(f"latency         p50 {latency['p50'] * 1e3:.3f} ms, p99 {latency['p99'] * 1e3:.3f} ms")
    energy = summary["energy_j"]
    lines.append(
        "energy          unknown"
        if energy is None
        else f"energy          {spread(energy['mean'], energy['u95'], 'J')} "
        f"({_known(energy)}{', simulated' if energy['simulated'] else ''})"
    )
    return "\n".join(lines)


def _known(energy: dict[str, Any]) -> str:
    """What the joules rest on; how many rows on what, where they differ."""
    methods = energy["methods"]
    if len(methods) == 1:
        return str(energy["source"])
    return ", ".join(f"{count} {method}" for method, count in sorted(methods.items()))


def _calibration(found: dict[str, Any]) -> str:
    """The error of an exit, and up to where chance alone would put perfect confidences."""
    return f"exit {found['exit']}: {found['error']:.1%} (perfect: to {found['perfect_p95']:.1%})"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
