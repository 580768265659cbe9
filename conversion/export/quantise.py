"""Recipes: which bytes of a float32 TFLite file become integers.

`dyn8`: int8 weights per channel, activations quantised as they come; for ai-edge-litert. tflite-runtime 2.14
runs such a file without an error and wrongly (agreement with torch at chance), so it has a recipe of its own.
`w8`: int8 weights, arithmetic in float32; right in both runtimes.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

RUNTIMES: dict[str, dict[str, str]] = {
    "dyn8": {"ai-edge-litert": "2.3.0"},
    "w8": {"tflite-runtime": "2.14.0", "ai-edge-litert": "2.3.0"},
}
# The gate runs each recipe in the runtime that it is for.
GATE_RUNTIME = {"dyn8": "ai-edge-litert", "w8": "tflite-runtime"}


def quantise(source: Path, target: Path, recipe_name: str) -> None:
    """Write `target` from the float32 file `source`."""
    from ai_edge_quantizer import quantizer, recipe

    recipes = {"dyn8": recipe.dynamic_wi8_afp32, "w8": recipe.weight_only_wi8_afp32}
    with contextlib.redirect_stdout(io.StringIO()):  # the quantizer prints a progress bar
        job = quantizer.Quantizer(str(source))
        job.load_quantization_recipe(recipes[recipe_name]())
        target.write_bytes(bytes(job.quantize().quantized_model))
