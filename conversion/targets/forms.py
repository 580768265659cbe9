"""The operators of a stage under recipes that a model has not been built with: what a row can say without a bundle.

`forms/<recipe>.json` holds one full-width stage of one layer (d 128, 16 tokens), as the build writes it; weights do not change it. A stage of more
layers has more such operators, of which a delegate that takes one piece takes a smaller share. A test makes such a stage anew and compares.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from conversion.targets.tflite import Operator, Tensor


def write_form(operators: Sequence[Operator]) -> str:
    """A form's JSON: tensors by index, then operators as name, inputs, outputs."""
    tensors = {one.index: one for operator in operators for one in (*operator.inputs, *operator.outputs)}
    table = {
        str(index): [one.dtype, list(one.shape), one.constant, one.scales, one.symmetric]
        for index, one in sorted(tensors.items())
    }
    rows = [
        [one.name, [tensor.index for tensor in one.inputs], [tensor.index for tensor in one.outputs]]
        for one in operators
    ]
    lines = ",\n".join(json.dumps(row) for row in rows)
    heads = ",\n".join(f"{json.dumps(index)}: {json.dumps(row)}" for index, row in table.items())
    return f'{{"tensors": {{\n{heads}\n}}, "operators": [\n{lines}\n]}}\n'


@cache
def read_form(recipe: str) -> tuple[Operator, ...]:
    """The operators of a recipe's stage; empty where there is no form of it."""
    path = files(__package__) / "forms" / f"{recipe}.json"
    if not path.is_file():
        return ()
    raw = json.loads(path.read_text("utf-8"))
    tensors = {
        int(index): Tensor(int(index), row[0], tuple(row[1]), row[2], row[3], row[4])
        for index, row in raw["tensors"].items()
    }
    return tuple(
        Operator(name, tuple(tensors[one] for one in inputs), tuple(tensors[one] for one in outputs))
        for name, inputs, outputs in raw["operators"]
    )
