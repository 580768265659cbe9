"""The one key of manifest, cost table, rows and metrics, within one bundle: `16/w4-2-2/balanced/dyn8`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from firmware_py.contracts.errors import ConfigError

RECIPES: tuple[str, ...] = ("fp32", "fp16", "dyn8", "dyn4", "w8", "ethosu", "edgetpu", "vx")
_FORM = re.compile(r"(\d{1,4})/w(\d(?:-\d){0,15})/([a-z0-9-]{1,32})/([a-z0-9]{1,16})")
WIDTHS_HINT = "One number from 1 to 4 for each stage of the model, joined by hyphens: 4-2-2."


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way to run a bundle: length bucket, width groups per stage, exit rule, recipe."""

    bucket: int
    widths: tuple[int, ...]
    rule: str
    recipe: str

    def __str__(self) -> str:
        return f"{self.bucket}/w{'-'.join(map(str, self.widths))}/{self.rule}/{self.recipe}"


def parse_widths(text: str) -> tuple[int, ...]:
    """Width groups per stage as a configuration writes them: `4-2-2`.

    Raises:
        ConfigError: the text has another form.
    """
    if re.fullmatch(r"[1-4](-[1-4]){0,15}", text) is None:
        msg = f"{text!r} is not a width from 1 to 4 for each stage, such as 4-2-2"
        raise ConfigError(msg, hint=WIDTHS_HINT)
    return tuple(map(int, text.split("-")))


def parse_configuration(text: str) -> Configuration:
    """Read the written form.

    Raises:
        ConfigError: the text has another form.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        msg = f"{text!r} is not of the form bucket/w4-4-4/rule/recipe"
        raise ConfigError(msg)
    widths = tuple(int(width) for width in match[2].split("-"))
    return Configuration(int(match[1]), widths, match[3], match[4])
