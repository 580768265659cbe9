"""`ciuic model build|variant|report|baselines|show|tradeoff|targets`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conversion.build_flags import CUSTOM, STAGED, settle
from conversion.catalogue import MODELS
from conversion.environment import enter_training_environment
from conversion.study.flags import configure_tradeoff
from firmware_py.contracts.configuration import RECIPES
from firmware_py.contracts.errors import DataMissingError

if TYPE_CHECKING:
    from firmware_py.bundles.verify import Trust

ROOT = Path(__file__).resolve().parent.parent
_BUILD_NOTES = """\
With seed 0 and without --teacher, --epochs and --out, a build REPLACES what ships:
bundle, signature and report in models/, and for home-en examples/home_en.jsonl, too.
With --out DIR it leaves all of these alone.

A build needs Linux, Python 3.11, `make setup-train` and `scripts/setup tflr`; --recipe
ethosu also needs `scripts/setup vela`. home-en took 23 minutes on one core of 2023 and
18 more, once, for the general stage that it starts from; cores of 2017 take three times
as long. You can stop a build at any time; the next call goes on where it stopped.

`--log-level debug` logs more on standard error."""
PUBLISHER = "ciuic-demo"  # the key pair that signed what ships
LOCAL = "local"  # the one that signs where the publisher's private key is not at hand


def configure_model(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verbs."""
    verbs = parser.add_subparsers(
        dest="model_verb", required=True, metavar="build|variant|report|baselines|show|tradeoff|targets"
    )
    build = verbs.add_parser(
        "build",
        help="train, convert, check, bundle and sign a model",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_BUILD_NOTES,
    )
    build.add_argument(
        "name",
        choices=(*MODELS, CUSTOM, STAGED),
        help="a model of ours; `custom`: from a checkpoint and rows of your own (--checkpoint, --data); `minilm`: the teacher of "
        "--task, in six stages",
    )
    build.add_argument(
        "--seed", type=int, help="seed of split, draws and training (default: 0, as in what ships)"
    )
    build.add_argument("--recipe", choices=RECIPES, help="build this recipe only (default: those that ship)")
    build.add_argument(
        "--epochs",
        type=int,
        help="epochs of the student, fewer than usual for a quick look; the bundle then stays in the build folder",
    )
    build.add_argument(
        "--data",
        type=Path,
        nargs="+",
        help="folder of the public sets (default: CIUIC_DATA, else ../shared/data); with `custom`: FILE [REPORT_FILE] of rows",
    )
    build.add_argument("--teacher", type=Path, help="a checkpoint folder that teaches in MiniLM's place")
    build.add_argument("--checkpoint", type=Path, help="with `custom`: the checkpoint folder that teaches")
    build.add_argument(
        "--method",
        choices=("auto", "tune", "probe"),
        help="how the checkpoint teaches: `tune` fine-tunes all layers, `probe` trains a linear classifier on frozen layers "
        "(default: by its size and kind)",
    )
    build.add_argument("--name", dest="as_name", help="with `custom`: the model's name (default: custom)")
    build.add_argument("--lang", nargs="+", help="with `custom`: languages of the rows (default: en)")
    build.add_argument(
        "--task", choices=MODELS, help="with `minilm`: the model whose teacher is written (default: hwu64)"
    )
    build.add_argument(
        "--out",
        type=Path,
        help="folder for bundles, signatures and report (default: models/ for seed 0 of ours, else the build folder)",
    )
    build.add_argument(
        "--build-dir",
        type=Path,
        help="folder that keeps the results of steps (default: .ciuic/build/<name>-<seed> for home models, <name>-0 for public sets and "
        "minilm, <name>-<hash> for custom)",
    )
    variant = verbs.add_parser(
        "variant",
        help="train a student to compare with: one without exits (static), or with a term of the lesson left out",
    )
    variant.add_argument("name", choices=MODELS, help="the model whose rows, teachers and settings are used")
    variant.add_argument("variant", help="static-1, static-2, static-3, no-kl, …; `list` prints all of them")
    variant.add_argument("--seed", type=int, default=0, help="seed of the training (default: 0)")
    variant.add_argument("--data", type=Path, help="folder of the public sets")
    report = verbs.add_parser(
        "report",
        help="join all runs of a model into docs/measurements",
        description="Joins all runs of a model from its folders below .ciuic/build into docs/measurements/NAME.json and NAME.md, "
        "which are replaced.",
    )
    report.add_argument("name", choices=MODELS, help="one of ours")
    report.add_argument(
        "--seeds", type=int, nargs="+", help="seeds to join (default: those that are measured for this model)"
    )
    baselines = verbs.add_parser(
        "baselines",
        help="measure the teacher in onnxruntime and a linear SVM, row by row",
        description="Measures the tuned teacher in onnxruntime (fp32, int8) and a linear SVM, row by row, after the build. "
        "Needs `make setup-train`.",
    )
    baselines.add_argument("name", choices=MODELS, help="one of ours, after its build")
    show = verbs.add_parser("show", help="print what a bundle says of itself")
    show.add_argument("bundle", type=Path, help="the .bundle file; its .sig lies beside it")
    show.add_argument("--trust", type=Path, help="folder of trusted public keys (default: models/trust)")
    show.add_argument(
        "--allow-unsigned", action="store_true", help="also show a bundle without a trusted signature"
    )
    tradeoff = verbs.add_parser(
        "tradeoff", help="best accuracy, latency and energy for compute budgets of 10 %% to 100 %%"
    )
    configure_tradeoff(tradeoff)
    targets = verbs.add_parser(
        "targets", help="for each board and delegate: recipe, mapped operators, predicted seconds and joules"
    )
    targets.add_argument(
        "bundle", type=Path, help="the .bundle file; other recipes of the same model are looked for beside it"
    )
    targets.add_argument("--trust", type=Path, help="folder of trusted public keys (default: models/trust)")
    targets.add_argument(
        "--allow-unsigned", action="store_true", help="also take a bundle without a trusted signature"
    )
    for verb in (build, variant, report, show, tradeoff, baselines, targets):
        verb.add_argument("--json", action="store_true", help="one JSON document on standard output")


