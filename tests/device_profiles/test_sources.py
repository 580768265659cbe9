"""No figure without its source: of every shipped file, and of what the loader lets pass."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

import pytest

from device_profiles.loader import list_accessories, list_profiles, parse_profile
from device_profiles.profile import ProfileError

FILES = [
    *(f"boards/{name}.toml" for name in list_profiles()),
    *(f"accessories/{name}.toml" for name in list_accessories()),
]


def text_of(file: str) -> str:
    folder, name = file.split("/")
    return (resources.files(f"device_profiles.{folder}") / name).read_text("utf-8")


def figures(table: Mapping[str, Any], where: str = "", above: str = "") -> Iterator[tuple[str, str]]:
    """Path and source of every number of a file; a table's own `source` counts for all that is in it."""
    own, listed = table.get("source", above), table.get("sources", {})
    for key, value in table.items():
        place = f"{where}.{key}" if where else key
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            yield place, listed.get(key, own)
        elif isinstance(value, dict):
            yield from figures(value, place, own)
        elif isinstance(value, list):
            for at, item in enumerate(value):
                if isinstance(item, dict):
                    yield from figures(item, f"{place}[{at}]", own)


@pytest.mark.parametrize("file", FILES)
def test_every_figure_names_a_source_that_says_what_it_is(file: str) -> None:
    found = list(figures(tomllib.loads(text_of(file))))
    assert found or file.startswith("accessories/")
    for place, source in found:
        assert len(source.strip()) > 12, f"{file}: {place} has no source"
        assert re.search(r"[A-Za-z]{3}", source), f"{file}: {place}"


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("boards/")])
def test_the_loader_refuses_a_board_that_lost_a_source(file: str) -> None:
    """Each `source`, and each of `[sources]`, taken out and emptied, one at a time."""
    lines = text_of(file).splitlines()
    inside, places = False, []
    for number, line in enumerate(lines):
        if line.startswith("["):
            inside = line == "[sources]"
        if re.match(r"source = ", line) or (inside and " = " in line):
            places.append(number)
    assert len(places) >= 8  # five facts, a delegate, a rail, the simulation
    for number in places:
        key = lines[number].split(" = ")[0]
        for without in ("", f'{key} = " "'):
            changed = "\n".join([*lines[:number], without, *lines[number + 1 :]])
            with pytest.raises(ProfileError, match=key):
                parse_profile(changed, file="my.toml")
