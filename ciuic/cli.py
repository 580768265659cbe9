"""The `ciuic` command: of `ciuic node run` the keeper comes first, everything else stands in `ciuic.verbs`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # `typing` would cost a keeper to be 10 ms
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the process's exit status; without `argv` as the command that this process is."""
    if argv is None and sys.argv[1:3] == ["node", "run"]:
        from firmware_py.keeper import keep_this

        keep_this()  # before anything large is imported: this process only becomes the keeper
        _collect_nothing()
    from ciuic.verbs import run_verb

    return run_verb(argv)


def _collect_nothing() -> None:
    """Start-up makes many objects that stay, and hardly any garbage: `ciuic node run` lets the collector in when it serves."""
    import gc

    gc.disable()
