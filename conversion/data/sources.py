"""Where each model's rows come from."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from conversion.catalogue import MODELS
from conversion.data import free_text, home_en, home_multi, out_of_scope
from conversion.data.digests import file_sha256, found_sha256, lines_sha256
from conversion.data.public import files_of, read_task
from conversion.data.task import TaskData
from conversion.data.vocabulary import common_words
from firmware_py.tasks import text

NAMES = tuple(MODELS)
HOME = tuple(name for name in NAMES if MODELS[name].home)
TEMPLATES = (
    "home-assistant-intents",
    "hassil",
)  # the packages that say what a template is and how it is read
_HERE = Path(__file__).parent


def data_seed(name: str, seed: int) -> int:
    """Of the rows: the home models draw anew for every seed, public sets are cut once."""
    return seed if name in HOME else 0


def read_data(
    name: str, seed: int, folder: Path | None, words: list[str], tell: Callable[[float], None]
) -> TaskData:
    """The rows of a model.

    Args:
        name: one of `NAMES`.
        seed: of draws and splits.
        folder: with the public sets; the home models do without it.
        words: MiniLM's vocabulary, for invented names.
        tell: hears the share done.

    Raises:
        DataMissingError: the set is not in the folder.
        DataInvalidError: a file is not rows of text and intent.
    """
    if name == "home-en":
        return home_en.build(seed, folder, common_words(words), tell)
    if name == "home-multi":
        return home_multi.build(seed, folder, tell)
    data = read_task(name, folder)
    tell(1.0)
    return data


def made_of(name: str, seed: int, folder: Path | None, words: list[str]) -> dict[str, Any]:
    """Everything that `read_data` makes rows of, as digests: equal ones mean equal rows.

    All files of this package count, lists and programs alike: to draw anew takes a minute, and what was
    trained stays where the rows come out equal.

    Args:
        name: one of `NAMES`.
        seed: of draws and splits.
        folder: with the public sets, or None.
        words: MiniLM's vocabulary.
    """
    own = sorted(path.name for path in _HERE.iterdir() if path.suffix in {".py", ".toml", ".txt"})
    made: dict[str, Any] = {
        "seed": seed,
        "package": found_sha256(_HERE, own),
        "text": file_sha256(Path(text.__file__)),  # what a word is
        "folder": found_sha256(folder, data_files(name)),
    }
    if name in HOME:
        made |= {package: version(package) for package in TEMPLATES}
        made["words"] = lines_sha256(words)
    return made


def data_files(name: str) -> tuple[str, ...]:
    """The files below the data folder that a model's rows are read from, where they are there."""
    if name not in HOME:
        return files_of(name)
    return (*out_of_scope.FILES, *(file for _, file in free_text.SHARES))
