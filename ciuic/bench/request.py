"""`ciuic bench request`: what a request through a broker costs above what it must.

The floor of one request is an echo through the same transport class, with a reply of the same size,
plus the bare interpreter time of the stages that answered. Requests, echoes and bare runs take turns
in one run, some of each at a time, so that a drift of the machine meets all three; node, echo and bare
interpreters are processes of their own. The result cache is off except in the hit rows.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ciuic.bench.flags import add_json, add_out, add_unsigned
from ciuic.bench.request_measure import Plan, measure
from ciuic.bench.request_report import report, table
from ciuic.bench.request_sentences import MIN_SENTENCES, sentences
from firmware_py.compose import shipped
from firmware_py.contracts.errors import ConfigError
from firmware_py.contracts.outputs import check_output

_LEAST_TURN = 2


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument(
        "--bundle",
        type=Path,
        default=shipped("models/home-en.bundle"),
        help="model to serve (default: models/home-en.bundle)",
    )
    parser.add_argument(
        "-n", type=int, default=1200, help="distinct sentences per QoS (default: %(default)s)"
    )
    parser.add_argument(
        "--turn",
        type=int,
        default=20,
        help="block size: this many requests, then as many echoes, then as many bare interpreter runs, repeated "
        "(default: %(default)s)",
    )
    parser.add_argument("--broker", metavar="URL", help="a broker that runs already (default: start one)")
    parser.add_argument(
        "--kind",
        choices=("mosquitto", "iotcore"),
        help="the broker to start (default: mosquitto if it is installed, else iotcore)",
    )
    add_unsigned(parser)
    parser.add_argument(
        "--node-option",
        action="append",
        default=[],
        metavar="WORD",
        help="a word to add to the command line of `ciuic node run`; may be repeated",
    )
    parser.add_argument(
        "--core",
        type=int,
        default=-1,
        help="keep node and echo on this core, broker and asker on the others; -1: wherever the system puts them "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="measure one start and 2 s of idling only; for tests"
    )
    add_out(parser, "request.json")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; status 1 if a bound does not hold.

    Raises:
        ConfigError: a flag makes no measurement, there is no bundle, or the file cannot be written.
    """
    _check(args)
    plan = Plan(
        bundle=args.bundle,
        allow_unsigned=args.allow_unsigned,
        node_options=args.node_option,
        broker_url=args.broker,
        broker_kind=args.kind,
        core=args.core,
        sentences=args.n,
        turn=args.turn,
        quick=args.quick,
    )
    measurement = report(measure(plan), args.n, args.core)
    path = measurement.write(args.out, "request")
    if args.json:
        print(json.dumps(measurement.to_dict(), indent=1))
    else:
        print(table(measurement))
        print(f"written: {path}", file=sys.stderr)
    return 0 if all(check.ok for check in measurement.checks) else 1


def _check(args: argparse.Namespace) -> None:
    """Before minutes are spent."""
    check_output(args.out / "request.json")
    least = 1 if args.quick else MIN_SENTENCES
    if args.n < least:
        msg = f"-n {args.n} is below {least} sentences"
        raise ConfigError(msg, hint="Fewer say little about percentiles.")
    sentences(args.n)
    if args.turn < _LEAST_TURN:
        msg = f"--turn {args.turn} is below {_LEAST_TURN}"
        raise ConfigError(msg, hint="Turns of one are measured in any case, as the rows `alternating`.")
    if not args.bundle.exists():
        msg = f"there is no bundle {args.bundle}"
        raise ConfigError(msg, hint="Give --bundle, or build one: ciuic model build home-en.")