def run_model(args: argparse.Namespace) -> int:
    """Run a sub-verb.

    Raises:
        CiuicError: whatever the sub-verb met.
    """
    verbs = {
        "build": _build,
        "variant": _variant,
        "report": _report,
        "show": _show,
        "tradeoff": _tradeoff,
        "targets": _targets,
        "baselines": _baselines,
    }
    return verbs[args.model_verb](args)


def data_folder(asked: Path | None) -> Path | None:
    """`--data`, else CIUIC_DATA, else ../shared/data where it exists, else None.

    Raises:
        DataMissingError: the folder was asked for by name and is not there.
    """
    named = asked or (Path(os.environ["CIUIC_DATA"]) if os.environ.get("CIUIC_DATA") else None)
    if named is not None:
        if not named.is_dir():
            msg = f"there is no data folder {named}"
            raise DataMissingError(msg)
        return named
    beside = ROOT.parent / "shared" / "data"
    return beside if beside.is_dir() else None


def build_folder(name: str, seed: int) -> Path:
    """Where a build keeps its steps and its report."""
    return ROOT / ".ciuic" / "build" / f"{name}-{seed}"


def _build(args: argparse.Namespace) -> int:
    settle(args)
    _enter_training_environment()
    from conversion import building
    from conversion.export.recipes import bundle_name, report_name

    folder = args.build_dir or ROOT / ".ciuic" / "build" / building.folder_name(args)
    ships = args.name in MODELS and args.seed == 0 and args.teacher is None and args.epochs is None
    out = args.out or (ROOT / "models" if ships else folder)
    sets = data_folder(args.data[0] if args.data and args.name != CUSTOM else None)
    out.mkdir(parents=True, exist_ok=True)
    job = building.job_of(args, building.Places(ROOT, sets, out, _publisher_key()))
    if args.name == STAGED:
        report = building.build_staged(job, folder, _progress)
        print(json.dumps(report, indent=None if args.json else 1))
        return 0
    report = building.build_model(job, folder, _progress)
    beside = out / report_name(bundle_name(job.name, job.recipes[0], args.seed))
    beside.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    if args.json:
        print(json.dumps(report))
        return 0
    _print_build(report, out)
    return 0


