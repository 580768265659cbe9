"""What `ciuic model build` takes: which flags say something to which build. Read where there is no torch.

A flag that a build would not heed is refused before anything is read or written: the user meant something by it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, NamedTuple

from conversion.catalogue import MODELS
from firmware_py.contracts.errors import ConfigError

CUSTOM, STAGED = "custom", "minilm"
_OURS = "ours"
_KINDS = {
    _OURS: f"`ciuic model build {'|'.join(MODELS)}`",
    CUSTOM: f"`ciuic model build {CUSTOM}`",
    STAGED: f"`ciuic model build {STAGED}`",
}


class _Flag(NamedTuple):
    """Its name on the command line, what it is where it is not given, and the kinds of builds that heed it."""

    written: str
    default: Any
    kinds: tuple[str, ...]


# By the argument's name; those of all builds are not among them. The parser leaves what was not given at None.
_FLAGS: Mapping[str, _Flag] = {
    "seed": _Flag("--seed", 0, (_OURS, CUSTOM)),
    "recipe": _Flag("--recipe", None, (_OURS, CUSTOM)),
    "epochs": _Flag("--epochs", None, (_OURS, CUSTOM)),
    "teacher": _Flag("--teacher", None, (_OURS,)),
    "checkpoint": _Flag("--checkpoint", None, (CUSTOM,)),
    "method": _Flag("--method", "auto", (_OURS, CUSTOM)),
    "as_name": _Flag("--name", CUSTOM, (CUSTOM,)),
    "lang": _Flag("--lang", ("en",), (CUSTOM,)),
    "task": _Flag("--task", "hwu64", (STAGED,)),
}


def settle(args: argparse.Namespace) -> None:
    """Refuse what the named build would not heed or cannot be made of, then fill in what was not given.

    Raises:
        ConfigError: a flag has no effect on this build, or not this value; a custom build lacks checkpoint or rows,
            or its name is not allowed.
    """
    _check_heeded(args)
    _check_values(args)
    for argument, flag in _FLAGS.items():
        if getattr(args, argument) is None:
            setattr(args, argument, flag.default)
    if args.name == CUSTOM:
        _check_custom(args)


def _check_heeded(args: argparse.Namespace) -> None:
    kind = args.name if args.name in (CUSTOM, STAGED) else _OURS
    for argument, flag in _FLAGS.items():
        if getattr(args, argument) is not None and kind not in flag.kinds:
            heeded = " and ".join(_KINDS[one] for one in flag.kinds)
            msg = f"{flag.written} has no effect on `ciuic model build {args.name}`"
            raise ConfigError(msg, hint=f"Leave it out; it is for {heeded}.")
    if kind == _OURS and args.method is not None and args.teacher is None:
        msg = "--method has no effect without --teacher"
        raise ConfigError(msg, hint="Give the checkpoint that teaches, or leave --method out.")


def _check_values(args: argparse.Namespace) -> None:
    if args.epochs is not None and args.epochs < 1:
        msg = f"--epochs {args.epochs} is below 1"
        raise ConfigError(msg, hint="Leave it out for as many as the model ships with.")
    if args.name != CUSTOM and args.data and len(args.data) > 1:
        msg = f"{len(args.data)} data folders were given"
        raise ConfigError(msg, hint="Give the one folder below which the public sets lie.")


def _check_custom(args: argparse.Namespace) -> None:
    from conversion.checkpoint.data import check_name

    check_name(args.as_name, taken=(*MODELS, STAGED))
    if args.checkpoint is None or not args.data:
        msg = "a custom model needs a checkpoint and rows"
        raise ConfigError(
            msg, hint="ciuic model build custom --checkpoint DIR --data train.jsonl [report.jsonl]"
        )
