"""Flags that several benchmarks have."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_out(parser: argparse.ArgumentParser, file: str) -> None:
    """`--out`: the folder that a benchmark's file goes to."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("docs/measurements"),
        help=f"folder for {file}; a file of that name is replaced (default: %(default)s below the current folder)",
    )


def add_unsigned(parser: argparse.ArgumentParser) -> None:
    """`--allow-unsigned`: a bundle that nobody trusted signed."""
    parser.add_argument(
        "--allow-unsigned", action="store_true", help="also take a bundle without a trusted signature"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`: the measurement on standard output."""
    parser.add_argument("--json", action="store_true", help="print the measurement as one JSON document")
