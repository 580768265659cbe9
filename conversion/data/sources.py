"""Where each model's rows come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from conversion.data import home_en, home_multi
from conversion.data.public import SETS, read_task
from conversion.data.task import TaskData
from conversion.data.vocabulary import common_words

HOME = ("home-en", "home-multi")
NAMES = (*HOME, *SETS)


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