def _print_build(report: dict[str, Any], out: Path) -> None:
    """Who taught, where that is a checkpoint, and a line for each bundle."""
    best = report["teachers"][0]
    if "method" in best:
        print(
            f"{best['folder']} ({best['architecture']}) was {best['method']}: "
            f"accuracy {best['selection']:.2%} on the selection split, {best['report']:.2%} on the report split"
        )
    for recipe, part in report["recipes"].items():
        figures = part["rules"]["balanced"]
        slots = "" if figures["slot_f1"] is None else f"  slot F1 {figures['slot_f1']:.2%}"
        print(
            f"{out / part['bundle']}  {part['sizes']['bundle'] / 1e6:.2f} MB  {recipe}  "
            f"accuracy {figures['accuracy']:.2%}  macro-F1 {figures['macro_f1']:.2%}{slots}"
        )


def _variant(args: argparse.Namespace) -> int:
    from conversion.variant_table import VARIANTS

    if args.variant == "list":
        print(json.dumps(list(VARIANTS)) if args.json else "\n".join(VARIANTS))
        return 0
    if args.variant not in VARIANTS:
        msg = f"there is no variant {args.variant}"
        raise DataMissingError(msg, hint=f"One of: {', '.join(VARIANTS)}.")
    _enter_training_environment()
    from conversion import building

    folder = ROOT / ".ciuic" / "build" / building.folder_name(args)
    found = building.train_variant(args, ROOT, data_folder(args.data), folder, _progress)
    if args.json:
        print(json.dumps(found))
        return 0
    for kind in ("exits", "widths"):
        for number, row in found[kind].items():
            print(
                f"{args.variant}  {kind[:-1]} {number}  accuracy {row['accuracy']:.2%}  compute {row['macs']:,} MACs"
            )
    return 0


def _report(args: argparse.Namespace) -> int:
    from conversion.data.sources import data_seed
    from conversion.study.joined import Sources, join
    from conversion.study.markdown import to_markdown

    folder = ROOT / "docs" / "measurements"
    seeds = tuple(args.seeds or MODELS[args.name].seeds)
    joined = join(
        Sources(
            args.name,
            seeds,
            lambda seed: build_folder(args.name, data_seed(args.name, seed)),
            ROOT / "models",
            folder,
        )
    )
    if not any(row["runs"] for row in joined["rows"]):
        # In a fresh clone: the page would take the place of what was measured where the builds are.
        msg = f"no run of {args.name} is in this checkout's .ciuic/build"
        raise DataMissingError(msg, hint=f"Build it here first: `ciuic model build {args.name}`.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{args.name}.json").write_text(json.dumps(joined, indent=1) + "\n", "utf-8")
    (folder / f"{args.name}.md").write_text(to_markdown(joined), "utf-8")
    print(json.dumps(joined) if args.json else to_markdown(joined))
    return 0


def _baselines(args: argparse.Namespace) -> int:
    _enter_training_environment()
    from conversion.study.uncompressed import measure_baselines

    found = measure_baselines(
        build_folder(args.name, 0), lambda what, share: _progress(f"{what} {share:4.0%}")
    )
    if args.json:
        print(json.dumps(found))
        return 0
    for name, accuracy in found["accuracy"].items():
        size = found["bytes"].get(name.removeprefix("teacher "))
        print(f"{name:<13} accuracy {accuracy:.2%}" + ("" if size is None else f"  {size / 1e6:.1f} MB"))
    return 0


