"""The parser of every verb and sub-verb: what is wrong with a command line is told like any other error."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line as every other error is said; sub-verbs' parsers are of this class, too."""

    def __init__(self, **given: Any) -> None:
        """As argparse's; the help of every sub-verb ends with the flag that all of them take."""
        super().__init__(**{"epilog": "`--log-level debug` logs more on standard error.", **given})

    def error(self, message: str) -> NoReturn:
        """What argparse calls.

        Raises:
            ConfigError: always.
        """
        from firmware_py.contracts.errors import ConfigError

        raise ConfigError(message, hint=f"`{self.prog} --help` lists what it takes.")
