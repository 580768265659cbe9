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
        help=f"folder for {file}, which is replaced there (default: %(default)s below the current folder)",
    )
