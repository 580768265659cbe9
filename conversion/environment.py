"""The way into the training environment, for verbs that need more than the device has."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from firmware_py.contracts.errors import ToolMissingError

_NONE: Mapping[str, str] = MappingProxyType({})


def enter_training_environment(
    root: Path, package: str, why: str, variables: Mapping[str, str] = _NONE
) -> None:
    """Begin this command anew in `.venvs/train` where this interpreter lacks a package; that one has everything.

    Args:
        root: the checkout.
        package: that is needed.
        why: the beginning of the error, as "training and baselines need torch".
        variables: of the environment that must be set before anything is imported; where they are not, the command
            begins anew in any case.

    Raises:
        ToolMissingError: the environment has not been made.
    """
    here = find_spec(package) is not None
    if here and all(os.environ.get(name) == value for name, value in variables.items()):
        return
    python = Path(sys.executable) if here else root / ".venvs" / "train" / "bin" / "python"
    if not python.exists():
        msg = f"{why}, and there is no training environment"
        raise ToolMissingError(msg, hint="Make it with `make setup-train`, then run this again.")
    os.environ |= {"PYTHONPATH": str(root), **variables}
    os.execv(python, [str(python), "-m", "ciuic", *sys.argv[1:]])  # noqa: S606 - our own interpreter, no shell
