"""The door to ai-edge-quantizer: a float32 TFLite file in, a recipe's bytes out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from conversion.export.cache import recipe_key
from conversion.export.recipes import Recipe

_PACKAGES = ("ai-edge-quantizer", "ai-edge-litert")


def key_of(source: bytes, recipe: Recipe) -> str:
    """The cache key of what `quantise` makes of these bytes."""
    said = {name: value for name, value in asdict(recipe).items() if name not in {"runtimes", "norm"}}
    return recipe_key(source, said, _PACKAGES)


def quantise(source: Path, recipe: Recipe) -> bytes:
    """The file's bytes under a recipe; the same bytes for the same file."""
    if not recipe.quantiser:
        return source.read_bytes()
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer import recipe as recipes

    job = quantizer.Quantizer(str(source))
    job.load_quantization_recipe(getattr(recipes, recipe.quantiser)())
    return bytes(job.quantize().quantized_model)
