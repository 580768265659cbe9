"""Flags of the study's verbs; imports nothing, so that other verbs do not pay for them."""

from __future__ import annotations

import argparse
from pathlib import Path

RUNTIMES = ("ai-edge-litert", "tflite-runtime")
METHODS = ("estimated", "simulated")


def configure_tradeoff(parser: argparse.ArgumentParser) -> None:
    """Flags."""
    parser.add_argument("bundle", type=Path, nargs="?", help="the .bundle file")
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FILE",
        help="write page, CSV and pictures again from a NAME.tradeoff.json; nothing is run. A BUNDLE is then only compared "
        "with the one that FILE was made from; with --board joules are estimated anew and the JSON is written, too",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, help="folder of the public sets (default: CIUIC_DATA, else ../shared/data)"
    )
    parser.add_argument("--rows", type=Path, help="the build's data.json, if its folder is not the usual one")
    parser.add_argument("--out", type=Path, help="folder for the files (default: beside the bundle, or FILE)")
    parser.add_argument(
        "--pictures", type=Path, metavar="DIR", help="also write each picture as an SVG file into DIR"
    )
    parser.add_argument(
        "--runtime", action="append", choices=RUNTIMES, help="measure in this runtime only; may be repeated"
    )
    parser.add_argument(
        "--no-timing", action="store_true", help="measure accuracy and compute only, no times"
    )
    parser.add_argument("--board", help="board whose joules are wanted: name or file of a profile")
    parser.add_argument(
        "--energy", choices=METHODS, default="estimated",
        help="estimated: from the profile's watts; simulated: as the INA219 driver reads them on the simulated board",
    )  # fmt: skip
    parser.add_argument("--trust", type=Path, help="folder of trusted public keys (default: models/trust)")
    parser.add_argument(
        "--allow-unsigned", action="store_true", help="also take a bundle without a trusted signature"
    )
