"""`ciuic model tradeoff BUNDLE`: reads a bundle and its task's rows, evaluates, times, writes four files."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from conversion.check.answers import LatticeAnswers
from conversion.check.cascade import Prefix
from conversion.check.rows import save_rows
from conversion.check.runtime import RecipeFiles, Where, python_of, run_lattice
from conversion.data.public import SETS, read_task
from conversion.data.task import TaskData, load
from conversion.study.document import Context, Energy, to_csv, to_document, to_table
from conversion.study.joules import joules
from conversion.study.latency import Asked, Timing, time_bundle
from conversion.study.page import to_html
from conversion.study.tradeoff import Ask, Tradeoff, evaluate_tradeoff
from device_profiles.loader import load_profile
from firmware_py.bundles.read import Unpacked, unpack
from firmware_py.bundles.verify import Trust
from firmware_py.contracts.errors import DataInvalidError, DataMissingError, ToolMissingError
from firmware_py.contracts.manifest import Manifest

TIMED_TEXTS = 400

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are: the checkout, the folder of public sets, the build folder of a model's name and seed."""

    root: Path
    data: Path | None
    builds: Callable[[str, int], Path]


def run_tradeoff(args: argparse.Namespace, places: Places, say: Say) -> int:
    """Evaluate and write `NAME.tradeoff.{json,csv,html}` and `NAME.tradeoff.rows.npz`.

    Raises:
        BundleError: the bundle is refused.
        DataMissingError: its task's rows are not at hand.
        DataInvalidError: the rows are not those that the bundle was built with.
        ToolMissingError: no runtime of the bundle has an environment here.
    """
    trust = args.trust or places.root / "models" / "trust"
    profile = load_profile(args.board) if args.board else None
    with tempfile.TemporaryDirectory(prefix="ciuic-tradeoff-") as store:
        unpacked = unpack(
            args.bundle, Trust(trust if trust.is_dir() else None, args.allow_unsigned), Path(store)
        )
        manifest = unpacked.manifest
        data = task_rows(manifest, args.rows, places)
        runtimes = _runtimes(manifest, args.runtime, places.root)
        found = evaluate_tradeoff(unpacked, data, lattice_of(unpacked, runtimes[0], places.root), _steps(say))
        timings = {} if args.no_timing else _time(unpacked, found, runtimes, (places.root, say))
        energy: Energy | None = None
        if profile is not None:
            energy = lambda seconds: joules(profile, seconds, args.energy)  # noqa: E731 - one call's worth
        context = Context(
            args.bundle.name, args.bundle.stat().st_size, runtimes[0], timings, energy, args.board
        )
        document = to_document(found, unpacked, context)
    written = _write(
        document, found, args.out or args.bundle.parent, args.bundle.name.removesuffix(".bundle")
    )
    sys.stdout.write((json.dumps(document) if args.json else to_table(document)) + "\n")
    say(f"written: {', '.join(map(str, written))}\n")
    return 0


def task_rows(manifest: Manifest, asked: Path | None, places: Places) -> TaskData:
    """The rows that the bundle was built and judged with.

    Raises:
        DataMissingError: they are not at hand.
        DataInvalidError: what is at hand has another report split.
    """
    settings = manifest.provenance.get("settings", {})
    seed = int(settings.get("seed", 0))
    kept = [places.builds(manifest.name, number) / "data.json" for number in dict.fromkeys((seed, 0))]
    path = asked or next((one for one in kept if one.is_file()), None)
    if path is not None:
        if not path.is_file():
            msg = f"there is no {path}"
            raise DataMissingError(msg)
        try:
            data = load(path)
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{path} is not the data.json of a build"
            raise DataInvalidError(
                msg, hint="Give --rows the data.json of the bundle's own build folder."
            ) from error
    elif manifest.name in SETS:
        data = read_task(manifest.name, places.data)
    else:
        msg = f"the rows of {manifest.name} are not at hand"
        raise DataMissingError(
            msg,
            hint=f"Run `ciuic model build {manifest.name}` once: it keeps them; or give --rows data.json.",
        )
    said = manifest.provenance.get("data", {}).get("splits", {})
    if said and said.get("report") != data.hashes()["report"]:
        msg = f"the rows of {data.name} here are not those that the bundle was judged on"
        raise DataInvalidError(msg, hint="Give --rows the data.json of the bundle's own build folder.")
    return data


def lattice_of(unpacked: Unpacked, runtime: str, root: Path) -> Ask:
    """Runs texts through an unpacked bundle's graphs in child processes."""
    manifest = unpacked.manifest
    heads = {head.exit: unpacked.path(head.file.name) for head in manifest.heads}
    files = RecipeFiles(
        name=f"{manifest.name} {manifest.recipe}",
        graphs={graph.key: unpacked.path(graph.file.name) for graph in manifest.graphs},
        tokenizer=unpacked.path(manifest.tokenizer.name),
        embedding=unpacked.path(manifest.embedding.name),
        heads=tuple(heads.get(number) for number in range(manifest.stages + 1)),
        rope=int(manifest.dims["rope"]),
    )

    def ask(texts: Sequence[str], prefixes: Sequence[Prefix]) -> LatticeAnswers:
        return run_lattice(files, Where(runtime, root), texts, prefixes)

    return ask


def _runtimes(manifest: Manifest, asked: Sequence[str] | None, root: Path) -> list[str]:
    """The bundle's runtimes that have an environment here; the first answers, all are timed."""
    found = []
    for name in asked or manifest.runtimes:
        try:
            python_of(name, root)
        except (ToolMissingError, KeyError):
            continue
        if name in manifest.runtimes:
            found.append(name)
    if not found:
        msg = f"none of {', '.join(manifest.runtimes)} has an environment here"
        raise ToolMissingError(msg, hint="Make them with `make setup-train` and `scripts/setup tflr`.")
    return found


def _time(
    unpacked: Unpacked, found: Tradeoff, runtimes: Sequence[str], door: tuple[Path, Say]
) -> Mapping[str, Timing]:
    """Every distinct way over the same texts, drawn evenly from the report split, in every runtime."""
    root, say = door
    step = max(1, len(found.texts) // TIMED_TEXTS)
    asked = Asked(found.ways(), found.temperatures, found.texts[::step])
    return {
        name: time_bundle(unpacked, name, asked, root, partial(_steps(say), f"timing in {name}"))
        for name in runtimes
    }


def _steps(say: Say) -> Callable[[str, float], None]:
    """Says a step when it begins and every fifth of it."""
    said: dict[str, float] = {}

    def tell(name: str, share: float) -> None:
        before = said.get(name, -1.0)
        if share - before >= 0.2 or share >= 1.0 > before:
            said[name] = share
            say(f"{name} {share:4.0%}")

    return tell


def _write(document: Mapping[str, Any], found: Tradeoff, folder: Path, name: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name}.tradeoff"
    texts = {
        "json": json.dumps(document, indent=1, ensure_ascii=False) + "\n",
        "csv": to_csv(document),
        "html": to_html(document),
    }
    out = []
    for kind, text in texts.items():
        out.append(folder / f"{stem}.{kind}")
        out[-1].write_text(text, "utf-8")
    out.append(folder / f"{stem}.rows.npz")
    save_rows(out[-1], found.rows())
    return out
