"""What each delegate runs: committed tables, each with the source it was read from.

`operators/<name>.toml`:

    title       for people
    sources     where the table was read, and when or at which commit
    types       of what operators read and write (constants aside)
    whole       true: what follows the first operator that is refused is refused too
    [operators.NAME]
    reason      where it is refused in spite of standing here
    types       instead of the table's
    rows, rank  at most so many vectors; axes
    vector      true: the input has one axis longer than 1
    scales      1: one scale a tensor, none per channel
    computed    true: no constant among the inputs
    constants   true: everything but the first input is constant
    symmetric   true: the second input has zero point 0
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from conversion.targets.tflite import Operator, Tensor


@dataclass(frozen=True, slots=True)
class Condition:
    """What an operator must be like to be taken; None or False: not asked."""

    reason: str = ""
    types: tuple[str, ...] = ()
    rows: int | None = None
    rank: int | None = None
    scales: int | None = None
    vector: bool = False
    computed: bool = False
    constants: bool = False
    symmetric: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One delegate's operators."""

    name: str
    title: str
    sources: tuple[str, ...]
    types: tuple[str, ...]
    whole: bool
    operators: Mapping[str, Condition]


def table_names() -> tuple[str, ...]:
    """Of the tables there are."""
    folder = files(__package__) / "operators"
    return tuple(
        sorted(one.name.removesuffix(".toml") for one in folder.iterdir() if one.name.endswith(".toml"))
    )


@cache
def load_table(name: str) -> Table:
    """A table by its name."""
    raw = tomllib.loads((files(__package__) / "operators" / f"{name}.toml").read_text("utf-8"))
    conditions = {
        one: Condition(**{**asked, "types": tuple(asked.get("types", ()))})
        for one, asked in raw["operators"].items()
    }
    return Table(
        name, raw["title"], tuple(raw["sources"]), tuple(raw["types"]), raw.get("whole", False), conditions
    )


def refusal(operator: Operator, table: Table) -> str | None:
    """Why the delegate leaves an operator to the CPU; None where it takes it."""
    asked = table.operators.get(operator.name)
    if asked is None:
        return "the delegate has no such operator"
    if asked.reason:
        return asked.reason
    flowing = [one for one in (*operator.inputs, *operator.outputs) if not one.constant]
    types = asked.types or table.types
    strange = sorted({one.dtype for one in flowing if one.dtype not in types})
    if strange:
        return f"works on {', '.join(strange)}; the delegate takes {', '.join(types)}"
    return _size(operator, asked, flowing) or _values(operator, asked)


def _size(operator: Operator, asked: Condition, flowing: list[Tensor]) -> str | None:
    rows = max((one.rows for one in operator.outputs), default=1)
    if asked.rows is not None and rows > asked.rows:
        return f"over {rows} rows; the delegate takes {asked.rows}"
    rank = max((sum(size > 1 for size in one.shape) for one in flowing), default=0)
    if asked.rank is not None and rank > asked.rank:
        return f"{rank} axes longer than 1; the delegate takes {asked.rank}"
    if asked.vector and any(one.rows > 1 for one in operator.inputs[:1]):
        return f"over {operator.inputs[0].rows} rows; the delegate takes one vector"
    return None


def _values(operator: Operator, asked: Condition) -> str | None:
    everything = (*operator.inputs, *operator.outputs)
    if asked.scales is not None and any(one.scales > asked.scales for one in everything):
        return "a scale per channel; the delegate takes one per tensor"
    if asked.computed and any(one.constant for one in operator.inputs):
        return "one input is constant; the delegate takes computed ones"
    if asked.constants and not all(one.constant for one in operator.inputs[1:]):
        return "weights are not constant: a product of two activations"
    if asked.symmetric and not all(one.symmetric for one in operator.inputs[1:2]):
        return "its right side has a zero point; the delegate takes symmetric ones"
    return None
