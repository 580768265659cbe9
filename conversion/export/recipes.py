"""Recipes: what becomes of a float32 TFLite file, for whom, and where the result is tried.

dyn8     int8 weights per channel, activations quantised as they come; for ai-edge-litert. tflite-runtime 2.14
         runs such a file without an error and wrongly (agreement with torch at chance): never give it one.
dyn4     the same with int4 weights; judged, not shipped. tflite-runtime 2.14 dies on int4.
w8       int8 weights, arithmetic in float32; right in both runtimes.
fp32     the file as onnx2tf writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

LITERT, TFLITE_RUNTIME = "ai-edge-litert", "tflite-runtime"
_LITERT = {LITERT: "2.3.0"}
_BOTH = {TFLITE_RUNTIME: "2.14.0", LITERT: "2.3.0"}

Norm = Literal["rms", "dyt"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One row of the table.

    `quantiser` names a recipe of ai-edge-quantizer, or is empty. `runtimes` are those that run the files,
    with their minimum versions; the gate tries each file in each of them. `norm` is what the trunk was
    trained with. `calibrated`: the ranges of activations come from real sentences.
    """

    name: str
    quantiser: str
    runtimes: Mapping[str, str]
    norm: Norm = "rms"
    calibrated: bool = False


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("fp32", "", _BOTH),
        Recipe("dyn8", "dynamic_wi8_afp32", _LITERT),
        Recipe("dyn4", "dynamic_wi4_afp32", _LITERT),
        Recipe("w8", "weight_only_wi8_afp32", _BOTH),
    )
}

RUNTIMES: dict[str, dict[str, str]] = {name: dict(recipe.runtimes) for name, recipe in RECIPES.items()}
NORM_OF: dict[str, Norm] = {name: recipe.norm for name, recipe in RECIPES.items()}
# Where the figures of a recipe's report come from: the runtime that it is made for.
GATE_RUNTIME: dict[str, str] = {name: next(iter(recipe.runtimes)) for name, recipe in RECIPES.items()}


def bundle_name(name: str, recipe: str) -> str:
    """The file name of a bundle: `dyn8` is the default and is not named."""
    return f"{name}.bundle" if recipe == "dyn8" else f"{name}.{recipe}.bundle"
