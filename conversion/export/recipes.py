"""Recipes: what becomes of a float32 TFLite file, for whom, and where the result is tried.

dyn8     int8 weights per channel, activations quantised as they come; for ai-edge-litert. tflite-runtime 2.14
         runs such a file without an error and wrongly (agreement with torch at chance): never give it one.
dyn4     the same with int4 weights; no model was measured in it. tflite-runtime 2.14 dies on int4.
w8       int8 weights, arithmetic in float32; right in both runtimes.
fp32     the file as onnx2tf writes it.
fp16     float16 weights, each with a DEQUANTIZE that a GPU delegate takes away; float32 in and out.
ethosu   int8 throughout, for Arm's NPU compiler vela; runs on a CPU too, where vela's result does not.
edgetpu  int8 throughout, projections as 1x1 convolutions: the Edge TPU takes no dense layer over many rows.
vx       the same with one scale a tensor, as mesa's teflon asks; the VX delegate takes it too.

The last three are for accelerators without square roots: their trunk was trained with DyT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

LITERT, TFLITE_RUNTIME = "ai-edge-litert", "tflite-runtime"
_LITERT = {LITERT: "2.3.0"}
_EITHER = {LITERT: "2.3.0", TFLITE_RUNTIME: "2.14.0"}
_SAFE = {TFLITE_RUNTIME: "2.14.0", LITERT: "2.3.0"}

Norm = Literal["rms", "dyt"]
Form = Literal["added", "replaced"]  # how blocked scores are blocked: conversion/export/stage_graph.py
Weights = Literal["float32", "float16", "dynamic8", "dynamic4", "only8", "static8", "static8-per-tensor"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One row of the table.

    `weights` says what `quantise` does. `runtimes` are those that run the files, with their minimum
    versions; the gate tries each file in each of them. `norm` is what the trunk was trained with, `form` how
    the graph blocks scores, `convolutions` whether projections become convolutions.
    """

    name: str
    weights: Weights
    runtimes: Mapping[str, str]
    norm: Norm = "rms"
    form: Form = "added"
    convolutions: bool = False

    @property
    def calibrated(self) -> bool:
        """Whether the ranges of activations come from real sentences."""
        return self.weights.startswith("static")


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("fp32", "float32", _SAFE),
        Recipe("fp16", "float16", _SAFE),
        Recipe("dyn8", "dynamic8", _LITERT),
        Recipe("dyn4", "dynamic4", _LITERT),
        Recipe("w8", "only8", _SAFE),
        Recipe("ethosu", "static8", _EITHER, "dyt", "replaced"),
        Recipe("edgetpu", "static8", _EITHER, "dyt", "replaced", convolutions=True),
        Recipe("vx", "static8-per-tensor", _EITHER, "dyt", "replaced", convolutions=True),
    )
}

RUNTIMES: dict[str, dict[str, str]] = {name: dict(recipe.runtimes) for name, recipe in RECIPES.items()}
NORM_OF: dict[str, Norm] = {name: recipe.norm for name, recipe in RECIPES.items()}
# Where the figures of a recipe's report come from: the runtime that it is made for.
GATE_RUNTIME: dict[str, str] = {name: next(iter(recipe.runtimes)) for name, recipe in RECIPES.items()}


def bundle_name(name: str, recipe: str, seed: int = 0) -> str:
    """The file name of a bundle: seed 0 and `dyn8` are the default and are not named."""
    stem = f"{name}-{seed}" if seed else name
    return f"{stem}.bundle" if recipe == "dyn8" else f"{stem}.{recipe}.bundle"


def report_name(bundle: str) -> str:
    """The file name of the report beside a bundle."""
    return f"{bundle.removesuffix('.bundle')}.report.json"
