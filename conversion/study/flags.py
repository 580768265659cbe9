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
        help="write page, CSV and pictures again from a NAME.tradeoff.json; nothing is run. BUNDLE, if given, is only "
        "compared with the one that FILE is of; with --board joules are estimated anew and the JSON is written, too",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, help="folder of the public sets (else CIUIC_DATA, else ../shared/data)"
    )
    parser.add_argument(
        "--rows", type=Path, help="data.json of the bundle's own build folder, where that is elsewhere"
    )
    parser.add_argument("--out", type=Path, help="folder for the files (default: beside the bundle, or FILE)")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="each picture as an SVG file, too")
    parser.add_argument("--runtime", action="append", choices=RUNTIMES, help="only this one; repeatable")
    parser.add_argument("--no-timing", action="store_true", help="accuracies and compute only")
    parser.add_argument("--board", help="profile of the board whose joules are asked for")
    parser.add_argument(
        "--energy", choices=METHODS, default="estimated",
        help="estimated: the profile's watts; simulated: read by the INA219 driver on the simulated board",
    )  # fmt: skip
    parser.add_argument("--trust", type=Path, help="folder of public keys (default models/trust)")
    parser.add_argument("--allow-unsigned", action="store_true", help="a bundle without a signature too")