def _tradeoff(args: argparse.Namespace) -> int:
    from conversion.study.command import Places, run_tradeoff

    return run_tradeoff(args, Places(ROOT, data_folder(args.data), build_folder), _progress)


def _targets(args: argparse.Namespace) -> int:
    from conversion.targets.command import targets

    document = targets(args.bundle, _trust(args), ROOT / "docs" / "measurements")
    text = document.pop("text")
    print(json.dumps(document) if args.json else text)
    for name, why in document["refused"].items():
        print(f"left out {name}: {why}", file=sys.stderr)
    return 0


def _trust(args: argparse.Namespace) -> Trust:
    """`--trust`, else the checkout's own folder of public keys.

    Raises:
        ConfigError: `--trust` is no folder.
    """
    from firmware_py.bundles.verify import Trust, trust_folder

    return Trust(trust_folder(args.trust, ROOT / "models" / "trust"), args.allow_unsigned)


def _show(args: argparse.Namespace) -> int:
    from firmware_py.bundles.read import read_bundle

    bundle = read_bundle(args.bundle, _trust(args))
    manifest = bundle.manifest
    if args.json:
        print(json.dumps(manifest.to_dict() | {"sha256": bundle.sha256}))
        return 0
    rows: dict[str, Any] = {
        "model": f"{manifest.name} {manifest.version}",
        "sha256": bundle.sha256,
        "task": f"{manifest.task.name} ({manifest.task.kind}; {', '.join(manifest.task.languages)})",
        "recipe": manifest.recipe,
        "runtimes": ", ".join(f"{name} >= {version}" for name, version in manifest.runtimes.items()),
        "labels": f"{len(manifest.labels)} intents, {len(manifest.slots)} slots"
        + ("" if manifest.slot_sets is None else f", chosen together by {manifest.slot_sets.count} sets"),
        "lengths": ", ".join(map(str, manifest.buckets)),
        "exits": " ".join(f"{value:.1%}" for value in manifest.accuracy_by_exit),
        "rules": "; ".join(
            f"{name} {' '.join('never' if v > 1.0 else f'{v:g}' for v in row)}"
            for name, row in manifest.exit_rules.items()
        )
        + (", met by the label and each word's slot" if manifest.asks_slots else ""),
        "exit 0": ", ".join(f"{name} {v:g}" for name, v in manifest.zeroth_rules.items())
        or "asked by no rule",
        "widths": ", ".join("-".join(map(str, one.widths)) for one in manifest.variants)
        or "full width alone is calibrated",
        "graphs": f"{len(manifest.graphs)}, {sum(g.file.size_bytes for g in manifest.graphs) / 1e6:.2f} MB unpacked",
    }
    for name, value in rows.items():
        print(f"{name:<9} {value}")
    return 0


def _enter_training_environment() -> None:
    """Go on where torch is.

    Raises:
        ToolMissingError: there is no such environment.
    """
    enter_training_environment(ROOT, "torch", "training and baselines need torch")


def _publisher_key() -> Path:
    """The private key that signs: the publisher's where this checkout has it, else one of its own.

    The public half of its own key goes to `models/trust` (git ignores it), so that nodes of this
    checkout trust what was built here, and said once.
    """
    from firmware_py.bundles.sign import new_key

    folder, trust = ROOT / ".ciuic" / "keys", ROOT / "models" / "trust"
    for name in (PUBLISHER, LOCAL):
        private, mine, public = folder / f"{name}.key", folder / f"{name}.pub", trust / f"{name}.pub"
        if private.exists() and public.exists() and public.read_bytes() == mine.read_bytes():
            return private
    if not private.exists():
        new_key(folder, LOCAL)
    trust.mkdir(parents=True, exist_ok=True)
    public.write_bytes(mine.read_bytes())
    _progress(f"signing with this checkout's own key; nodes here trust it: {public}\n")
    return private


def _progress(line: str) -> None:
    """One line on standard error: rewritten in place on a terminal, appended elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)
