"""Stage graphs as ONNX files, one per stage, width and length bucket."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch
from torch import nn

from conversion.export.recipes import Form
from conversion.export.stage_graph import StageGraph
from conversion.nets.deepseek_lite import DeepSeekLite
from firmware_py.contracts.run import GraphKey

INPUTS = ("h", "bias", "cos", "sin")
OUTPUTS = ("h_out", "state")
OPSET = 18  # with the dynamo exporter: the older one leaves ConstantOfShape and Where behind


def example(model: DeepSeekLite, bucket: int) -> tuple[torch.Tensor, ...]:
    """Inputs of the right shapes."""
    dims = model.dims
    return (
        torch.zeros(bucket, dims.d),
        torch.zeros(bucket, bucket),
        torch.ones(bucket, dims.rope),
        torch.zeros(bucket, dims.rope),
    )


def folded(model: DeepSeekLite, key: GraphKey, form: Form = "added") -> StageGraph:
    """The graph of a key, ready to export."""
    return StageGraph(model, key.stage, key.width, form).eval()


def export_graph(graph: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path) -> None:
    """Write one stage graph of any architecture."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it names every optional package it misses
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter warns about itself
        torch.onnx.export(
            graph,
            inputs,
            str(path),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            verbose=False,
        )
