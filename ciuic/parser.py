"""The parser of every verb and sub-verb: what is wrong with a command line is told like any other error."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line as every other error is said; sub-verbs' parsers are of this class, too."""

    def __init__(self, **given: Any) -> None:
        """As argparse's; the help of every sub-verb ends with the flag that all of them take."""
        super().__init__(**{"epilog": "`--log-level debug` logs more on standard error.", **given})

    def parse_args(  # type: ignore[override]  # argparse's has an overload for each kind of namespace
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        """As argparse's, but a word that no parser knows is told by the sub-verb's, whose help is asked for.

        Raises:
            ConfigError: the command line is wrong.
        """
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            _innermost(self, found).error(f"unrecognized arguments: {' '.join(unknown)}")
        return found

    def error(self, message: str) -> NoReturn:
        """What argparse calls.

        Raises:
            ConfigError: always.
        """
        from firmware_py.contracts.errors import ConfigError

        raise ConfigError(message, hint=f"`{self.prog} --help` lists what it takes.")


def _innermost(parser: argparse.ArgumentParser, found: argparse.Namespace) -> argparse.ArgumentParser:
    """The parser of the sub-verb that was given, or the one itself."""
    for action in parser._actions:  # noqa: SLF001 - argparse tells it no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            given = action.choices.get(getattr(found, action.dest, ""))
            if given is not None:
                return _innermost(given, found)
    return parser
