"""The rows that a bundle was built and judged with: asked for by name, or found where builds keep them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from conversion.data.public import SETS, read_task
from conversion.data.sources import NAMES
from conversion.data.task import TaskData, load, rows_sha256
from firmware_py.contracts.errors import DataInvalidError, DataMissingError
from firmware_py.contracts.manifest import Manifest

_HINT = "Give --rows the data.json of the bundle's own build folder."


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are: the checkout, the folder of public sets, the build folder of a model's name and seed."""

    root: Path
    data: Path | None
    builds: Callable[[str, int], Path]


def task_rows(manifest: Manifest, asked: Path | None, places: Places, beside: Path | None = None) -> TaskData:
    """The rows that the bundle was built and judged with.

    Args:
        manifest: of the bundle.
        asked: a data.json, None to look for one.
        places: where builds keep theirs.
        beside: the bundle's folder: a build that ships nothing leaves both in one.

    Raises:
        DataMissingError: they are not at hand.
        DataInvalidError: what is at hand has another report split.
    """
    if asked is not None:
        if not asked.is_file():
            msg = f"there is no {asked}"
            raise DataMissingError(msg, hint=_HINT)
        if (data := _read(asked)) is None:
            msg = f"{asked} is not the data.json of a build"
            raise DataInvalidError(msg, hint=_HINT)
        return _own(manifest, [data])
    kept = [data for path in _likely(manifest, beside, places) if (data := _read(path)) is not None]
    if kept:
        return _own(manifest, kept)
    if manifest.name in SETS:
        return _own(manifest, [read_task(manifest.name, places.data)])
    msg = f"the rows of {manifest.name} are not at hand"
    if manifest.name in NAMES:
        hint = f"Run `ciuic model build {manifest.name}` once: it keeps them; or give --rows data.json."
    else:
        hint = (
            f"{_HINT} `ciuic model build custom` keeps it in .ciuic/build/{manifest.name}-… of its checkout."
        )
    raise DataMissingError(msg, hint=hint)


def _likely(manifest: Manifest, beside: Path | None, places: Places) -> list[Path]:
    """Beside the bundle; in the folder of its seed; in those of a custom model, which end in a hash of its files."""
    seed = int(manifest.provenance.get("settings", {}).get("seed", 0))
    folders = [places.builds(manifest.name, number) for number in (seed, 0)]
    if beside is not None:
        folders.insert(0, beside)
    if manifest.name not in NAMES:
        folders += sorted(places.builds(manifest.name, 0).parent.glob(f"{manifest.name}-*"))
    return [folder / "data.json" for folder in dict.fromkeys(folders)]


def _read(path: Path) -> TaskData | None:
    """None where there is no such file, or it is something else's."""
    try:
        return load(path)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _own(manifest: Manifest, found: Iterable[TaskData]) -> TaskData:
    """The first whose report split is the one that the bundle was judged on; the first, where it does not say."""
    said = manifest.provenance.get("data", {}).get("splits", {}).get("report")
    for data in found:
        if not said or rows_sha256(data.report) == said:
            return data
    msg = f"the rows of {manifest.name} here are not those that the bundle was judged on"
    raise DataInvalidError(msg, hint=_HINT)
