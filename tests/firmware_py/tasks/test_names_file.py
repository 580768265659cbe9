"""What may lie in the place of a names file."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from firmware_py.contracts.errors import NamesError
from firmware_py.tasks.names_file import NamesFile, load_names

TOML = '[[area]]\nid = "kitchen"\nname = "Kitchen"\n'


def test_a_pipe_is_no_names_file_and_holds_nobody_up(tmp_path: Path) -> None:
    """Nobody writes into it: to open it for reading would wait for ever."""
    path = tmp_path / "names.toml"
    path.write_text(TOML, "utf-8")
    file = NamesFile(path)
    path.unlink()
    os.mkfifo(path)
    assert [file.look() for _ in range(3)] == [False, False, False]
    assert [entry.id for entry in file.current.entries] == ["kitchen"]
    with pytest.raises(NamesError, match="not a regular file"):
        load_names(path)


@pytest.mark.parametrize("key", ["id", "name"])
def test_half_a_surrogate_pair_is_refused_with_the_file(tmp_path: Path, key: str) -> None:
    """No reply with it could be sent."""
    entry = {"id": "kitchen", "name": "Kitchen"}
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"area": [entry | {key: f"{entry[key]}\ud800"}]}), "utf-8")
    with pytest.raises(NamesError, match="surrogates not allowed"):
        load_names(path)
