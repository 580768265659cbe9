"""The verb table: one command, one module per verb, loaded only when its verb is called.

A module offers `configure_<verb>(parser)` and `run_<verb>(args) -> int`, or plain `configure` and
`run` when it serves one verb. Errors of ours end as two lines on standard error and exit status 2
(the operator's flags and files), 3 (another node has this one's name) or 1 (everything else); a foreign exception is
a defect and keeps its traceback.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from ciuic.parser import Parser

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXIT_FAILED = 1
EXIT_USAGE = 2
_LOG_LEVELS = ("debug", "info", "warning", "error")
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
_OURS = ("ciuic", "conversion", "device_profiles", "firmware_py", "hil_tests", "mqtt_bridge")


class Verb(NamedTuple):
    """Where a verb lives, which extras of the distribution it needs, and its line in the help."""

    module: str
    extras: str
    help: str


VERBS: dict[str, Verb] = {
    "node": Verb("mqtt_bridge.cli", "device,bridge", "run this board's node: answer requests on MQTT topics"),
    "ask": Verb("mqtt_bridge.cli", "bridge", "ask the mesh one question and print the answer"),
    "broker": Verb(
        "mqtt_bridge.cli", "bridge", "run a broker on 127.0.0.1, for nodes and askers of this machine"
    ),
    "eval": Verb(
        "ciuic.evaluate",
        "device",
        "run a bundle over labelled rows and print accuracy, exits, seconds and joules",
    ),
    "model": Verb("conversion.cli", "device", "build, inspect, compare and report models"),
    "bench": Verb(
        "ciuic.bench.cli",
        "device,bridge",
        "measure requests, the engine, energy or a model, and compare them with their bounds",
    ),
    "profile": Verb("device_profiles.cli", "", "list, check or detect board profiles"),
    "key": Verb("firmware_py.cli", "device", "make and show signing keys, sign bundles"),
    "doctor": Verb("ciuic.doctor", "", "say what this machine has, what it lacks, and what to do"),
    "demo": Verb("ciuic.demo", "device,bridge", "three simulated boards answer 200 requests; one is killed"),
}


def run_verb(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the process's exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = words[0] if words and words[0] in VERBS else ""
    try:
        return _run_and_flush(lambda: _run(name, words[1:]) if name else _top(words))
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] in _OURS:
            raise
        return _tell(*_missing(name, error.name), usage=True)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _give_up_stdout()  # the reader went away (`ciuic … | head`)
        return EXIT_FAILED
    except Exception as error:
        # Not for the help, which loads nothing of ours.
        from firmware_py.contracts.errors import BundleMissingError, CiuicError, ConfigError, NameTakenError
        from firmware_py.keeper import NAME_TAKEN

        if not isinstance(error, CiuicError):
            raise
        hint = error.hint
        if hint == ConfigError.default_hint and name not in ("", "node"):
            hint = f"`ciuic {name} --help` lists what it takes."  # the default is a node's
        status = _tell(
            error.message, error.code, hint, usage=isinstance(error, ConfigError | BundleMissingError)
        )
        return NAME_TAKEN if isinstance(error, NameTakenError) else status


def _run_and_flush(run: Callable[[], int]) -> int:
    """Run it; what goes wrong with the last of what it prints is told here, not at exit.

    Raises:
        DiskFullError: a file or standard output took no more.
        ConfigError: a file or folder that the operator named may not be used.
    """
    try:
        try:
            status = run()
        except SystemExit:  # the help, the version
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except OSError as error:
        from firmware_py.contracts.errors import ConfigError, DiskFullError

        if error.errno in _NOT_ALLOWED and error.filename is not None:
            msg = f"{error.filename}: {error.strerror}"
            raise ConfigError(
                msg, hint="Name a place that you may read and write, or change who may."
            ) from error
        if error.errno not in _NO_ROOM:
            raise
        _give_up_stdout()
        where = "" if error.filename is None else f" for {error.filename}"
        msg = f"no space is left{where}"
        raise DiskFullError(msg) from error
    return status


def _give_up_stdout() -> None:
    """Nothing more can be said there, not even what is flushed at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(name: str, words: list[str]) -> int:
    from device_profiles.profile import ProfileError

    module = importlib.import_module(VERBS[name].module)
    parser = Parser(
        prog=f"ciuic {name}", description=VERBS[name].help, conflict_handler="resolve", allow_abbrev=False
    )
    log = Parser(prog=f"ciuic {name}", add_help=False, allow_abbrev=False)
    for each in (log, parser):  # wherever it stands, also behind a sub-verb
        each.add_argument(
            "--log-level",
            default=os.environ.get("CIUIC_LOG_LEVEL", "warning"),
            choices=_LOG_LEVELS,
            help="what is logged on standard error (CIUIC_LOG_LEVEL; default: %(default)s)",
        )
    level, words = log.parse_known_args(words)
    if level.log_level not in _LOG_LEVELS:
        parser.error(f"CIUIC_LOG_LEVEL is none of {', '.join(_LOG_LEVELS)}")
    _part(module, "configure", name)(parser)
    args = parser.parse_args(words)
    _log(level.log_level)
    try:
        return int(_part(module, "run", name)(args))
    except ProfileError as error:
        return _tell(error.message, error.code, error.hint, usage=True)


def _part(module: object, what: str, verb: str) -> Callable[..., int]:
    """The verb's own function of the module, or the module's only one."""
    part: Callable[..., int] = getattr(module, f"{what}_{verb}", None) or getattr(module, what)
    return part


def _log(level: str) -> None:
    import logging

    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )


def _tell(message: str, code: str, hint: str, *, usage: bool) -> int:
    print(f"error: {message} [{code}]", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)
    return EXIT_USAGE if usage else EXIT_FAILED


def _missing(verb: str, package: str) -> tuple[str, str, str]:
    from firmware_py.contracts.errors import ToolMissingError

    extras = VERBS[verb].extras
    hint = f'In a checkout: `scripts/setup run`, or `pip install ".[{extras}]"`.' if extras else ""
    return (
        f"`ciuic {verb}` needs the Python package {package}",
        ToolMissingError.code,
        hint or ToolMissingError.default_hint,
    )


class _Version(argparse.Action):
    """Looks the version up only when asked: package metadata costs more than the whole help."""

    def __call__(self, parser: argparse.ArgumentParser, *_args: object) -> NoReturn:
        from importlib import metadata

        try:
            version = metadata.version("ciuic-edge")
        except metadata.PackageNotFoundError:
            version = "(not installed: running from a checkout)"
        print(f"ciuic {version}")
        parser.exit()


def _top(words: list[str]) -> int:
    """No verb: the help, the version, or a usage error."""
    width = max(map(len, VERBS))
    lines = [f"  {name:<{width}}  {verb.help}" for name, verb in VERBS.items()]
    parser = argparse.ArgumentParser(
        prog="ciuic",
        usage="ciuic VERB [options]",
        description="A private language-understanding service on a box of ARM boards.",
        epilog="\n".join(["verbs:", *lines, "", "`ciuic VERB --help` lists a verb's options."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    if not words:
        parser.print_help()
        return EXIT_USAGE
    parser.parse_known_args([word for word in words if word in {"-h", "--help", "--version"}])
    return _tell(f"{words[0]!r} is not a verb", "config_invalid", f"Verbs: {', '.join(VERBS)}.", usage=True)
