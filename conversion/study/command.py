"""`ciuic model tradeoff`: reads a bundle and its task's rows, evaluates, times, writes four files.

Or, with `--from FILE`, makes page, CSV and pictures of such a document again; nothing is measured. With a board named,
too, its joules are estimated again from the document's own seconds, and the document is written.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from conversion.check.answers import LatticeAnswers
from conversion.check.cascade import Prefix
from conversion.check.rows import save_rows
from conversion.check.runtime import SET_UP, RecipeFiles, Where, python_of, run_lattice
from conversion.check.slot_reading import SlotReading
from conversion.study.document import (
    FORMAT,
    Context,
    Energy,
    count_again,
    to_csv,
    to_document,
    to_table,
)
from conversion.study.joules import joules
from conversion.study.latency import Asked, Timing, time_bundle
from conversion.study.own_rows import Places as Places  # noqa: PLC0414 - the verb is where it is asked for
from conversion.study.own_rows import task_rows
from conversion.study.page import to_html
from conversion.study.pictures import write_pictures
from conversion.study.tradeoff import Ask, Tradeoff, check_lattice, evaluate_tradeoff
from device_profiles.loader import load_profile
from firmware_py.bundles.read import Unpacked, read_bundle, unpack
from firmware_py.bundles.verify import Trust, trust_folder
from firmware_py.contracts.errors import ConfigError, DataInvalidError, DataMissingError, ToolMissingError
from firmware_py.contracts.manifest import Manifest
from firmware_py.contracts.measurement import machine
from firmware_py.contracts.outputs import check_output

TIMED_TEXTS = 400

Say = Callable[[str], None]


def run_tradeoff(args: argparse.Namespace, places: Places, say: Say) -> int:
    """Evaluate and write `NAME.tradeoff.{json,csv,html}` and `NAME.tradeoff.rows.npz`; or `--from FILE` again.

    Raises:
        BundleError: the bundle is refused.
        ConfigError: neither a bundle nor a document was given, `--trust` is no folder, or a file cannot be written.
        DataMissingError: its task's rows are not at hand.
        DataInvalidError: the rows are not those that the bundle was built with, or FILE is no trade-off.
        ToolMissingError: no runtime of the bundle has an environment here.
    """
    trust = Trust(trust_folder(args.trust, places.root / "models" / "trust"), args.allow_unsigned)
    if args.source is not None:
        return _again(args, trust, say)
    if args.bundle is None:
        msg = "there is no bundle to evaluate"
        raise ConfigError(
            msg, hint="ciuic model tradeoff BUNDLE, or ciuic model tradeoff --from NAME.tradeoff.json"
        )
    profile = load_profile(args.board) if args.board else None
    name, out = args.bundle.name.removesuffix(".bundle"), args.out or args.bundle.parent
    _check_outputs(out, name, args.pictures, ("json", "rows.npz"))
    with tempfile.TemporaryDirectory(prefix="ciuic-tradeoff-") as store:
        unpacked = unpack(args.bundle, trust, Path(store))
        manifest = unpacked.manifest
        check_lattice(manifest)
        data = task_rows(manifest, args.rows, places, args.bundle.parent)
        runtimes = _runtimes(manifest, args.runtime, places.root)
        found = evaluate_tradeoff(unpacked, data, lattice_of(unpacked, runtimes[0], places.root), _steps(say))
        timings = {} if args.no_timing else _time(unpacked, found, runtimes, (places.root, say))
        energy: Energy | None = None
        if profile is not None:
            energy = partial(joules, profile, method=args.energy, machine=machine())
        context = Context(
            args.bundle.name, args.bundle.stat().st_size, runtimes[0], timings, energy, args.board
        )
        document = to_document(found, unpacked, context)
    written = [_write_document(document, out, name)]
    written += _write_again(document, (out, args.pictures), name)
    written.append(out / f"{name}.tradeoff.rows.npz")
    save_rows(written[-1], found.rows())
    return _said(document, written, args, say)


def _again(args: argparse.Namespace, trust: Trust, say: Say) -> int:
    """Page, CSV and pictures from a document, which is left as it is unless its joules are to be counted again."""
    document = read_document(args.source)
    now = None if args.bundle is None else (args.bundle.name, read_bundle(args.bundle, trust).sha256)
    name, out = (
        args.source.name.removesuffix(".json").removesuffix(".tradeoff"),
        args.out or args.source.parent,
    )
    _check_outputs(out, name, args.pictures, ("json",) if args.board else ())
    written = []
    if args.board:
        document = _recounted(document, args)
        written.append(_write_document(document, out, name))
    written += _write_again(document, (out, args.pictures), name, now)
    return _said(document, written, args, say)


def _recounted(document: Mapping[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """See `count_again`.

    Raises:
        ConfigError: joules of the simulated board, which need every answer's seconds; a document has their mean.
    """
    if args.energy != "estimated":
        msg = "a document has mean seconds, too little for the simulated board"
        raise ConfigError(
            msg, hint="Take --energy estimated, or measure: ciuic model tradeoff BUNDLE --board P."
        )
    return count_again(document, load_profile(args.board))


def _check_outputs(out: Path, name: str, pictures: Path | None, first: Sequence[str] = ()) -> None:
    """Before anything is evaluated.

    Raises:
        ConfigError: a file cannot be written.
    """
    for ending in (*first, "csv", "html"):
        check_output(out / f"{name}.tradeoff.{ending}")
    if pictures is not None:
        check_output(pictures / f"{name}.svg", "--pictures")


def read_document(path: Path) -> dict[str, Any]:
    """A document that this verb wrote.

    Raises:
        DataMissingError: there is no such file.
        DataInvalidError: it is not such a document.
    """
    if not path.is_file():
        msg = f"there is no {path}"
        raise DataMissingError(
            msg, hint="Give --from a NAME.tradeoff.json, as `ciuic model tradeoff BUNDLE` writes it."
        )
    try:
        document: dict[str, Any] = json.loads(path.read_text("utf-8"))
        known = document["command"] == "ciuic model tradeoff" and document["format"] == FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise _no_document(path) from error
    if not known:
        raise _no_document(path)
    return document


def _no_document(path: Path) -> DataInvalidError:
    hint = "Give --from a NAME.tradeoff.json, as `ciuic model tradeoff BUNDLE` writes it."
    return DataInvalidError(f"{path} is no trade-off of format {FORMAT}", hint=hint)


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
        skips_punctuation=manifest.skips_punctuation,
        slots=SlotReading.of_manifest(manifest),
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
        raise ToolMissingError(
            msg, hint=f"Make one with {' or '.join(SET_UP.values())}, then run this again."
        )
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


def _write_again(
    document: Mapping[str, Any],
    where: tuple[Path, Path | None],
    name: str,
    now: tuple[str, str] | None = None,
) -> list[Path]:
    """Everything that a document alone is enough for; `where`: the folder, that of the pictures; `now` as in `to_html`."""
    folder, pictures = where
    out = [
        _write(folder / f"{name}.tradeoff.csv", to_csv(document)),
        _write(folder / f"{name}.tradeoff.html", to_html(document, now)),
    ]
    return out if pictures is None else [*out, *write_pictures(document, pictures, name)]


def _write_document(document: Mapping[str, Any], folder: Path, name: str) -> Path:
    text = json.dumps(document, indent=1, ensure_ascii=False)
    return _write(folder / f"{name}.tradeoff.json", text + "\n")


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def _said(document: Mapping[str, Any], written: Sequence[Path], args: argparse.Namespace, say: Say) -> int:
    sys.stdout.write((json.dumps(document) if args.json else to_table(document)) + "\n")
    say(f"written: {', '.join(map(str, written))}\n")
    return 0
