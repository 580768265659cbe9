"""`ciuic bench engine|request|energy|model`: each benchmark is loaded only when it is asked for."""

from __future__ import annotations

import argparse
import importlib

from ciuic.parser import Parser

BENCHES = {
    "engine": "the engine compared with its bare interpreters: overhead, first exit, memory, start",
    "request": "a request through a broker, compared with an echo plus the bare interpreter",
    "energy": "the simulated INA219, compared with the true joules of the simulated supply",
    "model": "a bundle, compared with its uncompressed teacher in onnxruntime",
}


def configure_bench(parser: argparse.ArgumentParser) -> None:
    """Which benchmark; the rest of the line is its own."""
    width = max(map(len, BENCHES))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    lines = [f"  {name:<{width}}  {text}" for name, text in BENCHES.items()]
    lines += ["", "`ciuic bench NAME --help` lists a benchmark's options."]
    parser.epilog = "\n".join(["benchmarks:", *lines])
    parser.add_argument("bench", choices=tuple(BENCHES), help="what to measure")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="…", help="options of that benchmark")


def run_bench(args: argparse.Namespace) -> int:
    """Hand over to the benchmark's own `configure` and `run`."""
    module = importlib.import_module(f"ciuic.bench.{args.bench}")
    parser = Parser(prog=f"ciuic bench {args.bench}", description=BENCHES[args.bench], allow_abbrev=False)
    module.configure(parser)
    return int(module.run(parser.parse_args(args.rest)))
