"""The door to ai-edge-quantizer: a float32 TFLite file in, a recipe's bytes out."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy.typing as npt

from conversion.data.digests import file_sha256
from conversion.export import compact, rewrite
from conversion.export.cache import recipe_key
from conversion.export.recipes import Recipe

_PACKAGES = ("ai-edge-quantizer", "ai-edge-litert")
SIGNATURE = "serving_default"  # onnx2tf's

Inputs = Mapping[str, npt.NDArray[Any]]


def key_of(source: bytes, recipe: Recipe, samples: Sequence[Inputs] = ()) -> str:
    """The cache key of what `quantise` makes of these bytes."""
    said = {name: value for name, value in asdict(recipe).items() if name not in {"name", "runtimes", "norm"}}
    for module in (rewrite, compact):
        said[module.__name__] = file_sha256(Path(str(module.__file__)))
    if recipe.calibrated:
        digest = hashlib.sha256()
        for sample in samples:
            for name, array in sorted(sample.items()):
                digest.update(name.encode() + array.tobytes())
        said["samples"] = digest.hexdigest()
    return recipe_key(source, said, _PACKAGES)


def is_float32(recipe: Recipe) -> bool:
    """Whether the recipe's file is the float32 file itself."""
    return recipe.weights == "float32" and not recipe.convolutions


def quantise(source: Path, recipe: Recipe, samples: Sequence[Inputs] = ()) -> bytes:
    """The file's bytes under a recipe; the same bytes for the same file.

    Args:
        source: a float32 file.
        recipe: a row of the table.
        samples: inputs by name, as the graph meets them; for calibrated recipes.
    """
    if is_float32(recipe):
        return source.read_bytes()
    if not recipe.convolutions:
        return compact.compact(_quantised(source, recipe, samples))
    with tempfile.TemporaryDirectory(prefix="ciuic-rewrite-") as folder:
        path = Path(folder) / source.name
        path.write_bytes(rewrite.with_convolutions(source))
        return compact.compact(_quantised(path, recipe, samples))


def _quantised(source: Path, recipe: Recipe, samples: Sequence[Inputs]) -> bytes:
    if recipe.weights == "float32":
        return source.read_bytes()
    from ai_edge_quantizer import quantizer

    job = quantizer.Quantizer(str(source))
    job.load_quantization_recipe(_rules(recipe))
    if not recipe.calibrated:
        return bytes(job.quantize().quantized_model)
    ranges = job.calibrate({SIGNATURE: [dict(sample) for sample in samples]})
    return rewrite.with_names_at_the_border(bytes(job.quantize(ranges).quantized_model))


def _rules(recipe: Recipe) -> Any:
    """What ai-edge-quantizer calls a recipe."""
    from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager

    everything = {"regex": ".*", "operation_name": qtyping.TFLOperationName.ALL_SUPPORTED}
    rules = recipe_manager.RecipeManager()
    match recipe.weights:
        case "dynamic8":
            rules.add_dynamic_config(**everything, num_bits=8)
        case "dynamic4":
            rules.add_dynamic_config(**everything, num_bits=4)
        case "only8":
            rules.add_weight_only_config(**everything, num_bits=8)
        case "float16":
            cast = algorithm_manager.AlgorithmName.FLOAT_CASTING
            rules.add_weight_only_config(**everything, num_bits=16, algorithm_key=cast)
        case "float32":
            msg = "float32 files are not quantised"
            raise ValueError(msg)
        case "static8" | "static8-per-tensor":
            each = qtyping.QuantGranularity
            granularity = each.CHANNELWISE if recipe.weights == "static8" else each.TENSORWISE
            bits = {"activation_num_bits": 8, "weight_num_bits": 8}
            rules.add_static_config(**everything, **bits, weight_granularity=granularity)
            leave = algorithm_manager.AlgorithmName.NO_QUANTIZE
            for border in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
                rules.add_quantization_config(".*", border, algorithm_key=leave)  # float32 in and out
    return rules.get_quantization_recipe()
